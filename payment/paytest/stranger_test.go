package paytest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// TestAPaymentExistsOnlyForItsParties: N15: in the right role, but not the owner, there is nothing to be found, whatever
// the path.
func TestAPaymentExistsOnlyForItsParties(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	pupil := f.Add(t, "pupil", policy.Consumer, nil)
	rival := f.Add(t, "shop2", policy.Merchant, nil)
	gw2 := f.Add(t, "gw2", policy.Gateway, nil)
	id := f.Buy(t, 2, none)
	offered := f.order(1)
	f.seal(offered)
	ref := f.saleOf(id).AuthRes
	void := &payment.Void{Head: payment.Head{ID: id, Audience: []string{f.GW.URI}, Ref: ref}, Reason: "not mine"}
	capture := &payment.Capture{Head: payment.Head{ID: id, Audience: []string{f.GW.URI}, Amount: cny(60_000), Ref: ref}, Seq: 1, Shipped: 1}
	delivered := &payment.Delivered{Head: payment.Head{ID: id, Audience: []string{f.Shop.URI}, Ref: payment.Object(f.objectOf(f.Shop, id, payment.KindReceipt)).Digest()}, OIH: f.order(1).dual.OIH, What: "all", Delivered: 1}
	result := &payment.Result{Head: payment.Head{ID: id, Audience: []string{f.Shop.URI}, Amount: cny(60_000), Ref: f.saleOf(id).Request}, Result: payment.Failed}
	sealed := f.objectOf(f.GW, id, payment.KindInstruction)
	for _, tt := range []struct {
		name     string
		from, to *paytest.Node
		method   string
		path     string
		key      string
		body     any
	}{
		{"another consumer reads the order", pupil, f.Shop, "GET", "/orders/" + id, "", nil},
		{"another consumer amends the order", pupil, f.Shop, "POST", "/orders/" + offered.id + "/amend", agent.Key(offered.id, "amend", 2), f.Terms(3)},
		{"another consumer accepts the offer", pupil, f.Shop, "POST", "/orders/" + offered.id + "/accept", agent.Key(offered.id, "accept", 1), agent.Message{payment.KindDual: string(f.sign(pupil, &offered.dual))}},
		{"another consumer hands in the consumer's acceptance", pupil, f.Shop, "POST", "/orders/" + offered.id + "/accept", agent.Key(offered.id, "accept", 1), agent.Message{payment.KindDual: string(offered.signed)}},
		{"another consumer signs for the goods", pupil, f.Shop, "POST", "/orders/" + id + "/delivered", agent.Key(id, "delivered", 1), agent.Message{payment.KindDelivered: string(f.sign(pupil, delivered))}},
		{"another consumer reads the payment", pupil, f.GW, "GET", "/payments/" + id, "", nil},
		{"another consumer hands in the instruction", pupil, f.GW, "POST", "/payments/" + id + "/instruction", agent.Key(id, "instruction", 1), agent.Message{payment.KindInstruction: sealed}},
		{"a consumer without account reads the balance", pupil, f.IBank, "GET", "/balance", "", nil},
		{"another consumer traces the payment", pupil, f.IBank, "GET", "/trace/" + id, "", nil},
		{"another merchant reads the payment", rival, f.GW, "GET", "/payments/" + id, "", nil},
		{"another merchant captures", rival, f.GW, "POST", "/payments/" + id + "/capture", agent.Key(id, "capture", 1), agent.Message{payment.KindCapture: string(f.sign(rival, capture))}},
		{"another merchant sends the merchant's capture", rival, f.GW, "POST", "/payments/" + id + "/capture", agent.Key(id, "capture", 1), agent.Message{payment.KindCapture: string(f.sign(f.Shop, capture))}},
		{"another merchant voids", rival, f.GW, "POST", "/payments/" + id + "/void", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: string(f.sign(rival, void))}},
		{"another merchant hands in the instruction", rival, f.GW, "POST", "/payments/" + id + "/instruction", agent.Key(id, "instruction", 1), agent.Message{payment.KindInstruction: sealed}},
		{"a merchant without account reads the balance", rival, f.ABank, "GET", "/balance", "", nil},
		{"another merchant traces the payment", rival, f.GW, "GET", "/trace/" + id, "", nil},
		{"another gateway tells the merchant", gw2, f.Shop, "POST", "/results", agent.Key(id, "result", 2), nil},
		{"another gateway traces the payment", gw2, f.ABank, "GET", "/trace/" + id, "", nil},
		{"a payment that does not exist", f.School, f.GW, "GET", "/payments/" + payment.NewID(time.Now()), "", nil},
		{"a path that is no payment", f.School, f.GW, "GET", "/payments/1", "", nil},
	} {
		if tt.path == "/results" {
			other := f.Accepted(t, 1, none)
			result.ID, result.Ref, result.Amount = other, f.saleOf(other).Request, cny(30_000)
			tt.key, tt.body = agent.Key(other, "result", 1), agent.Message{payment.KindResult: string(f.sign(gw2, result))}
		}
		raw, err := json.Marshal(tt.body)
		if err != nil {
			t.Fatal(err)
		}
		f.call(tt.method, tt.from, tt.to, tt.path, tt.key, raw).named(t, tt.name, notFound, payment.NotFound)
	}
	if now := f.gatewayState(id); now.State != payment.Opened || len(now.Parts) != 0 {
		t.Errorf("the payment is %s with %d captures, want open without", now.State, len(now.Parts))
	}
	f.Balanced(t, id)
}

