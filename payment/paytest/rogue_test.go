package paytest_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// resign changes the payload of an object and signs it again with the key of a node, whatever Sign would say of it.
func (f *forger) resign(n *paytest.Node, object string, change func(payload string) string) string {
	f.t.Helper()
	header, _, _ := strings.Cut(object, ".")
	text := header + "." + base64.RawURLEncoding.EncodeToString([]byte(change(string(payment.Payload(payment.Object(object))))))
	sum := sha256.Sum256([]byte(text))
	der, err := n.Cert.PrivateKey.(*ecdsa.PrivateKey).Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		f.t.Fatal(err)
	}
	var pair struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &pair); err != nil {
		f.t.Fatal(err)
	}
	raw := make([]byte, 64)
	pair.R.FillBytes(raw[:32])
	pair.S.FillBytes(raw[32:])
	return text + "." + base64.RawURLEncoding.EncodeToString(raw)
}

// altered changes the payload of an object and leaves its signature.
func altered(object, from, to string) string {
	parts := strings.Split(object, ".")
	payload := strings.Replace(string(payment.Payload(payment.Object(object))), from, to, 1)
	parts[1] = base64.RawURLEncoding.EncodeToString([]byte(payload))
	return strings.Join(parts, ".")
}

// A rogue is a merchant that offers and shows what it likes.
type rogue struct {
	f     *forger
	node  *paytest.Node
	offer func(o *payment.Offer)     // changes an offer before it is signed
	sent  func(object string) string // and after
	shown map[payment.Kind]string    // what it shows of a payment that was accepted
}

// newRogue adds the merchant to a network and lets the consumer know of it.
func newRogue(f *forger) *rogue {
	f.t.Helper()
	r := &rogue{f: f}
	r.node = f.Add(f.t, "rogue", policy.Merchant, func(a *agent.Agent) error {
		a.Post("/orders", r.order)
		a.Post("/orders/{id}/accept", func(_ context.Context, c *agent.Call) (any, error) {
			return agent.View{ID: c.Request.PathValue("id"), State: payment.Requested}, nil
		})
		a.Get("/orders/{id}", func(_ context.Context, c *agent.Call) (any, error) {
			id := c.Request.PathValue("id")
			v := agent.View{ID: id, State: payment.Opened, Objects: map[string][]string{}}
			for kind, object := range r.shown {
				v.Objects[string(kind)] = []string{object}
			}
			return v, nil
		})
		return nil
	})
	r.node.Start(f.t)
	f.t.Cleanup(func() { r.node.Stop(f.t) })
	f.School.Stop(f.t)
	f.School.Start(f.t)
	return r
}

func (r *rogue) order(_ context.Context, c *agent.Call) (any, error) {
	var in payment.Order
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	enc, err := r.node.Agent.EncryptionOf(context.Background(), r.f.GW.URI)
	if err != nil {
		return nil, err
	}
	total, err := in.Total()
	if err != nil {
		return nil, err
	}
	o := &payment.Offer{
		Head:  payment.Head{ID: payment.NewID(time.Now()), Audience: []string{c.URI}, Amount: &total},
		Order: in.Order, Rev: 1, Nonce: payment.NewNonce(), Terms: in.Terms, PaymentTerms: "none", Instruments: []payment.Instrument{{Name: "card"}},
		Gateway: r.f.GW.URI, GatewayEnc: payment.Thumbprint(enc.Raw), Acquirer: r.f.ABank.URI, CaptureRule: payment.CaptureAnytime,
	}
	if r.offer != nil {
		r.offer(o)
	}
	if o.IssuedAt == 0 {
		payment.Stamp(o, time.Now(), time.Hour)
	}
	signer, err := r.node.Agent.Signer()
	if err != nil {
		return nil, err
	}
	object, err := payment.Sign(signer, o)
	sent := string(object)
	if r.sent != nil && err == nil {
		sent = r.sent(sent)
	}
	return agent.Message{payment.KindOffer: sent}, err
}

// buy orders from the rogue and accepts.
func (r *rogue) buy(choice consumer.Choice) (id string, err error) {
	offered, err := r.f.Consumer.Order(r.f.t.Context(), r.node.URI, r.f.Terms(2))
	if err != nil {
		return "", err
	}
	_, err = r.f.Consumer.Accept(r.f.t.Context(), offered.ID, choice)
	return offered.ID, err
}

// spoiled makes two encryption certificates of the gateway that must not be sealed to, and has the directory know the second.
func (f *forger) spoiled(chains map[string][]*x509.Certificate) (revoked, expired *x509.Certificate) {
	f.t.Helper()
	revoked = f.GW.Encrypt(f.t)
	f.Net.Revoke(f.t, revoked, 1)
	own := f.Net.Issuer(f.t, policy.GatewayCA)
	late := newMint(f.t, f.World).certificate(f.GW, &own, func(c *x509.Certificate) {
		c.KeyUsage, c.ExtKeyUsage, c.NotAfter = x509.KeyUsageKeyAgreement, nil, time.Now().Add(-time.Minute)
	})
	expired, err := x509.ParseCertificate(late.Certificate[0])
	if err != nil {
		f.t.Fatal(err)
	}
	chains[payment.Thumbprint(expired.Raw)] = []*x509.Certificate{expired, own.Certificate}
	return revoked, expired
}

