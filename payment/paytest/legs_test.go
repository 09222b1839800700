package paytest_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// A leg is one HTTP exchange of the flow: who calls whom for what.
type leg struct {
	from, to     string // node ids
	method, path string
}

// legs are all of them; ID stands for a payment.
var legs = []leg{
	{"school", "shop1", "GET", "/catalogue"},
	{"school", "shop1", "POST", "/orders"},
	{"school", "shop1", "POST", "/orders/ID/amend"},
	{"school", "shop1", "POST", "/orders/ID/accept"},
	{"school", "shop1", "POST", "/orders/ID/delivered"},
	{"school", "shop1", "GET", "/orders/ID"},
	{"gw1", "shop1", "POST", "/results"},
	{"shop1", "gw1", "POST", "/payments"},
	{"school", "gw1", "GET", "/payments/ID"},
	{"school", "gw1", "POST", "/payments/ID/instruction"},
	{"confirm", "gw1", "POST", "/payments/ID/confirmed"},
	{"shop1", "gw1", "POST", "/payments/ID/capture"},
	{"shop1", "gw1", "POST", "/payments/ID/void"},
	{"gw1", "abank", "POST", "/authorizations"},
	{"gw1", "abank", "GET", "/inquiries/ID"},
	{"gw1", "abank", "POST", "/transfers"},
	{"gw1", "abank", "POST", "/voids"},
	{"shop1", "abank", "POST", "/merchants"},
	{"shop1", "abank", "GET", "/balance"},
	{"abank", "ibank", "POST", "/authorizations"},
	{"abank", "ibank", "GET", "/inquiries/ID"},
	{"abank", "ibank", "POST", "/transfers"},
	{"abank", "ibank", "POST", "/voids"},
	{"school", "ibank", "POST", "/links"},
	{"school", "ibank", "GET", "/balance"},
	{"gw1", "confirm", "POST", "/confirmations"},
	{"school", "confirm", "GET", "/confirmations"},
	{"school", "confirm", "POST", "/confirmations/ID/answer"},
	{"school", "gw1", "GET", "/trace/ID"},
}

// A mint makes certificates that must not be believed, each for the identity of a node.
type mint struct {
	w *paytest.World
	t *testing.T
}

func (m mint) certificate(n *paytest.Node, issuer *ca.Issuer, change func(c *x509.Certificate)) tls.Certificate {
	m.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		m.t.Fatal(err)
	}
	uri, err := url.Parse(n.URI)
	if err != nil {
		m.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: n.ID}, URIs: []*url.URL{uri},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, BasicConstraintsValid: true,
	}
	if change != nil {
		change(template)
	}
	parent, signer := template, any(key)
	if issuer != nil {
		parent, signer = issuer.Certificate, issuer.Signer
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		m.t.Fatal(err)
	}
	chain := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	if issuer != nil {
		chain.Certificate = append(chain.Certificate, issuer.Certificate.Raw)
	}
	return chain
}

// bad lists a certificate of each wrong kind for a node.
func (m mint) bad(n *paytest.Node) map[string]tls.Certificate {
	own := m.w.Net.Issuer(m.t, n.Role.CA())
	other := m.w.Net.Issuer(m.t, policy.MerchantCA)
	if n.Role.CA() == policy.MerchantCA {
		other = m.w.Net.Issuer(m.t, policy.GatewayCA)
	}
	foreign, err := ca.Create(ca.CeremonyConfig{Network: m.w.Net.Name, StatusURL: m.w.Net.StatusURL})
	if err != nil {
		m.t.Fatal(err)
	}
	at := slices.IndexFunc(foreign.Issuers, func(is ca.Issuer) bool { return is.Name == n.Role.CA() })
	revoked := m.w.Net.Issue(m.t, n.ID)
	m.w.Net.Revoke(m.t, revoked.Leaf, 1)
	return map[string]tls.Certificate{
		"expired":       m.certificate(n, &own, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid": m.certificate(n, &own, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }),
		"revoked":       revoked,
		"unknown CA":    m.certificate(n, &foreign.Issuers[at], nil),
		"self-signed":   m.certificate(n, nil, nil),
		"mis-issued":    m.certificate(n, &other, nil),
		"a CA":          m.certificate(n, &own, func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }),
		"encryption alone": m.certificate(n, &own, func(c *x509.Certificate) {
			c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil
		}),
	}
}

