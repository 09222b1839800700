package ocsp_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"iter"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

func newIndex(tb testing.TB, src ocsp.Source) *ocsp.Index {
	tb.Helper()
	x, err := ocsp.NewIndex(ocsp.IndexConfig{Source: src, Issuers: []string{"merchant", "gateway"}})
	if err != nil {
		tb.Fatal(err)
	}
	return x
}

// shelf is a Source by serial, for one issuer.
type shelf struct {
	mu    sync.Mutex
	known map[string]ocsp.Status
	err   error
	asked atomic.Int64
}

func (s *shelf) Status(_ context.Context, issuer string, serial []byte) (ocsp.Status, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[issuer+"/"+string(serial)], s.err
}

func (s *shelf) set(issuer string, serial []byte, st ocsp.Status) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[issuer+"/"+string(serial)] = st
}

func TestAnIndexTellsWhatItsSourceSays(t *testing.T) {
	t.Parallel()
	src := &shelf{known: map[string]ocsp.Status{}}
	x := newIndex(t, src)
	full := ocsp.Status{
		State: ocsp.Revoked, Reason: 10, RevokedAt: epoch, Since: epoch.Add(time.Second),
	}
	dated := full
	dated.Invalidity = epoch.Add(-time.Hour)
	long := bytes.Repeat([]byte{1}, 20)
	statuses := []struct {
		issuer string
		serial []byte
		status ocsp.Status
		kept   bool
	}{
		{"merchant", []byte{1}, ocsp.Status{State: ocsp.Good}, true},
		{"gateway", []byte{1}, full, true},
		{"merchant", []byte{1, 0}, ocsp.Status{State: ocsp.Good, Since: epoch}, true},
		{"merchant", long, full, true},
		{"merchant", []byte{2}, ocsp.Status{}, false},
		{"merchant", []byte{3}, ocsp.Status{State: ocsp.Good, Since: epoch.Add(time.Millisecond)}, false},
		{"merchant", []byte{4}, ocsp.Status{State: ocsp.Revoked, RevokedAt: time.Unix(-1, 0).UTC()}, false},
		{"merchant", []byte{5}, dated, false},
		{"another", []byte{1}, ocsp.Status{State: ocsp.Good}, false},
		{"merchant", append(long, 1), ocsp.Status{State: ocsp.Good}, false},
	}
	for _, st := range statuses {
		src.set(st.issuer, st.serial, st.status)
	}
	for round := range 2 {
		for _, st := range statuses {
			asked := src.asked.Load()
			got, err := x.Status(t.Context(), st.issuer, st.serial)
			if err != nil || got != st.status {
				t.Errorf("%s %x: got %+v, %v, want %+v", st.issuer, st.serial, got, err, st.status)
			}
			if again := src.asked.Load() == asked; again != (st.kept && round > 0) {
				t.Errorf("%s %x, round %d: from memory %v", st.issuer, st.serial, round, again)
			}
		}
	}
	if x.Len() != 4 {
		t.Errorf("remembers %d, want 4", x.Len())
	}
	src.set("merchant", []byte{1}, full)
	x.Drop("merchant", []byte{0, 1})
	x.Drop("merchant", append(long, 1))
	x.Drop("another", []byte{1})
	if got, _ := x.Status(t.Context(), "merchant", []byte{1}); got != full {
		t.Errorf("after Drop: got %+v, want %+v", got, full)
	}
	src.err = errors.New("disk")
	if _, err := x.Status(t.Context(), "merchant", []byte{9}); !errors.Is(err, src.err) {
		t.Errorf("got %v, want the error of the source", err)
	}
	if got, err := x.Status(t.Context(), "gateway", []byte{1}); err != nil || got != full {
		t.Errorf("what is remembered: got %+v, %v", got, err)
	}
}

// A status that was read before a revocation must not be remembered after it, neither from a look-up nor from a page.
func TestAnIndexForgetsWhatWasReadBeforeDrop(t *testing.T) {
	t.Parallel()
	good, revoked := ocsp.Status{State: ocsp.Good}, ocsp.Status{State: ocsp.Revoked, RevokedAt: epoch}
	src := &shelf{known: map[string]ocsp.Status{}}
	serial := []byte{7}
	revoke := func(x *ocsp.Index) {
		src.set("merchant", serial, revoked)
		x.Drop("merchant", serial)
	}
	g := &gate{entered: make(chan struct{}), open: make(chan struct{})}
	g.status.Store(int64(ocsp.Good))
	x := newIndex(t, g)
	done := make(chan struct{})
	go func() { defer close(done); _, _ = x.Status(context.WithoutCancel(t.Context()), "merchant", serial) }()
	<-g.entered // has read good
	x.Drop("merchant", serial)
	g.open <- struct{}{}
	<-done
	if x.Len() != 0 {
		t.Error("a look-up from before Drop is remembered")
	}

	src.set("merchant", serial, good)
	x = newIndex(t, src)
	err := x.Fill(func(yield func([]ocsp.IndexEntry, error) bool) {
		page := []ocsp.IndexEntry{{Issuer: "merchant", Serial: serial, Status: good}, {Issuer: "another", Serial: serial, Status: good}}
		revoke(x)
		_ = yield(page, nil) && yield(nil, errors.New("end"))
	})
	if err == nil {
		t.Error("got nil, want the error of the pages")
	}
	if got, _ := x.Status(t.Context(), "merchant", serial); got != revoked {
		t.Errorf("got %+v, want revoked", got)
	}
}

