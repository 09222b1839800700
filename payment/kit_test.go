package payment_test

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// network is that of all tests here.
const network = "pay.example"

// noon is the time of all tests here.
var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

var b64 = base64.RawURLEncoding

// A party signs; what it is sealed to, it opens.
type party struct {
	id   policy.Identity
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

// newParty makes a party with a certificate of its own making: who is to be believed is not asked here.
func newParty(t testing.TB, role policy.Role, name string) *party {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p := &party{id: policy.Identity{Network: network, Role: role, Party: name}, key: key}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(name))), Subject: pkix.Name{CommonName: name}, URIs: []*url.URL{p.id.URI()},
		NotBefore: noon.Add(-time.Hour), NotAfter: noon.Add(100 * 365 * 24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err == nil {
		p.cert, err = x509.ParseCertificate(der)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *party) uri() string        { return p.id.String() }
func (p *party) thumbprint() string { return payment.Thumbprint(p.cert.Raw) }

func (p *party) signer() payment.Signer {
	return payment.Signer{URI: p.uri(), Thumbprint: p.thumbprint(), Key: p.key}
}

func (p *party) ecdh(t testing.TB) *ecdh.PrivateKey {
	t.Helper()
	key, err := p.key.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// A cast is the parties of a payment.
type cast struct {
	consumer, merchant, gateway, acquirer, issuer, confirmer *party
}

func newCast(t testing.TB) *cast {
	t.Helper()
	return &cast{
		newParty(t, policy.Consumer, "school"), newParty(t, policy.Merchant, "shop1"), newParty(t, policy.Gateway, "gw1"),
		newParty(t, policy.AcquiringBank, "abank"), newParty(t, policy.IssuingBank, "ibank"), newParty(t, policy.Confirmer, "confirm"),
	}
}

func (c *cast) all() []*party {
	return []*party{c.consumer, c.merchant, c.gateway, c.acquirer, c.issuer, c.confirmer}
}

// verifier knows everybody and reads for one of them.
func (c *cast) verifier(self string) payment.Verifier {
	return payment.Verifier{Self: self, Now: func() time.Time { return noon }, Resolve: func(_ context.Context, thumbprint string) (*policy.Peer, error) {
		for _, p := range c.all() {
			if p.thumbprint() == thumbprint {
				return &policy.Peer{Identity: p.id, Leaf: p.cert}, nil
			}
		}
		return nil, payment.Refuse(payment.UnknownSigner, "kid", thumbprint, "a known one")
	}}
}

// paymentID is that of all tests here.
const paymentID = "019f0000-0000-7000-8000-000000000001"

func amount(minor int64) *money.Money {
	m := money.New(minor, "CNY")
	return &m
}

// head is complete but for what Sign fills in.
func head(readers ...*party) payment.Head {
	h := payment.Head{ID: paymentID, Amount: amount(1_234_500), IssuedAt: noon.Unix(), Expires: noon.Add(time.Hour).Unix()}
	for _, r := range readers {
		h.Audience = append(h.Audience, r.uri())
	}
	return h
}

func digest(s string) string { return payment.Object(s).Digest() }

func terms() payment.Terms {
	return payment.Terms{
		Lines: []payment.Line{{
			SKU: "PC-1", Model: "Workstation", Quantity: 3, UnitPrice: *amount(411_500), Options: []payment.Option{{Name: "graphics card", Value: "GX 4"}},
		}},
		Delivery: payment.Delivery{Time: noon.AddDate(0, 1, 0), Place: "room 4"},
	}
}

// A specimen is a good body of one kind, who signs it, and who reads it.
type specimen struct {
	body           payment.Body
	signer, reader *party
}

const nonce = "AAAAAAAAAAAAAAAAAAAAAA"

// specimens lists one good body of each kind.
func (c *cast) specimens() map[payment.Kind]specimen {
	ref := digest("ref")
	referring := func(readers ...*party) payment.Head {
		h := head(readers...)
		h.Ref = ref
		return h
	}
	fields, err := payment.NewFields(*amount(1_234_500), "shop1", "622848", 7, noon)
	if err != nil {
		panic(err)
	}
	confirm := payment.Confirm{Mode: payment.ConfirmRealtime, Channel: "online"}
	m, g, a, i, k, u := c.merchant, c.gateway, c.acquirer, c.issuer, c.confirmer, c.consumer
	return map[payment.Kind]specimen{
		payment.KindOffer: {&payment.Offer{
			Head: head(u), Order: paymentID, Rev: 1, Nonce: nonce, Terms: terms(), PaymentTerms: "as agreed", Instruments: []payment.Instrument{{Name: "card", Limit: amount(9_000_000)}},
			Gateway: g.uri(), GatewayEnc: g.thumbprint(), Acquirer: a.uri(), CaptureRule: payment.CaptureOnShipment,
		}, m, u},
		payment.KindDual: {&payment.Dual{
			Head: head(m, g, a), OIH: digest("oi"), PIH: digest("pi"), Merchant: m.uri(), Gateway: g.uri(), GatewayEnc: g.thumbprint(), Acquirer: a.uri(), Instrument: "card", Confirm: confirm,
		}, u, g},
		payment.KindRequest: {&payment.Request{Head: referring(g), OIH: digest("oi"), Dual: ref, Payout: "merchant/shop1", CaptureRule: payment.CaptureAnytime}, m, g},
		payment.KindAuth:    {&payment.Auth{Head: referring(a, i), Dual: ref, Instruction: digest("pie"), Merchant: m.uri(), Fields: fields}, g, i},
		payment.KindAuthRes: {&payment.AuthRes{
			Head: referring(a, g, m, u), Merchant: m.uri(), Consumer: u.uri(), Result: payment.Approved, Code: payment.CodeApproved, Hold: "h1", HoldExpires: noon.AddDate(0, 0, 7).Unix(), Expect: digest("expect"),
		}, i, g},
		payment.KindAnswer:      {&payment.Answer{Head: referring(k), Merchant: m.uri(), Code: "12345678", Channel: "phone"}, u, k},
		payment.KindConfirm:     {&payment.Confirmation{Head: referring(g, i), Result: payment.ConfirmedResult}, k, g},
		payment.KindResult:      {&payment.Result{Head: referring(m), Result: payment.Deliver, AuthRes: ref, Confirm: ref}, g, m},
		payment.KindReceipt:     {&payment.Receipt{Head: referring(u), OIH: ref, AuthRes: ref, Result: ref, Estimated: noon.Unix()}, m, u},
		payment.KindDelivered:   {&payment.Delivered{Head: referring(m), OIH: ref, What: "complete", Delivered: noon.Unix()}, u, m},
		payment.KindCapture:     {&payment.Capture{Head: referring(g), Seq: 1, Final: true, Shipped: noon.Unix(), Delivered: ref}, m, g},
		payment.KindTransfer:    {&payment.Transfer{Head: referring(a, i), Seq: 1, Capture: ref, Confirm: ref}, g, i},
		payment.KindTransferred: {&payment.Transferred{Head: referring(a, g, m, u), Merchant: m.uri(), Seq: 1, Posting: "p1"}, i, u},
		payment.KindVoid:        {&payment.Void{Head: referring(g), Reason: "sold out"}, m, g},
		payment.KindVoided:      {&payment.Voided{Head: referring(a, g), Merchant: m.uri(), Released: true}, i, g},
	}
}

// sign signs a body as it is.
func sign(t testing.TB, p *party, body payment.Body) payment.Object {
	t.Helper()
	object, err := payment.Sign(p.signer(), body)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// forge signs any header and payload.
func forge(t testing.TB, p *party, header string, payload []byte) payment.Object {
	t.Helper()
	text := b64.EncodeToString([]byte(header)) + "." + b64.EncodeToString(payload)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	var raw [64]byte
	r.FillBytes(raw[:32])
	s.FillBytes(raw[32:])
	return payment.Object(text + "." + b64.EncodeToString(raw[:]))
}

func header(p *party, kind payment.Kind) string {
	return `{"alg":"ES256","kid":"` + p.thumbprint() + `","typ":"pay-` + string(kind) + `+jws"}`
}

// empty returns a zero body of a kind.
func empty(t testing.TB, kind payment.Kind) payment.Body {
	t.Helper()
	bodies := map[payment.Kind]payment.Body{
		payment.KindOffer: &payment.Offer{}, payment.KindDual: &payment.Dual{}, payment.KindRequest: &payment.Request{}, payment.KindAuth: &payment.Auth{},
		payment.KindAuthRes: &payment.AuthRes{}, payment.KindAnswer: &payment.Answer{}, payment.KindConfirm: &payment.Confirmation{}, payment.KindResult: &payment.Result{},
		payment.KindReceipt: &payment.Receipt{}, payment.KindDelivered: &payment.Delivered{}, payment.KindCapture: &payment.Capture{}, payment.KindTransfer: &payment.Transfer{},
		payment.KindTransferred: &payment.Transferred{}, payment.KindVoid: &payment.Void{}, payment.KindVoided: &payment.Voided{},
	}
	if bodies[kind] == nil {
		t.Fatalf("no body of kind %q", kind)
	}
	return bodies[kind]
}

// members reads the payload of an object as JSON members.
func members(t testing.TB, object payment.Object) map[string]json.RawMessage {
	t.Helper()
	var m map[string]json.RawMessage
	if err := json.Unmarshal(payment.Payload(object), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// part replaces one of the parts of a compact object.
func part(text string, n int, change func(string) string) string {
	parts := strings.Split(text, ".")
	parts[n] = change(parts[n])
	return strings.Join(parts, ".")
}
