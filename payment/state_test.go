package payment_test

import (
	"testing"

	"github.com/payca/payca/payment"
)

var states = []payment.State{
	payment.Offered, payment.Requested, payment.Authorizing, payment.Authorized, payment.Confirmed, payment.Opened, payment.Reversing,
	payment.Released, payment.Declined, payment.Lapsed, payment.Closed,
}

// TestOnlyTheseStatesFollowEachOther is the diagram of docs/payment.md, drawn out.
func TestOnlyTheseStatesFollowEachOther(t *testing.T) {
	t.Parallel()
	allowed := map[[2]payment.State]bool{
		{payment.Offered, payment.Offered}: true, {payment.Offered, payment.Requested}: true, {payment.Offered, payment.Lapsed}: true,
		{payment.Requested, payment.Authorizing}: true, {payment.Requested, payment.Lapsed}: true,
		{payment.Authorizing, payment.Authorized}: true, {payment.Authorizing, payment.Declined}: true, {payment.Authorizing, payment.Reversing}: true,
		{payment.Authorized, payment.Confirmed}: true, {payment.Authorized, payment.Reversing}: true,
		{payment.Confirmed, payment.Opened}: true, {payment.Opened, payment.Reversing}: true, {payment.Opened, payment.Closed}: true,
		{payment.Reversing, payment.Released}: true,
	}
	for _, from := range states {
		for _, to := range states {
			for _, mode := range []payment.Mode{payment.ConfirmNone, payment.ConfirmRealtime, payment.ConfirmDeferred} {
				p := payment.Progress{ID: paymentID, State: from, Mode: mode, Amount: *amount(100)}
				want := allowed[[2]payment.State{from, to}] || from == payment.Authorized && to == payment.Opened && mode == payment.ConfirmNone
				err := p.Move(to, noon)
				if (err == nil) != want || err != nil && codeOf(err) != payment.BadState {
					t.Errorf("%s to %s with mode %s: got %v, allowed is %v", from, to, mode, err, want)
				}
				if err != nil && p.State != from {
					t.Errorf("%s to %s: refused, and moved to %s", from, to, p.State)
				}
			}
		}
	}
	for _, s := range []payment.State{payment.Released, payment.Declined, payment.Lapsed, payment.Closed} {
		if !s.Final() {
			t.Errorf("%s is not final", s)
		}
	}
}

func TestCapturesAreCounted(t *testing.T) {
	t.Parallel()
	capture := func(seq, minor int64, final bool) *payment.Capture {
		return &payment.Capture{Head: payment.Head{ID: paymentID, Amount: amount(minor)}, Seq: seq, Final: final}
	}
	p := payment.Progress{ID: paymentID, State: payment.Opened, Mode: payment.ConfirmNone, Amount: *amount(100)}
	step := func(c *payment.Capture, request string, want payment.Code) {
		t.Helper()
		if _, err := p.Begin(c, request, noon); codeOf(err) != want {
			t.Errorf("capture %d of %v: got %v, want %q", c.Seq, c.Sum(), err, want)
		}
	}
	step(capture(2, 10, false), "a", payment.BadState)
	step(capture(1, 101, false), "a", payment.ExceedsAuthorised)
	step(capture(1, 33, false), "a", "")
	step(capture(1, 33, false), "a", "")
	step(capture(1, 34, false), "b", payment.Conflict)
	step(capture(2, 33, false), "c", payment.BadState) // the one before is under way
	finish := func(seq int64, state string) {
		t.Helper()
		if err := p.Finish(seq, state, noon); err != nil {
			t.Error(err)
		}
	}
	finish(1, payment.CaptureTransferred)
	finish(1, payment.CaptureTransferred)
	if err := p.Finish(1, payment.CaptureRefused, noon); codeOf(err) != payment.BadState {
		t.Errorf("refusing what was transferred: got %v", err)
	}
	step(capture(2, 33, false), "c", "")
	finish(2, payment.CaptureRefused) // its amount is free again
	if got := p.Captured(); got != *amount(33) {
		t.Errorf("captured %v, want 0.33", got)
	}
	if err := p.Move(payment.Reversing, noon); codeOf(err) != payment.BadState {
		t.Errorf("reversing what was captured in part: got %v", err)
	}
	step(capture(3, 68, false), "d", payment.ExceedsAuthorised)
	step(capture(3, 66, true), "e", "")
	finish(3, payment.CaptureTransferred)
	if p.State != payment.Closed {
		t.Errorf("after the final capture: %s, want closed", p.State)
	}
	step(capture(4, 1, false), "f", payment.BadState)
}