// TestAConsumerSignsNothingThatIsWrong: N1 to N3, N5, N7, N10 and N12, by a merchant that tries them all.
func TestAConsumerSignsNothingThatIsWrong(t *testing.T) {
	t.Parallel()
	chains := map[string][]*x509.Certificate{}
	opts := paytest.Options{NoSync: true, Certificate: func(thumbprint string) []*x509.Certificate { return chains[thumbprint] }}
	f := newForger(t, opts)
	r := newRogue(f)
	before, err := r.buy(none)
	if err != nil {
		t.Fatal(err)
	}
	anothers := f.order(1).offer
	revoked, late := f.spoiled(chains)
	sealTo := func(der []byte) func(o *payment.Offer) {
		return func(o *payment.Offer) { o.GatewayEnc = payment.Thumbprint(der) }
	}
	for _, tt := range []struct {
		name  string
		offer func(o *payment.Offer)
		sent  func(object string) string
		code  payment.Code
	}{
		{"N2 altered after it was signed", nil, func(s string) string { return altered(s, `"quantity":2`, `"quantity":3`) }, payment.BadSignature},
		{"N1 whose total is not the sum of its lines", nil, func(s string) string {
			return f.resign(r.node, s, func(p string) string {
				return strings.Replace(p, `"amount":{"minor":60000`, `"amount":{"minor":60001`, 1)
			})
		}, payment.AmountMismatch},
		{"signed by somebody else", nil, func(string) string { return string(anothers) }, payment.NotAddressedHere},
		{"for somebody else", func(o *payment.Offer) { o.Audience = []string{o.Audience[0] + "x"} }, nil, payment.NotAddressedHere},
		{"for another order", func(o *payment.Offer) { o.Order = payment.NewID(time.Now()) }, nil, payment.OIHMismatch},
		{"with the id of another payment", func(o *payment.Offer) { o.ID, o.Rev = before, 2 }, nil, payment.OIHMismatch},
		{"N3 of other goods than ordered", func(o *payment.Offer) { o.Lines[0].Options[0].Value = "GX 5" }, nil, payment.OIHMismatch},
		{"N7 that has expired", func(o *payment.Offer) { payment.Stamp(o, time.Now().Add(-time.Hour), time.Minute) }, nil, payment.Expired},
		{"N12 from the future", func(o *payment.Offer) { payment.Stamp(o, time.Now().Add(2*time.Minute), time.Hour) }, nil, payment.ClockSkew},
		{"N10 without the instrument", func(o *payment.Offer) { o.Instruments[0].Name = "wallet" }, nil, payment.MethodNotAllowed},
		{"N10 above the limit of the instrument", func(o *payment.Offer) { o.Instruments[0].Limit = cny(59_999) }, nil, payment.MethodNotAllowed},
		{"N5 sealed to a signing certificate", sealTo(f.GW.Cert.Certificate[0]), nil, payment.BadRecipient},
		{"N5 sealed to an expired certificate", sealTo(late.Raw), nil, payment.BadRecipient},
		{"N5 sealed to a revoked certificate", sealTo(revoked.Raw), nil, payment.BadRecipient},
		{"N5 sealed to another party", sealTo(f.IBank.Encrypt(t).Raw), nil, payment.BadRecipient},
		{"through a party that is no gateway", func(o *payment.Offer) { o.Gateway = f.IBank.URI }, nil, payment.WrongRole},
		{"in a currency without an account", func(o *payment.Offer) {
			o.Lines[0].UnitPrice = money.New(30_000, "EUR")
			total, _ := o.Total()
			o.Amount = &total
		}, nil, payment.OIHMismatch},
	} {
		r.offer, r.sent = tt.offer, tt.sent
		id, err := r.buy(none)
		if got := agent.CodeOf(err); got != tt.code {
			t.Errorf("an offer %s: got %q, %v; want %s", tt.name, got, err, tt.code)
		}
		if id != "" && len(recordsOf(t, f.School, id)) != 1 {
			t.Errorf("an offer %s: the consumer made something of it", tt.name)
		}
	}
	if records := recordsOf(t, f.School, before); len(records) != 3 {
		t.Errorf("the purchase before has %d records, want offer, dual signature and instruction", len(records))
	}
}

// approve makes a bank's approval of what the consumer bought from the rogue.
func (r *rogue) approve(by *paytest.Node, id string, change func(a *payment.AuthRes)) string {
	a := &payment.AuthRes{
		Head:     payment.Head{ID: id, Audience: []string{r.f.School.URI}, Amount: cny(60_000), Ref: payment.Object("auth").Digest()},
		Merchant: r.node.URI, Consumer: r.f.School.URI, Result: payment.Approved, Code: payment.CodeApproved, Hold: "h", HoldExpires: time.Now().Add(time.Hour).Unix(),
	}
	if change != nil {
		change(a)
	}
	return string(r.f.sign(by, a))
}