// TestEveryLegRefusesEveryBadCertificate: row A8, N11 to N16. The connection or the request is refused, with the status for a
// certificate that is not believed.
func TestEveryLegRefusesEveryBadCertificate(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true})
	p := f.order(2)
	nodes := map[string]*paytest.Node{}
	bad := map[string]map[string]tls.Certificate{}
	for _, n := range f.Nodes() {
		nodes[n.ID] = n
		bad[n.ID] = mint{f.World, t}.bad(n)
	}
	for _, l := range legs {
		from, to := nodes[l.from], nodes[l.to]
		path := strings.Replace(l.path, "ID", p.id, 1)
		good := f.call(l.method, from, to, path, agent.Key(p.id, "test", 1), []byte("{}"))
		if good.err != nil || good.status == http.StatusForbidden && good.code == string(payment.WrongRole) {
			t.Errorf("%s %s of %s by %s: %d %s, %v; want it to be let in", l.method, l.path, l.to, l.from, good.status, good.code, good.err)
		}
		for kind, certificate := range bad[l.from] {
			got := f.call(l.method, from, to, path, agent.Key(p.id, "test", 1), []byte("{}"), certificate)
			if got.err == nil && (got.status != forbidden || got.code == string(payment.WrongRole)) {
				t.Errorf("%s %s of %s with a certificate that is %s: got %d %s, want a refusal", l.method, l.path, l.to, kind, got.status, got.code)
			}
		}
		for _, other := range f.Nodes() { // N14: a good certificate in another role
			if other == to || other.Role == from.Role || strings.HasPrefix(l.path, "/trace") || l.path == "/payments/ID" && other.Role == policy.Merchant || l.path == "/payments/ID/instruction" && other.Role == policy.Merchant {
				continue
			}
			got := f.call(l.method, other, to, path, agent.Key(p.id, "test", 1), []byte("{}"))
			if taken := l.path == "/balance" || l.path == "/payments"; got.err == nil && !taken && (got.status != forbidden || got.code != string(payment.WrongRole)) {
				t.Errorf("%s %s of %s by the %s: got %d %s, want %d %s", l.method, l.path, l.to, other.Role, got.status, got.code, forbidden, payment.WrongRole)
			}
		}
	}
}

// TestASignerIsBelievedOnlyWhileItsCertificateIs: N11 to N13 and N16 for what is signed, not for who calls.
func TestASignerIsBelievedOnlyWhileItsCertificateIs(t *testing.T) {
	t.Parallel()
	chains := map[string][]*x509.Certificate{}
	f := newForger(t, paytest.Options{NoSync: true, Certificate: func(thumbprint string) []*x509.Certificate { return chains[thumbprint] }})
	p := f.order(2)
	f.seal(p)
	for kind, certificate := range (mint{f.World, t}).bad(f.Shop) {
		var chain []*x509.Certificate
		for _, der := range certificate.Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, c)
		}
		signer := payment.Signer{URI: f.Shop.URI, Thumbprint: payment.Thumbprint(chain[0].Raw), Key: certificate.PrivateKey.(*ecdsa.PrivateKey)}
		if kind != "revoked" {
			chains[signer.Thumbprint] = chain
		}
		r := f.request(p)
		payment.Stamp(r, time.Now(), time.Hour)
		object, err := payment.Sign(signer, r)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]payment.Code{
			"expired": payment.CertExpired, "not yet valid": payment.CertNotValidYet, "revoked": payment.CertRevoked, "unknown CA": payment.UnknownIssuer,
			"self-signed": payment.UnknownIssuer, "mis-issued": payment.UnknownIssuer, "a CA": payment.NameNotPermitted, "encryption alone": payment.WrongKeyUsage,
		}[kind]
		if kind == "mis-issued" {
			want = payment.NameNotPermitted
		}
		got := f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), agent.Message{payment.KindRequest: string(object), payment.KindDual: string(p.signed)})
		t.Run(kind, func(t *testing.T) { got.want(t, forbidden, want) })
	}
	r := f.request(p) // N17: a signature by somebody else, with the merchant's thumbprint
	signer, err := f.Shop.Agent.Signer()
	if err != nil {
		t.Fatal(err)
	}
	thief, err := f.School.Agent.Signer()
	if err != nil {
		t.Fatal(err)
	}
	payment.Stamp(r, time.Now(), time.Hour)
	object, err := payment.Sign(payment.Signer{URI: f.Shop.URI, Thumbprint: signer.Thumbprint, Key: thief.Key}, r)
	if err != nil {
		t.Fatal(err)
	}
	f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), agent.Message{payment.KindRequest: string(object), payment.KindDual: string(p.signed)}).want(t, forbidden, payment.BadSignature)
	f.untouched(p, "")
}

// TestARevokedPartyIsRefusedAtItsNextMessage: N13 on a connection that stays open, before it opens, and when it is resumed.
func TestARevokedPartyIsRefusedAtItsNextMessage(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true})
	if _, err := f.Consumer.Catalogue(t.Context(), f.Shop.URI); err != nil {
		t.Fatal(err)
	}
	id := f.Buy(t, 2, none)
	f.Net.Revoke(t, f.School.Cert.Leaf, 1)
	for range 2 { // on the open connection, which ends with it, and on a new one
		if _, err := f.Consumer.Catalogue(t.Context(), f.Shop.URI); err == nil {
			t.Error("a revoked consumer was answered")
		}
	}
	// What the consumer signed before is refused too, wherever it arrives now.
	p := &purchase{id: id}
	f.Net.Revoke(t, f.Shop.Cert.Leaf, 1)
	if _, err := f.Merchant.Ship(t.Context(), p.id); err == nil {
		t.Error("a revoked merchant's capture was taken")
	}
}
