package paytest_test

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
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
	w       *paytest.World
	t       *testing.T
	foreign []ca.Issuer // of another network that calls itself the same
}

func newMint(t *testing.T, w *paytest.World) mint {
	t.Helper()
	foreign, err := ca.Create(ca.CeremonyConfig{Network: w.Net.Name, StatusURL: w.Net.StatusURL})
	if err != nil {
		t.Fatal(err)
	}
	return mint{w, t, foreign.Issuers}
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
	at := slices.IndexFunc(m.foreign, func(is ca.Issuer) bool { return is.Name == n.Role.CA() })
	revoked := m.w.Net.Issue(m.t, n.ID)
	m.w.Net.Revoke(m.t, revoked.Leaf, 1)
	return map[string]tls.Certificate{
		"expired":       m.certificate(n, &own, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		"not yet valid": m.certificate(n, &own, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(30 * time.Minute) }),
		"revoked":       revoked,
		"unknown CA":    m.certificate(n, &m.foreign[at], nil),
		"self-signed":   m.certificate(n, nil, nil),
		"mis-issued":    m.certificate(n, &other, nil),
		"a CA":          m.certificate(n, &own, func(c *x509.Certificate) { c.IsCA = true; c.KeyUsage |= x509.KeyUsageCertSign }),
		"encryption alone": m.certificate(n, &own, func(c *x509.Certificate) {
			c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil
		}),
	}
}

// remembered asks the CA about each certificate once, for tests in which none is revoked after it was used.
func remembered(t *testing.T) *ocsp.Checker {
	t.Helper()
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return checker
}

// alerts are those (RFC 8446 section 6.2) by which a server refuses the certificates of mint.bad.
var alerts = map[string]string{
	"expired": "expired certificate", "not yet valid": "expired certificate", "unknown CA": "unknown certificate authority", "self-signed": "unknown certificate authority",
	"revoked": "bad certificate", "mis-issued": "bad certificate", "a CA": "bad certificate", "encryption alone": "bad certificate",
}

// knock asks a node with a certificate over a connection of its own.
func (f *forger) knock(method string, to *paytest.Node, path string, certificate tls.Certificate) outcome {
	f.t.Helper()
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool(), ServerName: to.DNS(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }, // whatever the server asks for
	}
	conf.RootCAs.AddCert(f.Net.Root)
	conn, err := (&tls.Dialer{Config: conf}).DialContext(f.t.Context(), "tcp", to.Address)
	if err != nil {
		return outcome{err: err}
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience))
	return ask(conn, method, to, path, agent.Key(payment.NewID(time.Now()), "test", 1), []byte("{}"))
}

// ask sends a request on a connection. In TLS 1.3 the server's refusal of the certificate comes with the first read.
func ask(conn net.Conn, method string, to *paytest.Node, path, key string, body []byte) (o outcome) {
	req, err := http.NewRequest(method, "https://"+to.DNS()+path, bytes.NewReader(body)) //nolint:noctx // the connection has a deadline
	if err != nil {
		return outcome{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", key)
	written := req.Write(conn)
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return outcome{err: errors.Join(err, written)}
	}
	defer resp.Body.Close()
	return answerOf(resp)
}

// alertOf returns the alert that the other side sent, "" if err is of something else.
func alertOf(err error) string {
	if err == nil {
		return ""
	}
	_, alert, _ := strings.Cut(err.Error(), "remote error: tls: ") // its type is not exported
	alert, _, _ = strings.Cut(alert, "\n")
	return alert
}

// TestEveryLegRefusesEveryBadCertificate: row A8, N11 to N16. The handshake ends with the alert for what is wrong with the
// certificate; a good one in another role is told so.
func TestEveryLegRefusesEveryBadCertificate(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true, Status: remembered(t)})
	p := f.order(2)
	nodes := map[string]*paytest.Node{}
	bad := map[string]map[string]tls.Certificate{}
	m := newMint(t, f.World)
	for _, n := range f.Nodes() {
		nodes[n.ID] = n
		bad[n.ID] = m.bad(n)
	}
	knocked := map[string]bool{}
	for _, l := range legs {
		from, to := nodes[l.from], nodes[l.to]
		path := strings.Replace(l.path, "ID", p.id, 1)
		good := f.call(l.method, from, to, path, agent.Key(p.id, "test", 1), []byte("{}"))
		if good.err != nil || good.status == http.StatusForbidden && good.code == string(payment.WrongRole) {
			t.Errorf("%s %s of %s by %s: %d %s, %v; want it to be let in", l.method, l.path, l.to, l.from, good.status, good.code, good.err)
		}
		if knocked[l.from+l.to] && testing.Short() {
			continue // the refusal comes before the path
		}
		knocked[l.from+l.to] = true
		for kind, certificate := range bad[l.from] {
			if got := f.knock(l.method, to, path, certificate); alertOf(got.err) != alerts[kind] {
				t.Errorf("%s %s of %s with a certificate that is %s: got %d %s, %v; want the alert %q", l.method, l.path, l.to, kind, got.status, got.code, got.err, alerts[kind])
			}
		}
	}
}

