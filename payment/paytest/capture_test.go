package paytest_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// saleOf reads what the merchant keeps of a payment.
func (f *forger) saleOf(id string) (s struct {
	AuthRes string `json:"authres"`
	Request string `json:"request"`
},
) {
	f.t.Helper()
	if err := f.Shop.Agent.Read(func(tx *agent.Tx) error { return tx.Get("sale/"+id, &s) }); err != nil {
		f.t.Fatal(err)
	}
	return s
}

// capture signs a capture in the name of a node and sends it.
func (f *forger) capture(n *paytest.Node, id string, seq, minor int64, change func(m *payment.Capture)) outcome {
	f.t.Helper()
	m := &payment.Capture{
		Head: payment.Head{ID: id, Audience: []string{f.GW.URI}, Amount: cny(minor), Ref: f.saleOf(id).AuthRes}, Seq: seq, Shipped: time.Now().Unix(),
	}
	if change != nil {
		change(m)
	}
	return f.post(n, f.GW, "/payments/"+id+"/capture", agent.Key(id, "capture", seq), agent.Message{payment.KindCapture: string(f.sign(n, m))})
}

// TestACaptureIsOfWhatIsHeld: N1, N15, N19, N23 and N24 at the gateway.
func TestACaptureIsOfWhatIsHeld(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	var rival *merchant.Merchant
	second := f.Add(t, "shop2", policy.Merchant, func(a *agent.Agent) (err error) { rival, err = f.NewMerchant(a); return err })
	second.Start(t)
	t.Cleanup(func() { second.Stop(t) })
	if _, err := rival.Sales(); err != nil {
		t.Fatal(err)
	}
	early := f.Accepted(t, 2, none)
	f.capture(f.Shop, early, 1, 60_000, func(m *payment.Capture) { m.Ref = payment.Object("none").Digest() }).want(t, unprocessable, payment.ApprovalMismatch)

	id := f.Buy(t, 2, none)
	f.capture(second, id, 1, 60_000, nil).want(t, notFound, payment.NotFound)
	f.capture(f.Shop, id, 1, 60_000, func(m *payment.Capture) { m.Shipped = 0 }).want(t, conflict, payment.BadState)
	f.capture(f.Shop, id, 1, 60_000, func(m *payment.Capture) { m.Ref = payment.Object("stale").Digest() }).want(t, unprocessable, payment.ApprovalMismatch)
	f.capture(f.Shop, id, 1, 60_001, nil).want(t, conflict, payment.ExceedsAuthorised)
	f.capture(f.Shop, id, 2, 100, nil).want(t, conflict, payment.BadState)
	f.capture(f.Shop, id, 1, 100, func(m *payment.Capture) { m.Amount = &money.Money{Minor: 100, Currency: "JPY"} }).want(t, unprocessable, payment.AmountMismatch)
	f.capture(f.Shop, id, 1, 50_000, nil).want(t, http.StatusOK, "")
	f.capture(f.Shop, id, 1, 50_000, func(m *payment.Capture) { m.Final = true }).want(t, unprocessable, payment.Conflict)
	f.capture(f.Shop, id, 2, 10_001, nil).want(t, conflict, payment.ExceedsAuthorised)
	f.capture(f.Shop, id, 2, 10_000, nil).want(t, http.StatusOK, "")
	f.capture(f.Shop, id, 3, 1, nil).want(t, conflict, payment.BadState)
	if hold := f.HoldOf(t, id); hold.State != ledger.HoldClosed || hold.Captured.Minor != 60_000 {
		t.Errorf("the hold is %s with %v captured, want closed with 600.00", hold.State, hold.Captured)
	}

	voided := f.Buy(t, 2, none)
	if _, err := f.Merchant.Void(t.Context(), voided, "sold out"); err != nil {
		t.Fatal(err)
	}
	f.capture(f.Shop, voided, 1, 100, nil).want(t, conflict, payment.BadState)

	f.Balanced(t, id, voided)

	waiting := f.Accepted(t, 2, consumer.Choice{Mode: payment.ConfirmRealtime})
	view, err := f.Consumer.Pay(t.Context(), waiting)
	if err != nil {
		t.Fatal(err)
	}
	authres := payment.Object(view.Objects[string(payment.KindAuthRes)][0]).Digest()
	f.capture(f.Shop, waiting, 1, 100, func(m *payment.Capture) { m.Ref = authres }).want(t, conflict, payment.BadState)
}

