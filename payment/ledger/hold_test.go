package ledger_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/payca/payca/payment/ledger"
)

func TestThreeCapturesLeaveOneMinorUnit(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		post(t, b, direct("load", "bank", "wallet", 100))
		post(t, b, hold("h", "wallet", "bank", 100))
		for i := range 3 {
			got := post(t, b, capture(fmt.Sprint("c", i), "h", 33))
			if got.Debit != "wallet" || got.Credit != "bank" || got.Amount != cny(33) {
				t.Errorf("got %+v, want the accounts and the currency of the hold", got)
			}
		}
		h, err := b.HoldOf(id("h"))
		want := ledger.Hold{ID: id("h"), Debit: "wallet", Credit: "bank", Amount: cny(100), Remaining: cny(1), Captured: cny(99), State: ledger.HoldOpen}
		if err != nil || h != want {
			t.Errorf("got %+v, %v, want %+v", h, err, want)
		}
		_, _, err = b.Post(capture("c3", "h", 2))
		if e, ok := errors.AsType[*ledger.ExceedsHoldError](err); !ok || e.Remaining != cny(1) || e.Want != cny(2) {
			t.Errorf("got %v, want 0.01 remaining", err)
		}
		post(t, b, capture("c3", "h", 1))
		if h, _ := b.HoldOf(id("h")); h.State != ledger.HoldClosed || h.Remaining != cny(0) || h.Captured != cny(100) {
			t.Errorf("got %+v, want a closed hold", h)
		}
		_, _, err = b.Post(capture("c4", "h", 1))
		wantHoldState(t, err, ledger.HoldClosed)
		_, _, err = b.Post(void("v", "h"))
		wantHoldState(t, err, ledger.HoldClosed)
		if got := balances(t, b, "wallet"); got != [4]int64{100, 0, 100, 0} {
			t.Errorf("got %v, want all spent", got)
		}
	})
}

func TestFinalCaptureAndVoidReleaseTheRest(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		for _, name := range []string{"final", "part", "whole"} {
			post(t, b, hold(name, "card", "bank", 150))
		}
		post(t, b, final(capture("c1", "final", 100)))
		post(t, b, capture("c2", "part", 30))
		post(t, b, void("v1", "part"))
		post(t, b, void("v2", "whole"))
		for name, want := range map[string]ledger.State{"final": ledger.HoldClosed, "part": ledger.HoldClosed, "whole": ledger.HoldVoided} {
			if h, err := b.HoldOf(id(name)); err != nil || h.State != want || h.Remaining != cny(0) {
				t.Errorf("%s: got %+v, %v, want %s", name, h, err, want)
			}
		}
		a, _ := b.Account("card")
		if got := balances(t, b, "card"); got != [4]int64{130, 0, 0, 0} || a.Available() != 370 || a.Balance() != -130 {
			t.Errorf("got %v, available %d, want 1.30 spent", got, a.Available())
		}
		_, _, err := b.Post(void("v3", "whole"))
		wantHoldState(t, err, ledger.HoldVoided)
		if _, replayed, err := b.Post(void("v2", "whole")); err != nil || !replayed {
			t.Errorf("got replayed %t, %v, want a replay", replayed, err)
		}
	})
}

func TestVoidBeforeItsHoldForbidsIt(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		early := void("v", "h")
		early.Debit, early.Credit, early.Amount.Currency = "card", "bank", "CNY"
		post(t, b, early)
		for range 2 {
			_, _, err := b.Post(hold("h", "card", "bank", 10))
			wantHoldState(t, err, ledger.HoldVoided)
		}
		_, _, err := b.Post(direct("h", "card", "bank", 10))
		wantHoldState(t, err, ledger.HoldVoided)
		_, _, err = b.Post(capture("c", "h", 10))
		wantHoldState(t, err, ledger.HoldVoided)
		_, _, err = b.Post(void("v2", "h"))
		wantHoldState(t, err, ledger.HoldVoided)
		if _, replayed, err := b.Post(void("v", "h")); err != nil || !replayed {
			t.Errorf("got replayed %t, %v, want a replay", replayed, err)
		}
		if h, err := b.HoldOf(id("h")); err != nil || h != (ledger.Hold{ID: id("h"), State: ledger.HoldVoided}) {
			t.Errorf("got %+v, %v, want a tombstone", h, err)
		}
		if got := balances(t, b, "card"); got != [4]int64{} {
			t.Errorf("got %v, want nothing moved", got)
		}
	})
}