// TestEveryEndpointIsForItsRolesAlone: N14: every leg by every role that it is not for, with a good certificate.
func TestEveryEndpointIsForItsRolesAlone(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	p := f.order(2)
	may := map[policy.Role][]policy.Role{
		policy.Consumer: {policy.Consumer}, policy.Merchant: {policy.Merchant}, policy.Confirmer: {policy.Confirmer},
		policy.Gateway: payment.GatewayRoles(), policy.AcquiringBank: payment.AcquiringRoles(),
	}
	also := map[string][]policy.Role{
		"/payments/ID": {policy.Merchant}, "/payments/ID/instruction": {policy.Merchant}, "/confirmations/ID/answer": {policy.Terminal},
	}
	nodes, told := map[string]*paytest.Node{}, map[*paytest.Node]bool{}
	for _, n := range f.Nodes() {
		nodes[n.ID] = n
		wantTable(t, n)
		for _, endpoint := range n.Agent.Endpoints() {
			common := strings.HasSuffix(endpoint, "/healthz") || strings.Contains(endpoint, "/trace/")
			if !common && !slices.ContainsFunc(legs, func(l leg) bool {
				return l.to == n.ID && l.method+" "+strings.Replace(l.path, "ID", "{id}", 1) == endpoint
			}) {
				t.Errorf("%s of %s is not among the legs", endpoint, n.ID)
			}
		}
	}
	for _, role := range policy.Roles() {
		if role == policy.Service {
			continue // the CA's own
		}
		caller := f.Add(t, "any-"+string(role), role, nil)
		for _, l := range legs {
			to := nodes[l.to]
			if l.path == "/trace/ID" {
				continue // for every party; N15 says who finds something
			}
			path := strings.Replace(l.path, "ID", p.id, 1)
			if role == policy.Operator { // has nothing to do here, and is told so before it can ask
				if told[to] {
					continue
				}
				told[to] = true
				if got := f.knock(l.method, to, path, caller.Cert); alertOf(got.err) != "bad certificate" {
					t.Errorf("%s %s of %s by an operator: got %d %s, %v; want the alert bad certificate", l.method, l.path, l.to, got.status, got.code, got.err)
				}
				continue
			}
			got := f.call(l.method, caller, to, path, agent.Key(p.id, "test", 1), []byte("{}"))
			allowed := slices.Contains(may[nodes[l.from].Role], role) || slices.Contains(also[l.path], role)
			if allowed != (got.code != string(payment.WrongRole)) || got.err != nil || !allowed && got.status != forbidden {
				t.Errorf("%s %s of %s by a %s: got %d %s, %v; allowed is %v", l.method, l.path, l.to, role, got.status, got.code, got.err, allowed)
			}
		}
	}
}

// wantTable wants the table of the node's role to have every endpoint, and no other.
func wantTable(t *testing.T, n *paytest.Node) {
	t.Helper()
	listed := map[string]bool{}
	for _, access := range agent.DefaultAccess(n.Role) {
		for _, pattern := range access.Allow {
			listed[pattern] = true
		}
	}
	serves := n.Agent.Endpoints()
	if n.Role == policy.Consumer {
		return // it only calls
	}
	if got := slices.Sorted(maps.Keys(listed)); !slices.Equal(got, slices.Sorted(slices.Values(serves))) {
		t.Errorf("table of %s has %q, and it serves %q", n.ID, got, serves)
	}
}

// TestTheOperatorSaysWhoMayCallWhat takes an endpoint from a role, and gives another one what it has not.
func TestTheOperatorSaysWhoMayCallWhat(t *testing.T) {
	t.Parallel()
	opts := steady()
	opts.Access = func(node string) []policy.Access {
		if node != "shop1" {
			return nil
		}
		return []policy.Access{
			{Role: string(policy.Consumer), Allow: []string{"POST /orders", "GET /orders/{id}"}},
			{Role: string(policy.Terminal), Allow: []string{"GET /catalogue"}},
		}
	}
	f := newForger(t, opts)
	terminal := f.Add(t, "till", policy.Terminal, nil)
	for _, tt := range []struct {
		name   string
		caller *paytest.Node
		method string
		path   string
		code   string
	}{
		{"what was taken from it", f.School, http.MethodGet, "/catalogue", string(payment.WrongRole)},
		{"what was given to it", terminal, http.MethodGet, "/catalogue", ""},
		{"what nobody has now", terminal, http.MethodPost, "/orders/x/amend", string(payment.WrongRole)},
		{"what the table gives it", terminal, http.MethodGet, "/healthz", string(payment.WrongRole)},
	} {
		got := f.call(tt.method, tt.caller, f.Shop, tt.path, agent.Key("a", "test", 1), []byte("{}"))
		if got.err != nil || got.code != tt.code {
			t.Errorf("%s: got %d %s, %v, want %q", tt.name, got.status, got.code, got.err, tt.code)
		}
	}
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
