package paytest_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/gateway"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

const (
	badRequest    = http.StatusBadRequest
	forbidden     = http.StatusForbidden
	notFound      = http.StatusNotFound
	conflict      = http.StatusConflict
	unprocessable = http.StatusUnprocessableEntity
)

// TestTheGatewayRefusesARequest: what a merchant may get wrong, or try, when it asks for a payment.
func TestTheGatewayRefusesARequest(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	for _, tt := range []struct {
		name   string
		forge  func(p *purchase, r *payment.Request)
		status int
		code   payment.Code
	}{
		{"N1 for another amount than the consumer signed", func(_ *purchase, r *payment.Request) { r.Amount = cny(60_001) }, unprocessable, payment.AmountMismatch},
		{"N8 with the dual signature of another order", func(_ *purchase, r *payment.Request) { r.Dual = payment.Object("other").Digest() }, unprocessable, payment.OIHMismatch},
		{"N3 for another order than the consumer signed", func(_ *purchase, r *payment.Request) { r.OIH = payment.OIH("other") }, unprocessable, payment.OIHMismatch},
		{"D-3 addressed to another gateway", func(_ *purchase, r *payment.Request) { r.Audience = []string{f.ABank.URI} }, forbidden, payment.NotAddressedHere},
	} {
		p := f.order(2)
		f.seal(p)
		r := f.request(p)
		tt.forge(p, r)
		body := agent.Message{payment.KindRequest: string(f.sign(f.Shop, r)), payment.KindDual: string(p.signed)}
		got := f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), body)
		t.Run(tt.name, func(t *testing.T) {
			got.want(t, tt.status, tt.code)
			f.untouched(p, "")
		})
	}
}

// TestTheGatewayRefusesADualSignature: what a consumer, or who alters what it signed, may try.
func TestTheGatewayRefusesADualSignature(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	for _, tt := range []struct {
		name   string
		forge  func(p *purchase)
		status int
		code   payment.Code
	}{
		{"N6 that names another gateway", func(p *purchase) { p.dual.Gateway = strings.Replace(f.GW.URI, "gw1", "gw2", 1) }, forbidden, payment.NotAddressedHere},
		{"N5 that seals to a certificate the gateway does not have", func(p *purchase) { p.dual.GatewayEnc = payment.Object("x").Digest() }, forbidden, payment.BadRecipient},
		{"N8 that names another merchant", func(p *purchase) { p.dual.Merchant = strings.Replace(f.Shop.URI, "shop1", "shop2", 1) }, forbidden, payment.NotAddressedHere},
	} {
		p := f.order(2)
		tt.forge(p)
		f.seal(p)
		r := f.request(p)
		body := agent.Message{payment.KindRequest: string(f.sign(f.Shop, r)), payment.KindDual: string(p.signed)}
		got := f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), body)
		t.Run(tt.name, func(t *testing.T) {
			got.want(t, tt.status, tt.code)
			f.untouched(p, "")
		})
	}
}

// TestTheGatewayRefusesAnInstruction: N4, N5, N18 and what else is wrong inside the envelope.
func TestTheGatewayRefusesAnInstruction(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	foreign, err := account.RandomNumber("411111")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		forge  func(p *purchase) // before the dual is signed
		swap   func(p *purchase) // after
		status int
		code   payment.Code
	}{
		{"N4 with another amount under a good dual", nil, func(p *purchase) { p.in.Amount = *cny(1) }, unprocessable, payment.PIHMismatch},
		{"N4 with another account under a good dual", nil, func(p *purchase) { p.in.Number = foreign }, unprocessable, payment.PIHMismatch},
		{"N1 whose amount differs from the dual's", func(p *purchase) { p.in.Amount = *cny(1) }, nil, unprocessable, payment.AmountMismatch},
		{"N8 of another consumer", func(p *purchase) { p.in.Consumer = strings.Replace(f.School.URI, "school", "other", 1) }, nil, forbidden, payment.ConsumerMismatch},
		{"N6 that names another gateway", func(p *purchase) { p.in.Gateway = strings.Replace(f.GW.URI, "gw1", "gw2", 1) }, nil, forbidden, payment.NotAddressedHere},
		{"N3 for another order", func(p *purchase) { p.in.OIH = payment.OIH("other") }, nil, unprocessable, payment.OIHMismatch},
		{"N18 with an unknown BIN", func(p *purchase) { p.in.Number = foreign }, nil, unprocessable, payment.InvalidAccount},
		{"N18 with an expired card", func(p *purchase) { p.in.Expiry = "2001" }, nil, unprocessable, payment.InvalidAccount},
		{"N7 that has expired", func(p *purchase) { p.in.Expires = time.Now().Add(-time.Minute).Unix() }, nil, conflict, payment.Expired},
		{"confirmed in another way", func(p *purchase) { p.in.Confirm.Mode = payment.ConfirmRealtime }, nil, unprocessable, payment.PIHMismatch},
	} {
		p := f.order(2)
		if tt.forge != nil {
			tt.forge(p)
		}
		sealed := f.seal(p)
		if tt.swap != nil {
			tt.swap(p)
			good, dual := p.signed, p.dual
			sealed = f.seal(p)
			p.signed, p.dual = good, dual
		}
		body := agent.Message{payment.KindRequest: string(f.sign(f.Shop, f.request(p))), payment.KindDual: string(p.signed)}
		requested := f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), body)
		got := f.post(f.School, f.GW, "/payments/"+p.id+"/instruction", agent.Key(p.id, "instruction", 1), agent.Message{payment.KindInstruction: string(sealed)})
		t.Run(tt.name, func(t *testing.T) {
			requested.want(t, http.StatusOK, "")
			got.want(t, tt.status, tt.code)
			f.untouched(p, payment.Requested)
		})
	}
}

