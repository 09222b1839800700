package paytest_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"testing"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// waiting takes a payment of n workstations until the consumer is asked to confirm it.
func (f *forger) waiting(n int64) (id string, notice agent.Notice) {
	f.t.Helper()
	id = f.Accepted(f.t, n, consumer.Choice{Mode: payment.ConfirmRealtime})
	if _, err := f.Consumer.Pay(f.t.Context(), id); err != nil {
		f.t.Fatal(err)
	}
	list, err := f.Consumer.Pending(f.t.Context(), f.K.URI, patience)
	if err != nil {
		f.t.Fatal(err)
	}
	at := slices.IndexFunc(list, func(n agent.Notice) bool { return n.ID == id })
	if at < 0 {
		f.t.Fatalf("nobody asks to confirm %s", id)
	}
	return id, list[at]
}

// reply makes the answer to a notice with a code for that amount.
func (f *forger) reply(n agent.Notice, minor int64) *payment.Answer {
	_, secret := stored(f.t, f.School, f.IBank.URI)
	return &payment.Answer{
		Head:     payment.Head{ID: n.ID, Audience: []string{f.K.URI}, Amount: cny(minor), Ref: n.AuthRes},
		Merchant: n.Merchant, Code: payment.EncodeMAC(payment.ConfirmationMAC(secret, n.ID, *cny(minor), n.Merchant, n.Nonce)), Channel: "online",
	}
}

func (f *forger) sendAnswer(from *paytest.Node, a *payment.Answer, try int64) outcome {
	f.t.Helper()
	return f.post(from, f.K, "/confirmations/"+a.ID+"/answer", agent.Key(a.ID, "answer", try), agent.Message{payment.KindAnswer: string(f.sign(from, a))})
}

// gatewayState reads what the gateway says of a payment.
func (f *forger) gatewayState(id string) (p payment.Progress) {
	f.t.Helper()
	if err := f.GW.Agent.Read(func(tx *agent.Tx) error {
		var all struct{ payment.Progress }
		err := tx.Get("payment/"+id, &all)
		p = all.Progress
		return err
	}); err != nil {
		f.t.Fatal(err)
	}
	return p
}

// TestAnAnswerIsForOneAmountAndPayee: N33 and N34: the code of another amount is another code, three wrong ones reject, and
// only the consumer of the payment answers.
func TestAnAnswerIsForOneAmountAndPayee(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	second := f.Add(t, "other", policy.Consumer, func(a *agent.Agent) error { _, err := consumer.New(consumer.Config{Agent: a}); return err })
	second.Start(t)
	t.Cleanup(func() { second.Stop(t) })
	id, notice := f.waiting(2)
	f.sendAnswer(second, f.reply(notice, 60_000), 1).want(t, forbidden, payment.ConsumerMismatch)
	own := string(f.sign(f.School, f.reply(notice, 60_000)))
	f.post(second, f.K, "/confirmations/"+id+"/answer", agent.Key(id, "answer", 1), agent.Message{payment.KindAnswer: own}).want(t, notFound, payment.NotFound)
	stale := f.reply(notice, 60_000)
	stale.Ref = payment.Object("other").Digest()
	f.sendAnswer(f.School, stale, 1).want(t, unprocessable, payment.NoMatch)
	if state := f.gatewayState(id).State; state != payment.Authorized {
		t.Errorf("the gateway has the payment as %s, want authorized", state)
	}
	// None of these counts as a try.
	f.sendAnswer(f.School, f.reply(notice, 1), 1).want(t, unprocessable, payment.NoMatch)  // right for another amount
	f.sendAnswer(f.School, f.reply(notice, 1), 1).want(t, unprocessable, payment.Conflict) // the same try again
	payee := f.reply(notice, 60_000)
	payee.Merchant += "x"
	f.sendAnswer(f.School, payee, 2).want(t, unprocessable, payment.NoMatch)
	lied := f.reply(notice, 1) // the code for one cent, with the amount that is expected
	lied.Amount = cny(60_000)
	got := f.sendAnswer(f.School, lied, 3)
	if m := confirmation(t, got); m.Result != payment.RejectedResult {
		t.Errorf("the third wrong answer: %s, want rejected", m.Result)
	}
	f.sendAnswer(f.School, f.reply(notice, 60_000), 4).want(t, conflict, payment.BadState) // rejected stays rejected
	until(t, "the hold is released", func() bool { return f.HoldOf(t, id).Remaining.Minor == 0 })
	f.Balanced(t, id)
}