// moved makes the bank's word that the money has moved.
func (r *rogue) moved(id string) string {
	return string(r.f.sign(r.f.IBank, &payment.Transferred{
		Head: payment.Head{ID: id, Audience: []string{r.f.School.URI}, Amount: cny(60_000), Ref: payment.Object("x").Digest()}, Merchant: r.node.URI, Seq: 1, Posting: "p",
	}))
}

// receipt makes the receipt for what the consumer accepted.
func (r *rogue) receipt(id, authres string) *payment.Receipt {
	offer, dual := r.f.objectOf(r.f.School, id, payment.KindOffer), r.f.objectOf(r.f.School, id, payment.KindDual)
	return &payment.Receipt{
		Head: payment.Head{ID: id, Audience: []string{r.f.School.URI}, Amount: cny(60_000), Ref: payment.Object(dual).Digest()},
		OIH:  payment.OIH(payment.Object(offer)), AuthRes: payment.Object(authres).Digest(), Result: payment.Object("result").Digest(), Estimated: 1,
	}
}

// TestAConsumerBelievesNoReceiptWithoutItsBank: N3 and N19: a merchant shows what it was not given.
func TestAConsumerBelievesNoReceiptWithoutItsBank(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	bank := f.Add(t, "ibank2", policy.IssuingBank, nil)
	r := newRogue(f)
	declined := func(a *payment.AuthRes) {
		a.Result, a.Code, a.Hold, a.HoldExpires = payment.Refused, payment.CodeNoFunds, "", 0
	}
	for _, tt := range []struct {
		name    string
		authres func(id string) string
		receipt func(r *payment.Receipt)
		other   bool // payment's transfer is shown
		code    payment.Code
	}{
		{"with the bank's approval", func(id string) string { return r.approve(f.IBank, id, nil) }, nil, false, ""},
		{"without any approval", nil, nil, false, payment.ApprovalMismatch},
		{"with a refusal", func(id string) string { return r.approve(f.IBank, id, declined) }, nil, false, payment.ApprovalMismatch},
		{"with the approval of another bank", func(id string) string { return r.approve(bank, id, nil) }, nil, false, payment.ApprovalMismatch},
		{"with an approval for another merchant", func(id string) string {
			return r.approve(f.IBank, id, func(a *payment.AuthRes) { a.Merchant = f.Shop.URI })
		}, nil, false, payment.ApprovalMismatch},
		{"with the approval of another payment", func(string) string { return r.approve(f.IBank, payment.NewID(time.Now()), nil) }, nil, false, payment.ApprovalMismatch},
		{"with an approval of another amount", func(id string) string { return r.approve(f.IBank, id, func(a *payment.AuthRes) { a.Amount = cny(1) }) }, nil, false, payment.AmountMismatch},
		{"with an approval altered after it was signed", func(id string) string {
			return altered(r.approve(f.IBank, id, declined), `"result":"declined"`, `"result":"approved"`)
		}, nil, false, payment.BadSignature},
		{"for another order", func(id string) string { return r.approve(f.IBank, id, nil) }, func(r *payment.Receipt) { r.OIH = payment.OIH("other goods") }, false, payment.OIHMismatch},
		{"for another amount", func(id string) string { return r.approve(f.IBank, id, nil) }, func(r *payment.Receipt) { r.Amount = cny(1) }, false, payment.ApprovalMismatch},
		{"for another dual signature", func(id string) string { return r.approve(f.IBank, id, nil) }, func(r *payment.Receipt) { r.Ref = r.OIH }, false, payment.ApprovalMismatch},
		{"with the transfer of another payment", func(id string) string { return r.approve(f.IBank, id, nil) }, nil, true, payment.ApprovalMismatch},
	} {
		id, err := r.buy(none)
		if err != nil {
			t.Fatal(err)
		}
		shown := map[payment.Kind]string{}
		if tt.authres != nil {
			shown[payment.KindAuthRes] = tt.authres(id)
		}
		receipt := r.receipt(id, shown[payment.KindAuthRes])
		if tt.receipt != nil {
			tt.receipt(receipt)
		}
		shown[payment.KindReceipt] = string(f.sign(r.node, receipt))
		if tt.other {
			shown[payment.KindTransferred] = r.moved(payment.NewID(time.Now()))
		}
		r.shown = shown
		_, err = f.Consumer.Await(t.Context(), id, 0)
		if got := agent.CodeOf(err); got != tt.code || err != nil && tt.code == "" {
			t.Errorf("a receipt %s: got %q, %v; want %q", tt.name, got, err, tt.code)
		}
		if err := f.Consumer.Delivered(t.Context(), id, "complete"); tt.code != "" && agent.CodeOf(err) != payment.BadState {
			t.Errorf("signing for goods on a receipt %s: %v, want %s", tt.name, err, payment.BadState)
		}
	}
}