// TestATokenIsForItsParty: N15 and N22 for the tokens of both banks.
func TestATokenIsForItsParty(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	pupil := f.Add(t, "pupil", policy.Consumer, nil)
	reply, err := f.Issuer.Invite(t.Context(), issuingbank.InviteRequest{Party: f.School.ID, Balance: *cny(1)})
	if err != nil {
		t.Fatal(err)
	}
	kept := reply.(issuingbank.Invited).Token
	id := agent.InvitationID(kept)
	f.post(pupil, f.IBank, "/links", agent.Key(id, "link", 1), agent.TokenRequest{Token: kept}).want(t, notFound, payment.NotFound)
	f.post(f.School, f.IBank, "/links", agent.Key(id, "link", 1), agent.TokenRequest{Token: id + ".guessed"}).want(t, notFound, payment.NotFound)
	f.post(f.School, f.IBank, "/links", agent.Key(id, "link", 1), agent.TokenRequest{Token: kept}).want(t, http.StatusOK, "")
	invited, err := f.Acquirer.Invite(t.Context(), acquiringbank.InviteRequest{Party: "shop2", Currency: "CNY"})
	if err != nil {
		t.Fatal(err)
	}
	token := invited.(acquiringbank.Invited).Token
	id = agent.InvitationID(token)
	f.post(f.Shop, f.ABank, "/merchants", agent.Key(id, "onboard", 1), agent.TokenRequest{Token: token}).want(t, notFound, payment.NotFound)
}

// TestACaptureAgainHasTheSameReply: N22 and N24: the same bytes move money once, and the reply is the same to the byte.
func TestACaptureAgainHasTheSameReply(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	id := f.Buy(t, 2, none)
	m := &payment.Capture{Head: payment.Head{ID: id, Audience: []string{f.GW.URI}, Amount: cny(100), Ref: f.saleOf(id).AuthRes}, Seq: 1, Shipped: 1}
	body := agent.Message{payment.KindCapture: string(f.sign(f.Shop, m))}
	path, key := "/payments/"+id+"/capture", agent.Key(id, "capture", 1)
	first, again := f.post(f.Shop, f.GW, path, key, body), f.post(f.Shop, f.GW, path, key, body)
	first.want(t, http.StatusOK, "")
	if first.replayed || !again.replayed || !bytes.Equal(first.body, again.body) {
		t.Errorf("replayed %v, then %v, same bytes %v; want only the second, the same", first.replayed, again.replayed, bytes.Equal(first.body, again.body))
	}
	f.post(f.Shop, f.GW, path, "", body).want(t, badRequest, payment.KeyRequired)
	f.post(f.Shop, f.GW, path, agent.Key(id, "capture", 2), body).want(t, unprocessable, payment.Conflict)
	if hold := f.HoldOf(t, id); hold.Captured.Minor != 100 {
		t.Errorf("%v was captured, want 1.00", hold.Captured)
	}
	f.Balanced(t, id)
}

