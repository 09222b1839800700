package boltstore_test

import (
	"context"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
	"github.com/payca/payca/policy"
)

var errDisk = errors.New("no space left on device")

func TestALostCommitLeavesNothingAndTheNextSucceeds(t *testing.T) {
	t.Parallel()
	for i, w := range writes() {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ca.db")
			var full atomic.Bool
			lose := func(cfg *boltstore.Config) {
				cfg.BeforeCommit = func() error {
					if full.Load() {
						return errDisk
					}
					return nil
				}
			}
			store := open(t, path, lose)
			fill(t, store)
			want := storetest.Dump(t, store, tokenID, "other")
			full.Store(true)
			if err := w.write(t.Context(), store); !errors.Is(err, errDisk) {
				t.Errorf("got %v, want %v", err, errDisk)
			}
			if got := storetest.Dump(t, store, tokenID, "other"); got != want {
				t.Errorf("after the loss: got %s, want %s", got, want)
			}
			if i%2 == 0 { // with and without a restart
				wantOK(t, store.Close())
				store = open(t, path, lose)
				if got := storetest.Dump(t, store, tokenID, "other"); got != want {
					t.Errorf("opened again: got %s, want %s", got, want)
				}
			}
			full.Store(false)
			wantOK(t, w.write(t.Context(), store))
			if got := storetest.Dump(t, store, tokenID, "other"); got == want {
				t.Error("got no change, want the write")
			}
			if next, err := store.NextCRLNumber(t.Context(), "third", audit.Event{Kind: audit.CRLSigned}); err != nil || next != 1 {
				t.Errorf("got %d, %v, want 1", next, err)
			}
			wantSound(t, store)
			wantOK(t, store.Close())
		})
	}
}

func wantSound(t testing.TB, store *boltstore.Store) {
	t.Helper()
	wantOK(t, store.Check(t.Context()))
	_, err := audit.Verify(t.Context(), store.Log(), storetest.Log(t).VerifierKey())
	wantOK(t, err)
}

func TestARecordThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	store := open(t, filepath.Join(t.TempDir(), "ca.db"), nil)
	fill(t, store)
	want := storetest.Dump(t, store, tokenID)
	is := issuanceOf(serial(2))
	is.Record.Requester = strings.Repeat("x", 1<<16)
	if record, err := store.Issue(t.Context(), is); err == nil {
		t.Errorf("got record %d, nil, want an error", record.Index)
	}
	if got := storetest.Dump(t, store, tokenID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantOK(t, store.Close())
}

// A gate is a commit that waits, so that what is written meanwhile shares the next one.
type gate struct {
	commits atomic.Int32
	shut    atomic.Bool
	open    chan error // what the waiting commit returns
}

func (g *gate) beforeCommit() error {
	g.commits.Add(1)
	if g.shut.Load() {
		return <-g.open
	}
	return nil
}

// gated opens a filled store whose next commit waits.
func gated(t *testing.T) (*boltstore.Store, *gate) {
	g := &gate{open: make(chan error)}
	store := open(t, filepath.Join(t.TempDir(), "ca.db"), func(cfg *boltstore.Config) { cfg.BeforeCommit = g.beforeCommit })
	fill(t, store)
	g.commits.Store(0)
	g.shut.Store(true)
	return store, g
}

// behind starts the calls while another commit waits, so that they make one batch, and ends that
// commit. The batch waits at the gate unless it is open.
func behind(t *testing.T, store ca.Store, g *gate, calls []func() error) (wait func() []error) {
	errs := make([]error, len(calls))
	var group sync.WaitGroup
	group.Go(func() { wantNil(t, store.Append(t.Context(), audit.Event{Kind: audit.Started})) })
	synctest.Wait() // the commit stands at the gate
	for i, call := range calls {
		group.Go(func() { errs[i] = call() })
		synctest.Wait() // it is queued, in this order
	}
	g.open <- nil
	return func() []error { group.Wait(); return errs }
}

