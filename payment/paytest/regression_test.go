package paytest_test

import (
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/payment/paytest"
)

// Each of these was a fault of the agents once.
func TestWhatWentWrongOnceDoesNotAgain(t *testing.T) {
	t.Parallel()
	d := &dropper{}
	opts := steady()
	opts.Fail = d.fail
	w := paytest.New(t, opts)
	for name, try := range map[string]func(*testing.T, *paytest.World, *dropper){
		"a void whose reply is lost is learnt by asking again":          voidAgain,
		"a refused capture stays refused when it is sent again":         refusedAgain,
		"an approval found by inquiry can be captured":                  inquired,
		"reading the offer again forgets no payment":                    readAgain,
		"a confirmation whose reply is lost is answered the same again": confirmedAgain,
	} {
		t.Run(name, func(t *testing.T) { try(t, w, d) })
	}
}

func voidAgain(t *testing.T, w *paytest.World, d *dropper) {
	for _, point := range []string{"gateway.answering.void", "acquiringbank.answering.void", "issuingbank.answering.void"} {
		t.Run(point, func(t *testing.T) {
			id := w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone})
			d.arm(point)
			if _, err := w.Merchant.Void(t.Context(), id, "out of stock"); agent.CodeOf(err) != payment.Unavailable {
				t.Errorf("without a reply: %v, want %s", err, payment.Unavailable)
			}
			d.disarm()
			if _, err := w.Merchant.Ship(t.Context(), id); agent.CodeOf(err) != payment.BadState {
				t.Errorf("shipping what is being given up: %v, want %s", err, payment.BadState)
			}
			if v, err := w.Merchant.Void(t.Context(), id, "still out of stock"); err != nil || v.State != payment.Released {
				t.Errorf("again: %s, %v, want voided", v.State, err)
			}
			if err := w.Told(t, id).Check(); err != nil {
				t.Error(err)
			}
		})
	}
}

func refusedAgain(t *testing.T, w *paytest.World, _ *dropper) {
	id := w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone})
	void, err := w.Gateway.Exchange(w.ABank.URI).Sign(&payment.Void{
		Head: payment.Head{ID: id, Audience: []string{w.ABank.URI, w.IBank.URI}, Ref: approval(t, w, id)}, Reason: "behind the merchant's back",
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Acquirer.Send(t.Context(), w.IBank.URI, "/voids", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: string(void)}, new(agent.Message)); err != nil {
		t.Fatal(err)
	}
	amount := money.New(30_000, "CNY")
	object, err := w.Merchant.Exchange(w.GW.URI).Sign(&payment.Capture{
		Head: payment.Head{ID: id, Audience: []string{w.GW.URI}, Amount: &amount, Ref: approval(t, w, id)}, Seq: 1, Shipped: time.Now().Unix(),
	}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := w.Merchant.Send(t.Context(), w.GW.URI, "/payments/"+id+"/capture", agent.Key(id, "capture", 1), agent.Message{payment.KindCapture: string(object)}, new(agent.Message))
		if !agent.Final(err) || agent.CodeOf(err) != payment.BadState {
			t.Errorf("capturing what is voided: %v, want %s", err, payment.BadState)
		}
	}
	if hold := w.HoldOf(t, id); hold.State != ledger.HoldVoided || hold.Captured.Minor != 0 {
		t.Errorf("the hold is %+v, want voided", hold)
	}
}

func inquired(t *testing.T, w *paytest.World, d *dropper) {
	id := w.Accepted(t, 1, consumer.Choice{Mode: payment.ConfirmNone})
	d.arm("acquiringbank.sent.auth") // the acquiring bank keeps nothing of the reply
	if v, err := w.Consumer.Pay(t.Context(), id); err != nil || v.State != payment.Opened {
		t.Fatalf("paid: %s, %v, want open", v.State, err)
	}
	if !d.disarm() {
		t.Error("the acquiring bank lost nothing")
	}
	if v, err := w.Merchant.Ship(t.Context(), id); err != nil || v.State != payment.Closed {
		t.Errorf("captured: %s, %v, want closed", v.State, err)
	}
}

func readAgain(t *testing.T, w *paytest.World, _ *dropper) {
	id := w.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmNone})
	before := w.Told(t, id).Consumer
	if _, err := w.Consumer.Refresh(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if after := w.Told(t, id).Consumer; after.State != before.State || after.Mode != before.Mode {
		t.Errorf("after reading the offer: %s %q, want %s %q", after.State, after.Mode, before.State, before.Mode)
	}
}

func confirmedAgain(t *testing.T, w *paytest.World, d *dropper) {
	id := w.Accepted(t, 1, consumer.Choice{})
	if _, err := w.Consumer.Pay(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	d.arm("confirmer.answering.answer")
	if _, err := w.Consumer.Confirm(t.Context(), id, time.Second); agent.CodeOf(err) != payment.Unavailable {
		t.Errorf("without a reply: %v, want %s", err, payment.Unavailable)
	}
	d.disarm()
	for range 2 {
		if a, err := w.Consumer.Confirm(t.Context(), id, 0); err != nil || a.Result != payment.ConfirmedResult {
			t.Errorf("again: %v, %v, want confirmed", a, err)
		}
	}
}
