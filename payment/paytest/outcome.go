package paytest

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"testing"

	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
)

// Good holds every certificate for good, for tests that are about something else.
var Good = mtls.StatusFunc(func(context.Context, *x509.Certificate, *x509.Certificate, []byte) (ocsp.Verdict, error) {
	return ocsp.Verdict{State: ocsp.Good, Source: "none"}, nil
})

// Control asks the operator's socket of a node, which may run in a child process.
func (n *Node) Control(ctx context.Context, path string, in, out any) error {
	client, err := agent.DialControl(n.Dir)
	if err != nil {
		return err
	}
	defer client.CloseIdleConnections()
	return agent.CallControl(ctx, client, path, in, out)
}

// target names a payment to an operator.
type target struct {
	ID string `json:"id"`
}

// Told is what each party would say of a payment.
type Told struct {
	Consumer payment.Progress
	Merchant agent.View
	Gateway  agent.View
	Hold     ledger.Hold // zero if there is none
}

// Told asks everybody what became of a payment.
func (w *World) Told(t testing.TB, id string) (told Told) {
	t.Helper()
	must(t, w.School.Control(t.Context(), "/show", target{id}, &told.Consumer))
	must(t, w.Shop.Control(t.Context(), "/show", target{id}, &told.Merchant))
	if err := w.GW.Control(t.Context(), "/show", target{id}, &told.Gateway); err != nil && agent.CodeOf(err) != payment.NotFound {
		t.Fatal(err)
	}
	told.Hold = w.HoldOf(t, id)
	return told
}

// HoldOf reads the hold of a payment at the issuing bank, zero if there is none.
func (w *World) HoldOf(t testing.TB, id string) (hold ledger.Hold) {
	t.Helper()
	err := w.Issuer.Read(func(tx *agent.Tx) (err error) {
		hold, err = tx.Book().HoldOf(ledger.TransferID(id, "hold"))
		return err
	})
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		t.Fatal(err)
	}
	return hold
}

// Check says what is wrong with what was told, nil if it is what the issuing bank's ledger says.
func (d Told) Check() error {
	captured := int64(0)
	for _, part := range d.Gateway.Parts {
		if part.State == payment.CaptureTransferred {
			captured += part.Amount.Minor
		}
	}
	var want ledger.State
	switch d.Gateway.State {
	case payment.Authorizing, payment.Reversing, payment.Confirmed:
		return fmt.Errorf("the gateway still says %s", d.Gateway.State)
	case payment.Authorized, payment.Opened:
		want = ledger.HoldOpen
	case payment.Closed:
		want = ledger.HoldClosed
	default: // nothing held, nor ever will be
		if d.Hold.State == ledger.HoldVoided {
			want = ledger.HoldVoided
		}
	}
	told := func(s payment.State) bool {
		return s == payment.Released || s == payment.Declined || s == payment.Lapsed
	}
	switch {
	case d.Hold.State != want:
		return fmt.Errorf("the gateway says %s, and the hold is %q, want %q", d.Gateway.State, d.Hold.State, want)
	case d.Hold.Captured.Minor != captured:
		return fmt.Errorf("the gateway says %d was captured, the ledger %v", captured, d.Hold.Captured)
	case told(d.Merchant.State) && want != "" && want != ledger.HoldVoided:
		return fmt.Errorf("the merchant was told %s, and the hold is %q", d.Merchant.State, d.Hold.State)
	case told(d.Consumer.State) && want != "" && want != ledger.HoldVoided:
		return fmt.Errorf("the consumer was told %s, and the hold is %q", d.Consumer.State, d.Hold.State)
	case (d.Merchant.State == payment.Closed) != (d.Gateway.State == payment.Closed):
		return fmt.Errorf("the merchant says %s, the gateway %s", d.Merchant.State, d.Gateway.State)
	case d.Merchant.State == payment.Opened && want != ledger.HoldOpen:
		return fmt.Errorf("the merchant was told to deliver, and the hold is %q", d.Hold.State)
	}
	return nil
}

// Balanced checks both banks' ledgers, and that they moved and hold what these payments, which are all there are, say.
func (w *World) Balanced(t testing.TB, ids ...string) {
	t.Helper()
	var captured, held int64
	for _, id := range ids {
		h := w.HoldOf(t, id)
		captured += h.Captured.Minor
		held += h.Remaining.Minor
	}
	account := func(a *agent.Agent, name string) (found ledger.Account) {
		t.Helper()
		err := a.Read(func(tx *agent.Tx) (err error) {
			if found, err = tx.Book().Account(name + "/" + string(w.opts.Currency)); errors.Is(err, ledger.ErrNotFound) {
				err = nil
			}
			return errors.Join(err, tx.Book().Check())
		})
		must(t, err)
		return found
	}
	due := account(w.Issuer.Agent, "due-to-clearing")
	if due.CreditsPosted != captured || due.CreditsPending != held {
		t.Errorf("issuing bank: %d moved and %d held, want %d and %d", due.CreditsPosted, due.CreditsPending, captured, held)
	}
	if got := account(w.Acquirer.Agent, "due-from-clearing").DebitsPosted; got != captured {
		t.Errorf("acquiring bank: %d booked, want %d", got, captured)
	}
}