// TestTimeRunsOut: N7, N19 and N23 with a clock that jumps: offers, what waits for an instruction, approvals and holds.
func TestTimeRunsOut(t *testing.T) {
	t.Parallel()
	var ahead atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	opts := quick()
	opts.Now = now
	f := newForger(t, opts)
	late := f.order(2) // never accepted
	f.seal(late)
	idle := f.order(2) // accepted, but no instruction came
	instruction := f.seal(idle)
	f.post(f.School, f.Shop, "/orders/"+idle.id+"/accept", agent.Key(idle.id, "accept", 1), agent.Message{payment.KindDual: string(idle.signed)}).want(t, http.StatusOK, "")
	fresh, other := f.Accepted(t, 2, none), f.Buy(t, 2, none)
	transfer := &payment.Transfer{
		Head: payment.Head{ID: other, Audience: []string{f.ABank.URI, f.IBank.URI}, Amount: cny(100), Ref: f.saleOf(other).AuthRes, IssuedAt: now().Unix(), Expires: now().Add(365 * 24 * time.Hour).Unix()},
		Seq:  1, Capture: payment.Object("c").Digest(),
	}
	stale := &payment.AuthRes{
		Head:     payment.Head{ID: fresh, Audience: []string{f.Shop.URI}, Amount: cny(60_000), Ref: payment.Object("auth").Digest()},
		Merchant: f.Shop.URI, Consumer: f.School.URI, Result: payment.Approved, Code: payment.CodeApproved, Hold: "h", HoldExpires: now().Add(time.Minute).Unix(),
	}
	approval := f.sign(f.IBank, stale)
	result := &payment.Result{
		Head:   payment.Head{ID: fresh, Audience: []string{f.Shop.URI}, Amount: cny(60_000), Ref: f.saleOf(fresh).Request},
		Result: payment.Deliver, AuthRes: approval.Digest(),
	}
	ahead.Store(int64(2 * time.Minute)) // the hold of that approval lasts for one
	f.post(f.GW, f.Shop, "/results", agent.Key(fresh, "result", 1), agent.Message{payment.KindResult: string(f.sign(f.GW, result)), payment.KindAuthRes: string(approval)}).want(t, unprocessable, payment.ApprovalMismatch)
	ahead.Store(int64(16 * time.Minute)) // an offer lives for 15
	f.post(f.School, f.Shop, "/orders/"+late.id+"/accept", agent.Key(late.id, "accept", 1), agent.Message{payment.KindDual: string(late.signed)}).want(t, conflict, payment.Expired)
	f.post(f.Shop, f.GW, "/payments", agent.Key(late.id, "request", 1), agent.Message{payment.KindRequest: string(f.sign(f.Shop, f.request(late))), payment.KindDual: string(late.signed)}).want(t, conflict, payment.Expired)
	until(t, "the gateway gives up", func() bool { return f.gatewayState(idle.id).State == payment.Lapsed })
	f.post(f.School, f.GW, "/payments/"+idle.id+"/instruction", agent.Key(idle.id, "instruction", 1), agent.Message{payment.KindInstruction: string(instruction)}).want(t, conflict, payment.BadState)
	ahead.Store(int64(8 * 24 * time.Hour)) // a hold lasts for 7 days
	order := agent.Message{payment.KindTransfer: string(f.sign(f.GW, transfer))}
	f.post(f.GW, f.ABank, "/transfers", agent.Key(other, "transfer", 1), order).want(t, conflict, payment.BadState)
	until(t, "the hold is released", func() bool { return f.HoldOf(t, other).Remaining.Minor == 0 })
	until(t, "the gateway is told", func() bool { return f.gatewayState(other).State == payment.Released })
	if _, err := f.Merchant.Capture(t.Context(), other, cny(100), false); agent.CodeOf(err) != payment.BadState {
		t.Errorf("a capture after the hold: %v, want %s", err, payment.BadState)
	}
	f.Balanced(t, other)
}