// confirmation reads the confirmer's answer.
func confirmation(t *testing.T, got outcome) (m payment.Confirmation) {
	t.Helper()
	got.want(t, http.StatusOK, "")
	reply := agent.Message{}
	if err := json.Unmarshal(got.body, &reply); err != nil {
		t.Fatal(err)
	}
	if err := payment.Read(payment.Object(reply[payment.KindConfirm]), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// objectOf returns the newest object of a kind that a node keeps of a payment.
func (f *forger) objectOf(n *paytest.Node, id string, kind payment.Kind) string {
	f.t.Helper()
	object := ""
	for _, r := range recordsOf(f.t, n, id) {
		if r.Kind == kind {
			object = r.Object
		}
	}
	if object == "" {
		f.t.Fatalf("%s keeps no %s of %s", n.ID, kind, id)
	}
	return object
}

// confirm makes the confirmer's word about a payment.
func (f *forger) confirm(id, authres, result string, minor int64) string {
	return string(f.sign(f.K, &payment.Confirmation{
		Head: payment.Head{ID: id, Audience: []string{f.GW.URI, f.IBank.URI, f.School.URI}, Amount: cny(minor), Ref: authres}, Result: result,
	}))
}

// TestTheGatewayTakesTheConfirmersWordOnce: E7, E10: facts that differ, a payment that needs no confirmation, another confirmer.
func TestTheGatewayTakesTheConfirmersWordOnce(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	second := f.Add(t, "confirm2", policy.Confirmer, nil)
	tell := func(from *paytest.Node, id, confirm string) outcome {
		return f.post(from, f.GW, "/payments/"+id+"/confirmed", agent.Key(id, "confirmed", 1), agent.Message{payment.KindConfirm: confirm})
	}
	open := f.Buy(t, 2, none)
	approval := f.saleOf(open).AuthRes
	for _, result := range []string{payment.ConfirmedResult, payment.RejectedResult, payment.ExpiredResult} {
		tell(f.K, open, f.confirm(open, approval, result, 60_000)).want(t, conflict, payment.BadState)
	}
	if state := f.gatewayState(open).State; state != payment.Opened {
		t.Errorf("a payment that needs no confirmation is %s after one, want open", state)
	}
	id, notice := f.waiting(2)
	tell(f.K, id, f.confirm(id, approval, payment.ConfirmedResult, 60_000)).want(t, unprocessable, payment.ApprovalMismatch)
	tell(f.K, id, f.confirm(open, notice.AuthRes, payment.ConfirmedResult, 60_000)).want(t, unprocessable, payment.ApprovalMismatch)
	tell(f.K, id, f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 1)).want(t, unprocessable, payment.AmountMismatch)
	tell(second, id, f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 60_000)).want(t, notFound, payment.NotFound)
	if state := f.gatewayState(id).State; state != payment.Authorized {
		t.Errorf("after forged confirmations the payment is %s, want authorized", state)
	}
	f.Balanced(t, open, id)
}

// TestATransferNeedsTheConfirmersWordForThisPayment: N23 at the banks, and who may order a transfer.
func TestATransferNeedsTheConfirmersWordForThisPayment(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	second := f.Add(t, "gw2", policy.Gateway, nil)
	rival := f.Add(t, "abank2", policy.AcquiringBank, nil)
	done := f.Buy(t, 1, consumer.Choice{Mode: payment.ConfirmRealtime}) // whose confirmation is a good one
	id, notice := f.waiting(2)
	order := func(confirm string, change func(x *payment.Transfer)) agent.Message {
		x := &payment.Transfer{
			Head: payment.Head{ID: id, Audience: []string{f.ABank.URI, f.IBank.URI}, Amount: cny(60_000), Ref: notice.AuthRes}, Seq: 1,
			Capture: payment.Object("capture").Digest(),
		}
		m := agent.Message{}
		if confirm != "" {
			x.Confirm, m[payment.KindConfirm] = payment.Object(confirm).Digest(), confirm
		}
		if change != nil {
			change(x)
		}
		m[payment.KindTransfer] = string(f.sign(f.GW, x))
		return m
	}
	for _, tt := range []struct {
		name    string
		confirm string
		change  func(x *payment.Transfer)
		status  int
		code    payment.Code
	}{
		{"without a confirmation", "", nil, conflict, payment.BadState},
		{"with a rejection", f.confirm(id, notice.AuthRes, payment.RejectedResult, 60_000), nil, conflict, payment.BadState},
		{"with an expiry", f.confirm(id, notice.AuthRes, payment.ExpiredResult, 60_000), nil, conflict, payment.BadState},
		{"with another payment's confirmation", f.objectOf(f.GW, done, payment.KindConfirm), nil, unprocessable, payment.ApprovalMismatch},
		{"with a confirmation of another amount", f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 1), nil, unprocessable, payment.ApprovalMismatch},
		{"that names another confirmation", f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 60_000), func(x *payment.Transfer) { x.Confirm = notice.AuthRes }, unprocessable, payment.ApprovalMismatch},
		{"for another payment's approval", f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 60_000), func(x *payment.Transfer) { x.Ref = f.saleOf(done).AuthRes }, unprocessable, payment.ApprovalMismatch},
		{"of more than is held", f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 60_000), func(x *payment.Transfer) { x.Amount = cny(60_001) }, conflict, payment.ExceedsAuthorised},
	} {
		got := f.post(f.GW, f.ABank, "/transfers", agent.Key(id, "transfer", 1), order(tt.confirm, tt.change))
		t.Run(tt.name, func(t *testing.T) { got.want(t, tt.status, tt.code) })
	}
	good := order(f.confirm(id, notice.AuthRes, payment.ConfirmedResult, 60_000), nil)
	f.post(second, f.ABank, "/transfers", agent.Key(id, "transfer", 1), good).want(t, notFound, payment.NotFound) // who only got hold of it
	f.post(rival, f.IBank, "/transfers", agent.Key(id, "transfer", 1), good).want(t, notFound, payment.NotFound)
	stolen := &payment.Void{Head: payment.Head{ID: id, Audience: []string{f.ABank.URI, f.IBank.URI}, Ref: notice.AuthRes}, Reason: "not mine"}
	f.post(second, f.ABank, "/voids", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: string(f.sign(second, stolen))}).want(t, notFound, payment.NotFound)
	f.post(rival, f.IBank, "/voids", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: string(f.sign(f.GW, stolen))}).want(t, notFound, payment.NotFound)
	f.get(second, f.ABank, "/inquiries/"+id+"?issuer="+f.IBank.URI).want(t, notFound, payment.NotFound)
	f.get(rival, f.IBank, "/inquiries/"+id+"?gateway="+f.GW.URI).want(t, notFound, payment.NotFound)
	if hold := f.HoldOf(t, id); hold.Remaining.Minor != 60_000 || hold.Captured.Minor != 0 {
		t.Errorf("after refused transfers %v is held and %v captured, want 600.00 and nothing", hold.Remaining, hold.Captured)
	}
	f.Balanced(t, done, id)
}

// TestTheConfirmerTakesAnExpectationFromItsGatewayAlone: E7 and N1: facts that differ from what the bank sealed.
func TestTheConfirmerTakesAnExpectationFromItsGatewayAlone(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	second := f.Add(t, "gw2", policy.Gateway, nil)
	p := f.order(2)
	to, err := f.IBank.Agent.EncryptionOf(t.Context(), f.K.URI)
	if err != nil {
		t.Fatal(err)
	}
	send := func(from *paytest.Node, change func(e *payment.Expect, a *payment.AuthRes)) outcome {
		e := payment.Expect{
			ID: p.id, Consumer: f.School.URI, Merchant: f.Shop.URI, Amount: p.dual.Sum(), Nonce: payment.NewNonce(), Tries: 3, Expires: p.terms.Expires,
			MAC: payment.Object("mac").Digest(),
		}
		a := &payment.AuthRes{
			Head:     payment.Head{ID: p.id, Audience: []string{f.GW.URI, f.K.URI}, Amount: cny(60_000), Ref: payment.Object("auth").Digest()},
			Merchant: f.Shop.URI, Consumer: f.School.URI, Result: payment.Approved, Code: payment.CodeApproved, Hold: "h", HoldExpires: p.terms.Expires,
		}
		change(&e, a)
		plain, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := payment.Seal(payment.KindExpect, to, plain)
		if err != nil {
			t.Fatal(err)
		}
		if a.Expect == "" && a.Result == payment.Approved {
			a.Expect = sealed.Digest()
		}
		return f.post(from, f.K, "/confirmations", agent.Key(p.id, "confirmation", 1), agent.Message{payment.KindAuthRes: string(f.sign(f.IBank, a)), payment.KindExpect: string(sealed)})
	}
	send(f.GW, func(e *payment.Expect, _ *payment.AuthRes) { e.Amount = *cny(1) }).want(t, unprocessable, payment.AmountMismatch)
	send(f.GW, func(e *payment.Expect, _ *payment.AuthRes) { e.Merchant += "x" }).want(t, unprocessable, payment.ApprovalMismatch)
	send(f.GW, func(e *payment.Expect, _ *payment.AuthRes) { e.Consumer += "x" }).want(t, unprocessable, payment.ApprovalMismatch)
	send(f.GW, func(e *payment.Expect, _ *payment.AuthRes) { e.ID = payment.NewID(f.K.Agent.Now()) }).want(t, unprocessable, payment.ApprovalMismatch)
	send(f.GW, func(_ *payment.Expect, a *payment.AuthRes) { a.Expect = payment.Object("x").Digest() }).want(t, unprocessable, payment.ApprovalMismatch)
	send(f.GW, func(_ *payment.Expect, a *payment.AuthRes) {
		a.Result, a.Code, a.Hold, a.HoldExpires = payment.Refused, payment.CodeNoFunds, "", 0
	}).want(t, unprocessable, payment.ApprovalMismatch)
	send(second, func(*payment.Expect, *payment.AuthRes) {}).want(t, forbidden, payment.NotAddressedHere)
	if list, err := f.Consumer.Pending(t.Context(), f.K.URI, 0); err != nil || len(list) != 0 {
		t.Errorf("after refused expectations the consumer is asked for %d, %v; want none", len(list), err)
	}
}
