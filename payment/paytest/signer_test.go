package paytest_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/paytest"
)

// A reading is one kind of object at the first party that reads it.
type reading struct {
	name     string
	from, to *paytest.Node
	path     string
	key      string
	kind     payment.Kind
	object   string // a good one
	empty    func() payment.Body
}

// readings lists every kind of object that is sent in a request, each so that its signer is all that can be wrong.
func (f *forger) readings() []reading {
	f.t.Helper()
	bought := f.Buy(f.t, 2, none)
	waits, notice := f.waiting(1)
	offered := f.order(1)
	f.seal(offered)
	ref := f.saleOf(bought).AuthRes
	head := func(id string, minor int64, readers ...string) payment.Head {
		h := payment.Head{ID: id, Audience: readers, Ref: ref}
		if minor != 0 {
			h.Amount = cny(minor)
		}
		return h
	}
	a := f.asked(1, nil)
	auth := f.message(a)
	other := payment.NewID(time.Now())
	voided := func(readers ...string) *payment.Void {
		return &payment.Void{Head: head(bought, 0, readers...), Reason: "r"}
	}
	return []reading{
		{"dual at the merchant", f.School, f.Shop, "/orders/" + offered.id + "/accept", agent.Key(offered.id, "accept", 1), payment.KindDual, string(offered.signed), func() payment.Body { return new(payment.Dual) }},
		{"delivered at the merchant", f.School, f.Shop, "/orders/" + bought + "/delivered", agent.Key(bought, "delivered", 1), payment.KindDelivered, string(f.sign(f.School, &payment.Delivered{Head: head(bought, 0, f.Shop.URI), OIH: ref, What: "all", Delivered: 1})), func() payment.Body { return new(payment.Delivered) }},
		{"result at the merchant", f.GW, f.Shop, "/results", agent.Key(waits, "result", 1), payment.KindResult, string(f.sign(f.GW, &payment.Result{Head: head(waits, 30_000, f.Shop.URI), Result: payment.Failed})), func() payment.Body { return new(payment.Result) }},
		{"request at the gateway", f.Shop, f.GW, "/payments", agent.Key(offered.id, "request", 1), payment.KindRequest, string(f.sign(f.Shop, f.request(offered))), func() payment.Body { return new(payment.Request) }},
		{"confirm at the gateway", f.K, f.GW, "/payments/" + waits + "/confirmed", agent.Key(waits, "confirmed", 1), payment.KindConfirm, f.confirm(waits, notice.AuthRes, payment.RejectedResult, 30_000), func() payment.Body { return new(payment.Confirmation) }},
		{"capture at the gateway", f.Shop, f.GW, "/payments/" + bought + "/capture", agent.Key(bought, "capture", 1), payment.KindCapture, string(f.sign(f.Shop, &payment.Capture{Head: head(bought, 60_000, f.GW.URI), Seq: 1, Shipped: 1})), func() payment.Body { return new(payment.Capture) }},
		{"void at the gateway", f.Shop, f.GW, "/payments/" + bought + "/void", agent.Key(bought, "void", 1), payment.KindVoid, string(f.sign(f.Shop, voided(f.GW.URI))), func() payment.Body { return new(payment.Void) }},
		{"auth at the acquiring bank", f.GW, f.ABank, "/authorizations", a.key, payment.KindAuth, auth[payment.KindAuth], func() payment.Body { return new(payment.Auth) }},
		{"auth at the issuing bank", f.ABank, f.IBank, "/authorizations", a.key, payment.KindAuth, auth[payment.KindAuth], func() payment.Body { return new(payment.Auth) }},
		{"transfer at the acquiring bank", f.GW, f.ABank, "/transfers", agent.Key(bought, "transfer", 1), payment.KindTransfer, string(f.sign(f.GW, &payment.Transfer{Head: head(bought, 60_000, f.ABank.URI, f.IBank.URI), Seq: 1, Capture: ref})), func() payment.Body { return new(payment.Transfer) }},
		{"transfer at the issuing bank", f.ABank, f.IBank, "/transfers", agent.Key(bought, "transfer", 1), payment.KindTransfer, string(f.sign(f.GW, &payment.Transfer{Head: head(bought, 60_000, f.ABank.URI, f.IBank.URI), Seq: 1, Capture: ref})), func() payment.Body { return new(payment.Transfer) }},
		{"void at the acquiring bank", f.GW, f.ABank, "/voids", agent.Key(bought, "void", 1), payment.KindVoid, string(f.sign(f.GW, voided(f.ABank.URI, f.IBank.URI))), func() payment.Body { return new(payment.Void) }},
		{"void at the issuing bank", f.ABank, f.IBank, "/voids", agent.Key(bought, "void", 1), payment.KindVoid, string(f.sign(f.GW, voided(f.ABank.URI, f.IBank.URI))), func() payment.Body { return new(payment.Void) }},
		{"authres at the confirmer", f.GW, f.K, "/confirmations", agent.Key(other, "confirmation", 1), payment.KindAuthRes, string(f.sign(f.IBank, &payment.AuthRes{Head: head(other, 1, f.GW.URI, f.K.URI), Merchant: f.Shop.URI, Consumer: f.School.URI, Result: payment.Refused, Code: payment.CodeNoFunds})), func() payment.Body { return new(payment.AuthRes) }},
		{"answer at the confirmer", f.School, f.K, "/confirmations/" + waits + "/answer", agent.Key(waits, "answer", 1), payment.KindAnswer, string(f.sign(f.School, f.reply(notice, 30_000))), func() payment.Body { return new(payment.Answer) }},
	}
}