// TestAnAcceptanceIsForOneConsumerOnce: N8 at the merchant, and a second acceptance with another dual signature.
func TestAnAcceptanceIsForOneConsumerOnce(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	pupil := f.Add(t, "pupil", policy.Consumer, func(a *agent.Agent) error { _, err := consumer.New(consumer.Config{Agent: a}); return err })
	accept := func(p *purchase, signed payment.Object) outcome {
		return f.post(f.School, f.Shop, "/orders/"+p.id+"/accept", agent.Key(p.id, "accept", 1), agent.Message{payment.KindDual: string(signed)})
	}
	p := f.order(2)
	f.seal(p)
	accept(p, f.sign(pupil, &p.dual)).want(t, forbidden, payment.ConsumerMismatch)
	other := f.order(2)
	f.seal(other)
	accept(p, other.signed).want(t, unprocessable, payment.OIHMismatch)
	accept(p, p.signed).want(t, http.StatusOK, "")
	p.dual.PIH = payment.PIH([]byte("another instruction"))
	accept(p, f.sign(f.School, &p.dual)).want(t, unprocessable, payment.Conflict)
	f.untouched(p, payment.Requested)
}

// TestAMerchantBelievesNoTransferOfAnotherAmount: N1 and N19 for the bank's word about a capture, which comes through the gateway.
func TestAMerchantBelievesNoTransferOfAnotherAmount(t *testing.T) {
	t.Parallel()
	var forged sync.Map // path -> object
	opts := quick()
	opts.Calling = func(_ string, next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if object, ok := forged.Load(r.URL.Path); ok && err == nil {
				_ = resp.Body.Close()
				resp.Body = io.NopCloser(strings.NewReader(`{"transferred":"` + object.(string) + `"}`))
			}
			return resp, err
		})
	}
	f := newForger(t, opts)
	bank := f.Add(t, "ibank2", policy.IssuingBank, nil)
	var ids []string
	for _, tt := range []struct {
		name   string
		by     *paytest.Node
		change func(x *payment.Transferred)
		code   payment.Code
	}{
		{"of another amount", f.IBank, func(x *payment.Transferred) { x.Amount = cny(1) }, payment.AmountMismatch},
		{"by another bank", bank, func(*payment.Transferred) {}, payment.ApprovalMismatch},
		{"of another payment", f.IBank, func(x *payment.Transferred) { x.ID = payment.NewID(time.Now()) }, payment.ApprovalMismatch},
		{"of another part", f.IBank, func(x *payment.Transferred) { x.Seq = 2 }, payment.ApprovalMismatch},
		{"to another merchant", f.IBank, func(x *payment.Transferred) { x.Merchant += "x" }, payment.ApprovalMismatch},
		{"for somebody else", f.IBank, func(x *payment.Transferred) { x.Audience = []string{f.GW.URI} }, payment.NotAddressedHere},
	} {
		id := f.Buy(t, 2, none)
		x := &payment.Transferred{
			Head:     payment.Head{ID: id, Audience: []string{f.Shop.URI}, Amount: cny(60_000), Ref: payment.Object("transfer").Digest()},
			Merchant: f.Shop.URI, Seq: 1, Final: true, Posting: "p",
		}
		tt.change(x)
		forged.Store("/payments/"+id+"/capture", string(f.sign(tt.by, x)))
		if _, err := f.Merchant.Ship(t.Context(), id); agent.CodeOf(err) != tt.code {
			t.Errorf("a transfer %s: %v, want %s", tt.name, err, tt.code)
		}
		if sale := f.Told(t, id).Merchant; sale.State != payment.Opened {
			t.Errorf("after a transfer %s the sale is %s, want open", tt.name, sale.State)
		}
		ids = append(ids, id)
	}
	forged.Clear()
	for _, id := range ids { // the capture is sent again by itself
		until(t, "the bank's own word closes the sale", func() bool { return f.Told(t, id).Merchant.State == payment.Closed })
	}
	f.Balanced(t, ids...)
}

type tripper func(r *http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (t tripper) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }
