package storetest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// errFault is what goes wrong: the disk, or the way back from it.
var errFault = errors.New("a fault that the test made")

// Faults is what a store under [RunFaults] asks at each commit.
type Faults struct {
	lose, persist atomic.Int64 // commits from now until the fault, 0 for never
}

// BeforeCommit is called before a commit takes effect; on an error it must have none.
func (f *Faults) BeforeCommit() error { return f.due(&f.lose) }

// AfterCommit is called when a commit has taken effect; its error goes to the callers all the
// same. It wraps context.DeadlineExceeded, with which a store says that the effect is unknown.
func (f *Faults) AfterCommit() error {
	if err := f.due(&f.persist); err != nil {
		return fmt.Errorf("%w: %w", err, context.DeadlineExceeded)
	}
	return nil
}

func (f *Faults) due(left *atomic.Int64) error {
	if left.Load() > 0 && left.Add(-1) == 0 {
		return errFault
	}
	return nil
}

// RunFaults tests that a store under a lost commit, or one that took effect while its caller was
// told an error, is as if each call had been made or not. open opens or creates the store at the path, with [Log] and the hooks of f.
func RunFaults(t *testing.T, open func(t *testing.T, path string, f *Faults) ca.Store) {
	for _, persist := range []bool{false, true} {
		for n := range len(story(nil, nil)) {
			name := fmt.Sprintf("step %d is lost", n+1)
			if persist {
				name = fmt.Sprintf("step %d persists and its caller is told an error", n+1)
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				testFault(t, n, persist, open)
			})
		}
	}
}

// tokenIDs are the tokens of the story.
var tokenIDs = []string{"a", "b"}

// story is one of each write, as steps of which each needs those before it. A step that was
// made says so, and is not made twice.
func story(w *world, serials []ca.Serial) []func(ctx context.Context) error {
	in := func(i int) ca.Intent {
		intent := w.intent()
		intent.Serial = serials[i]
		return intent
	}
	return append([]func(ctx context.Context) error{
		func(ctx context.Context) error {
			return w.AddParty(ctx, party("acme"), audit.Event{Time: epoch, Kind: audit.PartyAdded})
		},
		func(ctx context.Context) error {
			return w.AddToken(ctx, token("a"), audit.Event{Time: epoch, Kind: audit.TokenCreated})
		},
		func(ctx context.Context) error { return w.Reserve(ctx, in(0)) },
		func(ctx context.Context) error {
			is := issuanceOf(in(0))
			is.Token, is.Use = "a", ca.TokenUse{Party: "acme", At: epoch, Serial: serials[0]}
			_, err := w.Issue(ctx, is)
			return err
		},
		func(ctx context.Context) error { return w.Reserve(ctx, in(1)) },
		func(ctx context.Context) error {
			return w.CloseIntent(ctx, closing(in(1)), event(audit.IntentClosed, serials[1]))
		},
		func(ctx context.Context) error {
			rev := closing(in(0))
			rev.Reason = ca.CertificateHold
			return w.Revoke(ctx, rev, event(audit.CertificateRevoked, serials[0]))
		},
		func(ctx context.Context) error {
			return w.Release(ctx, payment, serials[0], epoch, event(audit.CertificateFreed, serials[0]))
		},
		func(ctx context.Context) error {
			_, err := w.RaiseShards(ctx, payment, 8, audit.Event{Time: epoch, Kind: audit.CRLShards})
			return err
		},
		func(ctx context.Context) error {
			rev := closing(in(0))
			rev.Reason = ca.Superseded
			return w.Revoke(ctx, rev, event(audit.CertificateRevoked, serials[0]))
		},
		func(ctx context.Context) error {
			changed := party("acme")
			changed.State = policy.Suspended
			return w.UpdateParty(ctx, changed, audit.Event{Time: epoch, Kind: audit.PartyChanged})
		},
		func(ctx context.Context) error {
			_, err := w.NextCRLNumber(ctx, payment, audit.Event{Time: epoch, Kind: audit.CRLSigned})
			return err
		},
		func(ctx context.Context) error { return w.Append(ctx, audit.Event{Time: epoch, Kind: audit.Started}) },
		func(ctx context.Context) error {
			_, err := w.Collect(ctx, epoch.AddDate(1, 0, 0), 10)
			return err
		},
		func(ctx context.Context) error {
			return w.AddToken(ctx, token("b"), audit.Event{Time: epoch, Kind: audit.TokenCreated})
		},
	}, slices.Concat(w.asking(), w.messages(), w.blocking(serials))...)
}

// messages is the part of the story that is about the outbox.
func (w *world) messages() []func(ctx context.Context) error {
	return []func(ctx context.Context) error{
		w.tell(1, 1),
		func(ctx context.Context) error {
			sent := w.message("mail", "7d", 1)
			sent.ID, sent.State = 1, ca.MessageSent
			return w.SetMessage(ctx, sent)
		},
		w.tell(2, 1, 2), // of which 2 is new
		func(ctx context.Context) error {
			_, err := w.ForgetMessages(ctx, epoch.Add(time.Minute), 10)
			return err
		},
		w.tell(3, 2, 3),
	}
}

// tell is the step that adds a message, which gets the number.
func (w *world) tell(number uint64, serials ...byte) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		m, err := w.AddMessage(ctx, w.message("mail", "7d", serials...))
		if err == nil && m.ID != number {
			return fmt.Errorf("message %d, want %d", m.ID, number)
		}
		return err
	}
}

// testFault tells the story with a fault at step n, opens the store again, and tells the rest.
func testFault(t *testing.T, n int, persist bool, open func(*testing.T, string, *Faults) ca.Store) {
	faults, path := new(Faults), filepath.Join(t.TempDir(), "store")
	w := newWorld(t, open(t, path, faults))
	serials := []ca.Serial{w.serial(), w.serial()}
	steps := story(w, serials)
	for _, step := range steps[:n] {
		must(t, step(t.Context()))
	}
	before := Dump(t, w.Store, tokenIDs...)
	if persist {
		faults.persist.Store(1)
	} else {
		faults.lose.Store(1)
	}
	wantError(t, steps[n](t.Context()), errFault)
	for _, again := range []bool{false, true} {
		if again {
			must(t, w.Close())
			w.Store = open(t, path, faults)
		}
		if changed := Dump(t, w.Store, tokenIDs...) != before; changed != persist {
			t.Errorf("opened again %t: got a change %t, want %t", again, changed, persist)
		}
		w.wantSound(t)
	}
	if !persist { // what was lost can be done
		must(t, steps[n](t.Context()))
	}
	for _, step := range steps[n+1:] {
		must(t, step(t.Context()))
	}
	if got := Dump(t, w.Store, tokenIDs...); got != untouched(t, serials, open) {
		t.Errorf("got %s, want what a store without fault has", got)
	}
	w.wantSound(t)
	must(t, w.Close())
}

// untouched is the end of the story without fault.
func untouched(t *testing.T, serials []ca.Serial, open func(*testing.T, string, *Faults) ca.Store) string {
	w := newWorld(t, open(t, filepath.Join(t.TempDir(), "untouched"), new(Faults)))
	for _, step := range story(w, serials) {
		must(t, step(t.Context()))
	}
	defer func() { must(t, w.Close()) }()
	return Dump(t, w.Store, tokenIDs...)
}