// signed signs a good object again with another certificate.
func (r reading) signed(t *testing.T, uri string, certificate tls.Certificate) string {
	t.Helper()
	body := r.empty()
	if err := payment.Read(payment.Object(r.object), body); err != nil {
		t.Fatal(err)
	}
	object, err := payment.Sign(payment.Signer{URI: uri, Thumbprint: payment.Thumbprint(certificate.Certificate[0]), Key: certificate.PrivateKey.(crypto.Signer)}, body)
	if err != nil {
		t.Fatal(err)
	}
	return string(object)
}

// codes are those of the certificates that mint.bad makes.
var codes = map[string]payment.Code{
	"expired": payment.CertExpired, "not yet valid": payment.CertNotValidYet, "revoked": payment.CertRevoked, "unknown CA": payment.UnknownIssuer,
	"self-signed": payment.UnknownIssuer, "mis-issued": payment.NameNotPermitted, "a CA": payment.NameNotPermitted, "encryption alone": payment.WrongKeyUsage,
}

// TestEveryObjectIsRefusedFromEveryBadSigner: row A8 and N11 to N17 for what is signed: each kind of object at each party that
// reads it from a request, with each certificate that is not to be believed, by the wrong role, and broken in each way.
func TestEveryObjectIsRefusedFromEveryBadSigner(t *testing.T) {
	t.Parallel()
	chains := map[string][]*x509.Certificate{}
	f := newForger(t, paytest.Options{NoSync: true, Status: remembered(t), Certificate: func(thumbprint string) []*x509.Certificate { return chains[thumbprint] }})
	readings := f.readings()
	bad, nodes := map[string]map[string]tls.Certificate{}, map[string]*paytest.Node{}
	m := newMint(t, f.World)
	for _, n := range f.Nodes() {
		bad[n.URI], nodes[n.URI] = m.bad(n), n
		for _, certificate := range bad[n.URI] {
			chain, err := parse(certificate)
			if err != nil {
				t.Fatal(err)
			}
			chains[payment.Thumbprint(chain[0].Raw)] = chain
		}
	}
	holds := f.holds()
	for _, r := range readings {
		t.Run(r.name, func(t *testing.T) {
			body := r.empty()
			if err := payment.Read(payment.Object(r.object), body); err != nil {
				t.Fatal(err)
			}
			signer := nodes[issuerOf(t, r.object)]
			send := func(object string) outcome {
				return f.post(r.from, r.to, r.path, r.key, agent.Message{r.kind: object})
			}
			for name, certificate := range bad[signer.URI] {
				if got := send(r.signed(t, signer.URI, certificate)); got.err != nil || got.status != forbidden || got.code != string(codes[name]) {
					t.Errorf("signed with a certificate that is %s: got %d %q, %v; want %d %s", name, got.status, got.code, got.err, forbidden, codes[name])
				}
			}
			at := slices.IndexFunc(f.Nodes(), func(n *paytest.Node) bool { return !slices.Contains(r.kind.Signers(), n.Role) })
			other := f.Nodes()[at]
			send(r.signed(t, other.URI, other.Cert)).want(t, forbidden, payment.WrongRole)
			send(r.signed(t, signer.URI, other.Cert)).want(t, forbidden, payment.BadSignature) // in the name of the signer
			send(altered(r.object, `"v":1`, `"v":1 `)).want(t, forbidden, payment.BadSignature)
			send(f.resign(signer, r.object, func(p string) string { return strings.Replace(p, `"v":1`, `"v":1,"v":1`, 1) })).want(t, badRequest, payment.BadJSON)
			send(f.resign(signer, r.object, func(p string) string { return strings.Replace(p, `"v":1`, `"V":1`, 1) })).want(t, badRequest, payment.BadJSON)
			send("").want(t, badRequest, payment.BadJSON)
			f.post(r.from, r.to, r.path, r.key, []byte(`{"`+string(r.kind)+`":"a","`+string(r.kind)+`":"b"}`)).want(t, badRequest, payment.BadJSON)
		})
	}
	if now := f.holds(); now != holds {
		t.Errorf("after refusals %d is held and %d moved, want %d and %d", now.held, now.moved, holds.held, holds.moved)
	}
}