// TestAnInstructionIsSealedToItsGatewayAlone: N5 and N6 with a second gateway, which would take what is wrapped for it again.
func TestAnInstructionIsSealedToItsGatewayAlone(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true})
	second := f.Add(t, "gw2", policy.Gateway, func(a *agent.Agent) error {
		_, err := gateway.New(gateway.Config{Agent: a, Routes: []gateway.Route{{BIN: paytest.BIN, Issuer: f.IBank.URI}}, Confirmer: f.K.URI})
		return err
	})
	second.Start(t)
	t.Cleanup(func() { second.Stop(t) })
	p := f.order(2)
	sealed := f.seal(p)
	r := f.request(p)
	r.Audience = []string{second.URI}
	body := agent.Message{payment.KindRequest: string(f.sign(f.Shop, r)), payment.KindDual: string(p.signed)}
	f.post(f.Shop, second, "/payments", agent.Key(p.id, "request", 1), body).want(t, forbidden, payment.NotAddressedHere)
	f.post(f.School, second, "/payments/"+p.id+"/instruction", agent.Key(p.id, "instruction", 1), agent.Message{payment.KindInstruction: string(sealed)}).want(t, notFound, payment.NotFound)

	// The consumer seals to nothing but a good encryption certificate of the gateway that the offer names.
	enc := f.GW.Encrypt(t)
	signing := payment.Thumbprint(f.GW.Cert.Certificate[0])
	for name, thumbprint := range map[string]string{
		"a signing certificate": signing, "an unknown one": payment.Object("x").Digest(), "another party's": payment.Thumbprint(f.IBank.Encrypt(t).Raw),
	} {
		if _, err := f.School.Agent.Recipient(t.Context(), thumbprint, f.GW.URI); agent.CodeOf(err) != payment.BadRecipient {
			t.Errorf("sealing to %s: got %v, want %s", name, err, payment.BadRecipient)
		}
	}
	if _, err := f.School.Agent.Recipient(t.Context(), payment.Thumbprint(enc.Raw), f.GW.URI); err != nil {
		t.Error(err)
	}
	f.Net.Revoke(t, enc, 1)
	if _, err := f.School.Agent.Recipient(t.Context(), payment.Thumbprint(enc.Raw), f.GW.URI); agent.CodeOf(err) != payment.BadRecipient {
		t.Errorf("sealing to a revoked certificate: got %v, want %s", err, payment.BadRecipient)
	}
}

// TestAnOfferIsAcceptedInItsNewestRevision: N2, N7 and N10 at the merchant.
func TestAnOfferIsAcceptedInItsNewestRevision(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	accept := func(p *purchase) outcome {
		return f.post(f.School, f.Shop, "/orders/"+p.id+"/accept", agent.Key(p.id, "accept", 1), agent.Message{payment.KindDual: string(p.signed)})
	}
	old := f.order(2)
	f.seal(old)
	if _, err := f.Consumer.Amend(t.Context(), old.id, f.Terms(3)); err != nil {
		t.Fatal(err)
	}
	accept(old).want(t, conflict, payment.OfferSuperseded)

	other := f.order(2)
	other.dual.Instrument = "barter"
	f.seal(other)
	accept(other).want(t, unprocessable, payment.MethodNotAllowed)

	cheap := f.order(2)
	cheap.dual.Amount = cny(1)
	f.seal(cheap)
	accept(cheap).want(t, unprocessable, payment.AmountMismatch)

	altered := f.order(2)
	altered.dual.OIH = payment.OIH(altered.offer + "x")
	f.seal(altered)
	accept(altered).want(t, unprocessable, payment.OIHMismatch)

	broken := f.order(2)
	f.seal(broken)
	broken.signed = payment.Object(strings.Replace(string(broken.signed), ".", ".e", 1))
	if got := accept(broken); got.status != forbidden && got.status != badRequest {
		t.Errorf("an altered dual signature: got %d %s", got.status, got.code)
	}
	f.untouched(old, "")
}

// TestBadOrdersAreRefused: N9 and N20 at the merchant's door.
func TestBadOrdersAreRefused(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	id := payment.NewID(time.Now())
	good := `{"order":"` + id + `","lines":[{"sku":"PC-1","model":"` + paytest.Goods + `","quantity":2,"unit_price":{"minor":30000,"currency":"CNY"}}],"delivery":{"time":"2030-09-01T08:00:00Z","place":"here"}}`
	replace := func(old, new string) []byte { return []byte(strings.Replace(good, old, new, 1)) }
	for _, tt := range []struct {
		name   string
		body   []byte
		status int
		code   payment.Code
	}{
		{"N9 quantity 0", replace(`"quantity":2`, `"quantity":0`), badRequest, payment.BadAmount},
		{"N9 quantity -1", replace(`"quantity":2`, `"quantity":-1`), badRequest, payment.BadAmount},
		{"N9 quantity 2^63", replace(`"quantity":2`, `"quantity":9223372036854775808`), badRequest, payment.BadJSON},
		{"N9 a total beyond 2^53", replace(`"quantity":2`, `"quantity":9007199254740991`), badRequest, payment.BadAmount},
		{"N9 an unknown currency", replace(`"CNY"`, `"XQX"`), badRequest, payment.BadAmount},
		{"N20 a member twice", replace(`"quantity":2`, `"quantity":2,"quantity":2`), badRequest, payment.BadJSON},
		{"N20 a mis-cased member", replace(`"quantity":2`, `"Quantity":2`), badRequest, payment.BadJSON},
		{"N20 an unknown member", replace(`"quantity":2`, `"quantity":2,"gift":true`), badRequest, payment.BadJSON},
		{"N20 data behind", []byte(good + "{}"), badRequest, payment.BadJSON},
		{"N20 NaN", replace(`"quantity":2`, `"quantity":NaN`), badRequest, payment.BadJSON},
		{"N20 1e2", replace(`"quantity":2`, `"quantity":1e2`), badRequest, payment.BadJSON},
		{"N20 a fraction", replace(`"minor":30000`, `"minor":30000.5`), badRequest, payment.BadJSON},
		{"N20 bytes that are no UTF-8", replace("here", "he\xffre"), badRequest, payment.BadJSON},
		{"N20 ten megabytes", bytes.Repeat([]byte(" "), 10<<20), http.StatusRequestEntityTooLarge, "too-large"},
		{"goods that are not sold", replace("PC-1", "PC-9"), notFound, payment.NotFound},
	} {
		got := f.post(f.School, f.Shop, "/orders", agent.Key(id, "order", 1), tt.body)
		t.Run(tt.name, func(t *testing.T) { got.want(t, tt.status, tt.code) })
	}
	f.post(f.School, f.Shop, "/orders", "", []byte(good)).want(t, badRequest, payment.KeyRequired)
	f.post(f.School, f.Shop, "/orders", agent.Key(payment.NewID(time.Now()), "order", 1), []byte(good)).want(t, unprocessable, payment.Conflict)
	// N22: the same bytes get the same reply, other bytes are refused, and to others the operation does not exist.
	first := f.post(f.School, f.Shop, "/orders", agent.Key(id, "order", 1), []byte(good))
	again := f.post(f.School, f.Shop, "/orders", agent.Key(id, "order", 1), []byte(good))
	first.want(t, http.StatusOK, "")
	if !again.replayed || !bytes.Equal(first.body, again.body) {
		t.Errorf("the same request again: replayed %v, same bytes %v; want both", again.replayed, bytes.Equal(first.body, again.body))
	}
	f.post(f.School, f.Shop, "/orders", agent.Key(id, "order", 1), replace(`"quantity":2`, `"quantity":3`)).want(t, unprocessable, payment.Conflict)
	other := f.Add(t, "other", policy.Consumer, func(a *agent.Agent) error { _, err := consumer.New(consumer.Config{Agent: a}); return err })
	f.post(other, f.Shop, "/orders", agent.Key(id, "order", 1), []byte(good)).want(t, notFound, payment.NotFound)
}
