package policy_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

const network = "pay.example"

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// authority is a CA of a test network.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// pki is a network of a root and one CA for each group of roles.
type pki struct {
	root authority
	cas  map[string]authority
}

func newPKI(t testing.TB) pki {
	t.Helper()
	root := sign(t, authority{}, &x509.Certificate{
		Subject: pkix.Name{CommonName: network + " root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	})
	p := pki{root: root, cas: make(map[string]authority)}
	for _, name := range policy.CAs() {
		p.cas[name] = sign(t, root, caTemplate(name))
	}
	return p
}

func caTemplate(name string) *x509.Certificate {
	tmpl := &x509.Certificate{
		Subject: pkix.Name{CommonName: name + " CA"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, role := range policy.RolesOf(name) {
		tmpl.PermittedURIDomains = append(tmpl.PermittedURIDomains, role.Host(network))
	}
	switch name {
	case policy.ConsumerCA:
		tmpl.ExcludedDNSDomains = []string{""}
		tmpl.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)}, {IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
	case policy.ServiceCA:
	default:
		tmpl.ExcludedDNSDomains = []string{network}
	}
	return tmpl
}

// sign issues the template with a new key; by itself when the authority is empty.
func sign(t testing.TB, by authority, tmpl *x509.Certificate) authority {
	t.Helper()
	key := newKey(t)
	tmpl.SerialNumber = big.NewInt(1)
	if by.cert == nil {
		by = authority{cert: tmpl, key: key}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, by.cert, key.Public(), by.key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{cert: cert, key: key}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// leaf is a good merchant certificate before change.
func (p pki) leaf(t testing.TB, ca string, change func(*x509.Certificate)) []*x509.Certificate {
	t.Helper()
	tmpl := &x509.Certificate{
		Subject:   pkix.Name{Organization: []string{"Acme"}, CommonName: "shop1"},
		NotBefore: now.Add(-time.Minute), NotAfter: now.AddDate(0, 0, 30),
		URIs:     []*url.URL{mustURL(t, "spiffe://merchant."+network+"/shop1")},
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if change != nil {
		change(tmpl)
	}
	return []*x509.Certificate{sign(t, p.cas[ca], tmpl).cert, p.cas[ca].cert}
}

func (p pki) trust() policy.Trust {
	return policy.Trust{Network: network, Roots: []*x509.Certificate{p.root.cert}}
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// rulesOf lists the rules that err names.
func rulesOf(err error) []string {
	var rules []string
	for _, v := range policy.ViolationsOf(err) {
		rules = append(rules, v.Rule)
	}
	return rules
}

// wantRules fails the test unless err names exactly these rules, in this order.
func wantRules(t *testing.T, err error, want ...string) {
	t.Helper()
	if got := rulesOf(err); !slices.Equal(got, want) {
		t.Errorf("got rules %q, want %q (%v)", got, want, err)
	}
}