// moved is what the issuing bank holds and has moved in all.
type moved struct{ held, moved int64 }

func (f *forger) holds() (m moved) {
	f.t.Helper()
	err := f.IBank.Agent.Read(func(tx *agent.Tx) error {
		a, err := tx.Book().Account("due-to-clearing/CNY")
		m = moved{a.CreditsPending, a.CreditsPosted}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return m
}

func parse(certificate tls.Certificate) (chain []*x509.Certificate, err error) {
	for _, der := range certificate.Certificate {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	return chain, nil
}

// issuerOf reads who an object says has signed it.
func issuerOf(t *testing.T, object string) string {
	t.Helper()
	var head struct {
		Issuer string `json:"iss"`
	}
	if err := json.Unmarshal(payment.Payload(payment.Object(object)), &head); err != nil {
		t.Fatal(err)
	}
	return head.Issuer
}

// TestAnObjectThatIsNoJWSOfOursIsRefused: N17 and N20 at one endpoint.
func TestAnObjectThatIsNoJWSOfOursIsRefused(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	p := f.order(2)
	f.seal(p)
	good := string(f.sign(f.Shop, f.request(p)))
	parts := strings.Split(good, ".")
	kid := payment.Thumbprint(f.Shop.Cert.Certificate[0])
	header := func(text string) string {
		return base64.RawURLEncoding.EncodeToString([]byte(text)) + "." + parts[1] + "." + parts[2]
	}
	for name, object := range map[string]string{
		"alg none":               header(`{"alg":"none","kid":"` + kid + `","typ":"pay-request+jws"}`),
		"HS256":                  header(`{"alg":"HS256","kid":"` + kid + `","typ":"pay-request+jws"}`),
		"ES384":                  header(`{"alg":"ES384","kid":"` + kid + `","typ":"pay-request+jws"}`),
		"a key that comes along": header(`{"alg":"ES256","jwk":{},"kid":"` + kid + `","typ":"pay-request+jws"}`),
		"a URL of a key":         header(`{"alg":"ES256","kid":"` + kid + `","typ":"pay-request+jws","x5u":"https://a/"}`),
		"critical parameters":    header(`{"alg":"ES256","crit":["b64"],"kid":"` + kid + `","typ":"pay-request+jws"}`),
		"compression":            header(`{"alg":"ES256","kid":"` + kid + `","typ":"pay-request+jws","zip":"DEF"}`),
		"an alg twice":           header(`{"alg":"ES256","alg":"none","kid":"` + kid + `","typ":"pay-request+jws"}`),
		"another kind":           header(`{"alg":"ES256","kid":"` + kid + `","typ":"pay-capture+jws"}`),
		"an unknown kind":        header(`{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`),
		"a huge header":          strings.Repeat("A", 60_000) + "." + parts[1] + "." + parts[2],
		"no signature":           parts[0] + "." + parts[1] + ".",
		"two signatures":         good + "." + parts[2],
		"many dots":              strings.Repeat(".", 60_000),
		"padding":                good + "=",
		"more than the most":     good + strings.Repeat("A", payment.MaxObject),
		"JSON in place of it":    `{"payload":"","signatures":[{},{}]}`,
	} {
		f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), agent.Message{payment.KindRequest: object, payment.KindDual: string(p.signed)}).named(t, name, badRequest, payment.BadJWS)
	}
	unknown := header(`{"alg":"ES256","kid":"` + payment.Object("nobody").Digest() + `","typ":"pay-request+jws"}`)
	f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), agent.Message{payment.KindRequest: unknown, payment.KindDual: string(p.signed)}).want(t, forbidden, payment.UnknownSigner)
	f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), bytes.Repeat([]byte("."), 10<<20)).want(t, http.StatusRequestEntityTooLarge, "too-large")
	f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), []byte(`{"gift":"x"}`)).want(t, badRequest, payment.BadJSON)
	f.untouched(p, "")
}

