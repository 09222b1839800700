package ca_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// issueAtOnce issues n certificates to the shop at a time and returns how many reservations the store was asked for.
func issueAtOnce(t *testing.T, w *world, n int) (reservations int) {
	t.Helper()
	var mu sync.Mutex
	w.store.onReserve = func() {
		mu.Lock()
		reservations++
		mu.Unlock()
		time.Sleep(2 * time.Millisecond)
	}
	requests := make([]ca.Request, n)
	for i := range requests {
		requests[i] = request(t, "shop1", newKey(t))
	}
	var group sync.WaitGroup
	serials := make(chan ca.Serial, n)
	for _, r := range requests {
		group.Go(func() {
			c, err := w.ca.Issue(t.Context(), r)
			if err != nil {
				t.Error(err)
				return
			}
			serials <- c.Record.Serial
		})
	}
	group.Wait()
	close(serials)
	seen := map[ca.Serial]bool{}
	for s := range serials {
		if seen[s] {
			t.Errorf("serial %s was given twice", s)
		}
		seen[s] = true
	}
	return reservations
}

func TestARequestAloneReservesOneSerial(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	for range 3 {
		w.issue("shop1", newKey(t))
	}
	if left := len(w.store.intents); left != 0 {
		t.Errorf("%d serials stay reserved, want none", left)
	}
}

func TestSerialsReservedAheadAreGivenBackOrRevoked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.open()
	const n = 40
	for try := 0; len(w.store.intents) == 0 && try < 20; try++ { // it is luck whether all of them were needed
		if asked := issueAtOnce(t, w, n); asked >= n/2 {
			t.Errorf("%d reservations for %d certificates at once, want them shared", asked, n)
		}
	}
	if len(w.store.intents) == 0 {
		t.Fatal("nothing was reserved ahead: this test tests nothing")
	}
	for _, in := range w.store.intents {
		if in.Issuer != policy.MerchantCA || in.Party != "" || in.Profile != "" || !in.NotAfter.After(in.At) {
			t.Errorf("reserved ahead: %+v, want the issuer, and an end", in)
		}
	}
	if err := w.ca.Unreserve(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, closed := len(w.store.intents), w.events(audit.IntentClosed); left != 0 || len(closed) != 0 {
		t.Errorf("%d intents and %d closed after giving back, want none", left, len(closed))
	}
	for try := 0; len(w.store.intents) == 0 && try < 20; try++ { // it is luck whether all of them were needed
		issueAtOnce(t, w, n)
	}
	spare := slices.Clone(w.store.intents)
	w.open() // as after a crash
	if left, closed := len(w.store.intents), w.events(audit.IntentClosed); left != 0 || len(closed) != len(spare) || len(spare) == 0 {
		t.Errorf("after a crash %d of %d intents are open and %d closed, want all closed", left, len(spare), len(closed))
	}
	for _, in := range spare {
		if s := w.status(in.Issuer, in.Serial); s.Revocation == nil {
			t.Errorf("serial %s is %+v after a crash, want revoked: it may have been signed", in.Serial, s)
		}
	}
}