func wantNil(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("got %v, want nil", err)
	}
}

func TestARefusedOperationLeavesNoTraceInItsBatch(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, g := gated(t)
		ctx, event := t.Context(), audit.Event{Kind: audit.Kind("test.refused")}
		bad := issuanceOf(serial(2))
		bad.Token = "unknown"
		bad.Event = event
		refused := map[int]error{1: ca.ErrNotFound, 3: ca.ErrExists, 5: ca.ErrNoIntent, 6: ca.ErrSerialUsed, 7: ca.ErrNotFound, 8: ca.ErrNotFound, 9: ca.ErrExists}
		calls := []func() error{
			func() error { return store.Reserve(ctx, intentOf(serial(10))) },
			func() error { _, err := store.Issue(ctx, bad); return err },
			func() error { _, err := store.Issue(ctx, issuanceOf(serial(2))); return err },
			func() error { return store.AddParty(ctx, policy.Party{ID: "acme", Name: "Thief"}, event) },
			func() error {
				return store.AddParty(ctx, policy.Party{ID: "bravo"}, audit.Event{Kind: audit.PartyAdded})
			},
			func() error { return store.CloseIntent(ctx, revocation(serial(2)), event) }, // issued in this batch
			func() error { return store.Reserve(ctx, intentOf(serial(10))) },             // reserved in this batch
			func() error { return store.Revoke(ctx, revocation(serial(99)), event) },
			func() error { return store.UpdateParty(ctx, policy.Party{ID: "none"}, event) },
			func() error { return store.AddToken(ctx, ca.Token{ID: tokenID, Party: "thief"}, event) },
			func() error { return store.Append(ctx, audit.Event{Kind: audit.Started}) },
		}
		wait := behind(t, store, g, calls)
		g.open <- nil
		for i, err := range wait() {
			if want := refused[i]; !errors.Is(err, want) {
				t.Errorf("call %d: got %v, want %v", i, err, want)
			}
		}
		if got := g.commits.Load(); got != 2 {
			t.Errorf("got %d commits, want 2: the one that waited and one for the batch", got)
		}
		g.shut.Store(false)
		var kinds []audit.Kind
		leaves, err := store.Log().Leaves(ctx, 3, 100) // after fill
		wantOK(t, err)
		for _, leaf := range leaves {
			e, err := audit.ParseEvent(leaf)
			wantOK(t, err)
			kinds = append(kinds, e.Kind)
		}
		if want := []audit.Kind{audit.Started, audit.CertificateIssued, audit.PartyAdded, audit.Started}; !reflect.DeepEqual(kinds, want) {
			t.Errorf("got events %v, want %v", kinds, want)
		}
		if p, err := store.Party(ctx, "acme"); err != nil || p.Name != "" {
			t.Errorf("got %+v, %v, want the party as it was", p, err)
		}
		wantSound(t, store)
		wantOK(t, store.Close())
	})
}

func TestALostBatchFailsAllItsCallers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, g := gated(t)
		var calls []func() error
		for _, w := range writes() {
			calls = append(calls, func() error { return w.write(t.Context(), store) })
		}
		wait := behind(t, store, g, calls)
		synctest.Wait()
		want := storetest.Dump(t, store, tokenID, "other")
		g.open <- errDisk
		for i, err := range wait() {
			if !errors.Is(err, errDisk) {
				t.Errorf("call %d: got %v, want %v", i, err, errDisk)
			}
		}
		g.shut.Store(false)
		if got := storetest.Dump(t, store, tokenID, "other"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		for _, w := range writes() {
			if err := w.write(t.Context(), store); err != nil {
				t.Errorf("%s afterwards: got %v, want nil", w.name, err)
			}
		}
		wantSound(t, store)
		wantOK(t, store.Close())
	})
}

func TestCloseWaitsForWritesUnderWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, g := gated(t)
		wait := behind(t, store, g, []func() error{
			func() error { _, err := store.Issue(t.Context(), issuanceOf(serial(2))); return err },
		})
		synctest.Wait()
		var closed [2]atomic.Bool
		for i := range closed {
			go func() {
				wantNil(t, store.Close())
				closed[i].Store(true)
			}()
		}
		synctest.Wait()
		if closed[0].Load() || closed[1].Load() {
			t.Error("Close returned while a commit was under way, want it to wait")
		}
		if err := store.Append(t.Context(), audit.Event{}); err == nil {
			t.Error("got nil from Append while the store closes, want an error")
		}
		g.open <- nil
		for _, err := range wait() {
			wantNil(t, err)
		}
		synctest.Wait()
		if !closed[0].Load() || !closed[1].Load() {
			t.Error("Close waits after the last commit, want it to return")
		}
	})
}

func TestACallerThatGivesUpWaitingIsToldThatItMayHaveHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store, g := gated(t)
		ctx, cancel := context.WithCancel(t.Context())
		wait := behind(t, store, g, []func() error{
			func() error { _, err := store.Issue(ctx, issuanceOf(serial(2))); return err },
		})
		synctest.Wait()
		cancel()
		if err := wait()[0]; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want %v", err, context.Canceled)
		}
		g.shut.Store(false)
		g.open <- nil
		wantOK(t, store.Append(t.Context(), audit.Event{})) // after that commit
		if _, err := store.BySerial(t.Context(), serial(2)); err != nil {
			t.Errorf("got %v, want the certificate that was queued", err)
		}
		wantSound(t, store)
		wantOK(t, store.Close())
	})
}

// The writer may still be at work on what a caller gave up on; the race detector sees whether they share memory.
func TestACallerThatGivesUpSharesNothingWithTheWriter(t *testing.T) {
	t.Parallel()
	var slow atomic.Bool
	store := open(t, filepath.Join(t.TempDir(), "ca.db"), func(cfg *boltstore.Config) {
		cfg.BeforeCommit = func() error {
			if slow.Load() {
				time.Sleep(100 * time.Millisecond)
			}
			return nil
		}
	})
	fill(t, store)
	slow.Store(true)
	var group sync.WaitGroup
	group.Go(func() { wantNil(t, store.Append(t.Context(), audit.Event{})) })
	time.Sleep(30 * time.Millisecond) // that commit is under way
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	group.Go(func() {
		record, err := store.Issue(ctx, issuanceOf(serial(2)))
		if !errors.Is(err, context.DeadlineExceeded) || !reflect.DeepEqual(record, ca.Record{}) {
			t.Errorf("got %+v, %v, want no record and %v", record, err, context.DeadlineExceeded)
		}
	})
	group.Go(func() {
		number, err := store.NextCRLNumber(ctx, issuer, audit.Event{})
		if !errors.Is(err, context.DeadlineExceeded) || number != 0 {
			t.Errorf("got %d, %v, want no number and %v", number, err, context.DeadlineExceeded)
		}
	})
	group.Wait()
	wantOK(t, store.Close())
}

// An operation that fails half-way takes nobody with it.
func TestAnOperationThatFailsHalfWayLeavesTheRestOfItsBatchAlone(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	s, err := boltstore.Open(ctx, boltstore.Config{Path: filepath.Join(t.TempDir(), "store.db"), Log: storetest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	beyondJSON := time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) // a year that JSON does not hold
	var group sync.WaitGroup
	for i := range 40 {
		group.Go(func() {
			event := audit.Event{Time: time.Unix(int64(i), 0).UTC(), Kind: audit.Started}
			bad := i%8 == 0
			if bad {
				event.Time = beyondJSON
			}
			if err := s.Append(ctx, event); (err != nil) != bad {
				t.Errorf("event %d: got %v", i, err)
			}
		})
	}
	group.Wait()
	leaves, err := s.Log().Leaves(ctx, 0, 100)
	if err != nil || len(leaves) != 35 {
		t.Errorf("got %d entries, %v, want the 35 good ones", len(leaves), err)
	}
}