// named is want with a name for the case.
func (o outcome) named(t *testing.T, name string, status int, code payment.Code) {
	t.Helper()
	t.Run(name, func(t *testing.T) { o.want(t, status, code) })
}

// TestARevokedCallerIsToldSo: N13: on a connection that stays open, when one is resumed, and when it is new.
func TestARevokedCallerIsToldSo(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true})
	certificate := f.Net.Issue(t, f.School.ID)
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool(), ServerName: f.Shop.DNS(), Certificates: []tls.Certificate{certificate},
		ClientSessionCache: tls.NewLRUClientSessionCache(1),
	}
	conf.RootCAs.AddCert(f.Net.Root)
	dial := func() *tls.Conn {
		t.Helper()
		conn, err := (&tls.Dialer{Config: conf}).DialContext(t.Context(), "tcp", f.Shop.Address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn.(*tls.Conn)
	}
	before := dial()
	ask(before, "GET", f.Shop, "/catalogue", "", nil).want(t, http.StatusOK, "")
	resumed := dial() // with the ticket of the first
	ask(resumed, "GET", f.Shop, "/catalogue", "", nil).want(t, http.StatusOK, "")
	if !resumed.ConnectionState().DidResume {
		t.Error("the second connection was not resumed: this shows nothing")
	}
	f.Net.Revoke(t, certificate.Leaf, ca.Reason(1))
	ask(before, "GET", f.Shop, "/catalogue", "", nil).want(t, forbidden, payment.CertRevoked)
	if got := ask(before, "GET", f.Shop, "/catalogue", "", nil); got.err == nil {
		t.Errorf("the connection of a revoked caller stays open: got %d %s", got.status, got.code)
	}
	again := dial()
	if got := ask(again, "GET", f.Shop, "/catalogue", "", nil); alertOf(got.err) != "bad certificate" {
		t.Errorf("resumed after the revocation: got %d %q, %v; want the alert bad certificate", got.status, got.code, got.err)
	}
	conf.ClientSessionCache = nil
	if got := ask(dial(), "GET", f.Shop, "/catalogue", "", nil); alertOf(got.err) != "bad certificate" {
		t.Errorf("connected after the revocation: got %d %q, %v; want the alert bad certificate", got.status, got.code, got.err)
	}
}