// Readers, one who fills and revocations at a time: no stale answer.
func TestAnIndexIsNeverStale(t *testing.T) {
	t.Parallel()
	const serials = 300
	src := &shelf{known: map[string]ocsp.Status{}}
	name := func(i int) []byte { return binary.BigEndian.AppendUint16([]byte{1}, uint16(i)) }
	for i := range serials {
		src.set("merchant", name(i), ocsp.Status{State: ocsp.Good})
	}
	x := newIndex(t, src)
	var revoked [serials]atomic.Bool
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := rand.IntN(serials)
				gone := revoked[i].Load()
				st, err := x.Status(context.WithoutCancel(ctx), "merchant", name(i))
				if err != nil || gone && st.State != ocsp.Revoked {
					t.Errorf("%d: got %v, %v after its revocation", i, st.State, err)
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			_ = x.Fill(pages(src, name, serials))
		}
	})
	for i := range serials {
		src.set("merchant", name(i), ocsp.Status{State: ocsp.Revoked, RevokedAt: epoch})
		x.Drop("merchant", name(i))
		revoked[i].Store(true)
		time.Sleep(50 * time.Microsecond)
	}
	stop()
	wg.Wait()
}

// pages reads all statuses of a shelf, 50 at a time.
func pages(src *shelf, name func(int) []byte, n int) iter.Seq2[[]ocsp.IndexEntry, error] {
	return func(yield func([]ocsp.IndexEntry, error) bool) {
		for at := 0; at < n; at += 50 {
			var page []ocsp.IndexEntry
			for i := at; i < min(at+50, n); i++ {
				src.mu.Lock()
				st := src.known["merchant/"+string(name(i))]
				src.mu.Unlock()
				page = append(page, ocsp.IndexEntry{Issuer: "merchant", Serial: name(i), Status: st})
			}
			if !yield(page, nil) {
				return
			}
		}
	}
}

// An index must agree with a map whatever is put, replaced and dropped.
func TestAnIndexAgreesWithAMap(t *testing.T) {
	t.Parallel()
	src := &shelf{known: map[string]ocsp.Status{}}
	x := newIndex(t, src)
	random := rand.New(rand.NewPCG(1, 2))
	model := map[string]ocsp.Status{}
	for range 60_000 {
		serial := binary.BigEndian.AppendUint16([]byte{1}, uint16(random.IntN(4000)))
		switch st := (ocsp.Status{State: ocsp.Good, Since: time.Unix(random.Int64N(1000)+1, 0).UTC()}); random.IntN(4) {
		case 0: // what is known already stays until it is dropped
			src.set("merchant", serial, st)
			x.Drop("merchant", serial)
			delete(model, string(serial))
		default:
			before, known := model[string(serial)]
			got, err := x.Status(t.Context(), "merchant", serial)
			if err != nil || known && got != before {
				t.Fatalf("%x: got %+v, %v, want %+v", serial, got, err, before)
			}
			if got.State != ocsp.Unknown {
				model[string(serial)] = got
			}
		}
	}
	if x.Len() != len(model) {
		t.Errorf("remembers %d, want %d", x.Len(), len(model))
	}
}

func TestAnIndexIsBounded(t *testing.T) {
	t.Parallel()
	src := &shelf{known: map[string]ocsp.Status{}}
	x, err := ocsp.NewIndex(ocsp.IndexConfig{Source: src, Issuers: []string{"merchant"}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5000 {
		serial := binary.BigEndian.AppendUint32(nil, uint32(i)+1<<24)
		src.set("merchant", serial, ocsp.Status{State: ocsp.Good})
		if st, err := x.Status(t.Context(), "merchant", serial); err != nil || st.State != ocsp.Good {
			t.Fatal(st, err)
		}
	}
	if n := x.Len(); n > 256 {
		t.Errorf("remembers %d, want at most one in each of 256 shards", n)
	}
	for name, cfg := range map[string]ocsp.IndexConfig{
		"nothing": {}, "no issuers": {Source: src}, "a negative limit": {Source: src, Issuers: []string{"a"}, Limit: -1},
		"too many issuers": {Source: src, Issuers: make([]string, 256)},
	} {
		if _, err := ocsp.NewIndex(cfg); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}
