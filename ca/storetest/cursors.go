package storetest

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// testCursors reads page after page, each with a call of its own, while others issue: what was there
// at the start comes exactly once and in order, in the order of the log and in that of expiry.
func testCursors(t *testing.T, w *world) {
	const before, writers = 300, 8
	change := func(i int) func(is *ca.Issuance) {
		return func(is *ca.Issuance) {
			is.Record.NotAfter = day(i * 7 % 50)
			is.Record.Role = someRoles[i%len(someRoles)]
		}
	}
	must(t, together(before, func(i int) error { _, err := w.issue(t.Context(), change(i)); return err }))
	var stop atomic.Bool // not a cancelled context, after which a write may still happen
	var group sync.WaitGroup
	failed := make(chan error, writers)
	for n := range writers {
		group.Go(func() {
			for i := n; !stop.Load(); i += writers {
				if _, err := w.issue(t.Context(), change(i)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	for _, f := range []ca.Filter{{}, {Role: policy.Merchant}, {Party: "acme"}, {ByExpiry: true}, {ByExpiry: true, Role: policy.Gateway, ExpiresFrom: day(3)}} {
		want := map[ca.Serial]bool{}
		for _, r := range all(t, w.Certificates(t.Context(), f)) {
			want[r.Serial] = true
		}
		if err := readPages(t, w.Store, f, want); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	stop.Store(true)
	group.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
}

// readPages reads the filter in pages of 17 until all that is wanted was seen or nothing comes.
func readPages(t *testing.T, store ca.Store, f ca.Filter, want map[ca.Serial]bool) error {
	f.Limit = 17
	seen := map[ca.Serial]bool{}
	var last ca.Record
	for len(want) > 0 {
		page := all(t, store.Certificates(t.Context(), f))
		if len(page) == 0 {
			return fmt.Errorf("%d records were missed", len(want))
		}
		for _, r := range page {
			ordered := r.Index > last.Index
			if f.ByExpiry {
				ordered = r.NotAfter.After(last.NotAfter) || r.NotAfter.Equal(last.NotAfter) && r.Index > last.Index
			}
			if f.From && !ordered || seen[r.Serial] {
				return fmt.Errorf("record %d came after %d", r.Index, last.Index)
			}
			seen[r.Serial], last = true, r
			delete(want, r.Serial)
			f.From, f.After, f.AfterExpiry = true, r.Index, r.NotAfter
		}
	}
	return nil
}