// TestThirdsAreExact: N25: three captures of a third, with a remainder of one minor unit; the last releases it.
func TestThirdsAreExact(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name        string
		minor       int64 // of each third
		final       bool
		posted, fee int64 // at the merchant's bank, 25 hundredths of a percent of each, half to even
	}{
		{"with the rest released", 19_999, true, 59_847, 150},
		{"with nothing left", 20_000, false, 59_850, 150},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			f := newForger(t, steady())
			id := f.Buy(t, 2, none)
			for seq := int64(1); seq <= 3; seq++ {
				f.capture(f.Shop, id, seq, tt.minor, func(m *payment.Capture) { m.Final = tt.final && seq == 3 }).want(t, http.StatusOK, "")
			}
			hold := f.HoldOf(t, id)
			if hold.State != ledger.HoldClosed || hold.Captured.Minor != 3*tt.minor || hold.Remaining.Minor != 0 {
				t.Errorf("hold %+v, want closed with %d captured", hold, 3*tt.minor)
			}
			var b agent.Balance
			if err := f.Merchant.Fetch(t.Context(), f.ABank.URI, "/balance", 0, &b); err != nil {
				t.Fatal(err)
			}
			if b.Posted.Minor != tt.posted {
				t.Errorf("the merchant has %s, want %d minor units: three thirds less %d", b.Posted, tt.posted, tt.fee)
			}
			f.Balanced(t, id)
		})
	}
}

// TestAMerchantDeliversOnlyOnAnApproval: N19 and N14 for results.
func TestAMerchantDeliversOnlyOnAnApproval(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	other := f.Buy(t, 2, none) // another payment's approval
	approval := ""
	for _, r := range recordsOf(t, f.Shop, other) {
		if r.Kind == payment.KindAuthRes {
			approval = r.Object
		}
	}
	id := f.Accepted(t, 2, none)
	result := func(change func(r *payment.Result), authres string) outcome {
		r := &payment.Result{
			Head:   payment.Head{ID: id, Audience: []string{f.Shop.URI}, Amount: cny(60_000), Ref: f.saleOf(id).Request},
			Result: payment.Deliver, AuthRes: payment.Object(approval).Digest(),
		}
		if change != nil {
			change(r)
		}
		msg := agent.Message{payment.KindResult: string(f.sign(f.GW, r))}
		if authres != "" {
			msg[payment.KindAuthRes] = authres
		}
		return f.post(f.GW, f.Shop, "/results", agent.Key(id, "result", 1), msg)
	}
	result(nil, "").want(t, badRequest, payment.BadJSON)
	result(nil, approval).want(t, unprocessable, payment.ApprovalMismatch)
	result(func(r *payment.Result) { r.Ref = payment.Object("stale").Digest() }, approval).want(t, unprocessable, payment.ApprovalMismatch)
	result(func(r *payment.Result) { r.Amount = cny(1) }, approval).want(t, unprocessable, payment.AmountMismatch)
	result(func(r *payment.Result) { r.AuthRes = payment.Object("forged").Digest() }, approval).want(t, unprocessable, payment.ApprovalMismatch)
	if v, err := f.Consumer.Await(t.Context(), id, 0); err != nil || v.State != payment.Requested {
		t.Errorf("after forged results the sale is %s, %v; want requested", v.State, err)
	}
}

// TestAnAccountIsForItsHolders: N18 and N21: another consumer's account, more than there is.
func TestAnAccountIsForItsHolders(t *testing.T) {
	t.Parallel()
	opts := steady()
	opts.Balance = 120_000
	f := newForger(t, opts)
	var thief *consumer.Consumer
	node := f.Add(t, "thief", policy.Consumer, func(a *agent.Agent) (err error) { thief, err = consumer.New(consumer.Config{Agent: a}); return err })
	node.Start(t)
	t.Cleanup(func() { node.Stop(t) })
	f.Link(t, node, thief, 1)
	steal(t, node, f.IBank.URI, f.number.Reveal())
	offered, err := thief.Order(t.Context(), f.Shop.URI, f.Terms(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Accept(t.Context(), offered.ID, none); err != nil {
		t.Fatal(err)
	}
	if _, err := thief.Pay(t.Context(), offered.ID); agent.CodeOf(err) != payment.AccountNotLinked {
		t.Errorf("paying from another's account: got %v, want %s", err, payment.AccountNotLinked)
	}
	id := f.Accepted(t, 5, none) // 1,500.00 of 1,200.00
	if v, err := f.Consumer.Pay(t.Context(), id); err != nil || v.State != payment.Declined {
		t.Errorf("more than there is: got %s, %v; want declined", v.State, err)
	}
}
