package ca_test

import (
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

func create(t testing.TB, critical bool) *ca.Ceremony {
	t.Helper()
	c, err := ca.Create(ca.CeremonyConfig{
		Network: network, StatusURL: statusURL, CriticalConstraints: critical, Now: func() time.Time { return start },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCreatedNetworkIsAsDesigned(t *testing.T) {
	t.Parallel()
	c := create(t, false)
	if r := c.Root; !r.NotAfter.Equal(start.AddDate(20, 0, 0).Add(-time.Second)) || r.MaxPathLen != 1 || r.CheckSignatureFrom(r) != nil {
		t.Errorf("root until %v, path length %d, want 20 years, 1, self-signed", r.NotAfter, r.MaxPathLen)
	}
	if len(c.Issuers) != len(policy.CAs()) {
		t.Fatalf("%d issuers, want %d", len(c.Issuers), len(policy.CAs()))
	}
	for i, is := range c.Issuers {
		cert := is.Certificate
		if is.Name != policy.CAs()[i] {
			t.Errorf("issuer %q, want %q", is.Name, policy.CAs()[i])
		}
		if !cert.NotAfter.Equal(start.AddDate(5, 0, 0).Add(-time.Second)) || cert.MaxPathLen != 0 || !cert.MaxPathLenZero || !cert.IsCA {
			t.Errorf("%s: until %v, path length %d, want 5 years and 0", is.Name, cert.NotAfter, cert.MaxPathLen)
		}
		if cert.KeyUsage != x509.KeyUsageCertSign|x509.KeyUsageCRLSign || len(cert.ExtKeyUsage) != 0 {
			t.Errorf("%s: key usage %b %v, want keyCertSign and cRLSign only", is.Name, cert.KeyUsage, cert.ExtKeyUsage)
		}
		if len(cert.OCSPServer) != 0 || strings.Join(cert.CRLDistributionPoints, " ") != statusURL+"/crl/root.crl" || strings.Join(cert.IssuingCertificateURL, " ") != statusURL+"/ca/root.crt" {
			t.Errorf("%s: OCSP %v, CRL %v, issuer %v, want no OCSP and the root's", is.Name, cert.OCSPServer, cert.CRLDistributionPoints, cert.IssuingCertificateURL)
		}
		var hosts []string
		for _, role := range policy.RolesOf(is.Name) {
			hosts = append(hosts, role.Host(network))
		}
		if got := strings.Join(cert.PermittedURIDomains, " "); got != strings.Join(hosts, " ") {
			t.Errorf("%s: permitted %s, want %s", is.Name, got, hosts)
		}
		for _, e := range cert.Extensions {
			switch e.Id.String() {
			case "2.5.29.30":
				if e.Critical {
					t.Errorf("%s: name constraints are critical", is.Name)
				}
			case "2.5.29.36":
				t.Errorf("%s: policyConstraints", is.Name)
			}
		}
	}
	if critical := create(t, true).Issuers[0].Certificate; !critical.PermittedDNSDomainsCritical {
		t.Error("name constraints are not critical, though asked")
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]ca.CeremonyConfig{
		"no network":    {StatusURL: statusURL},
		"no status URL": {Network: network},
		"long name":     {Network: strings.Repeat("abcdefg.", 8) + "x", StatusURL: statusURL},
		"no randomness": {Network: network, StatusURL: statusURL, Random: strings.NewReader("")},
	} {
		if c, err := ca.Create(cfg); c != nil || err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// A misissue is a leaf that an attacker makes with the key of one issuing CA, past every gate.
type misissue struct {
	name, ca string
	uris     []string
	dns      []string
	ips      []string
	refused  bool // by the name constraints
	goPasses bool // crypto/x509 passes it all the same
}

func misissues() []misissue {
	return []misissue{
		{"merchant by merchant CA", "merchant", []string{"spiffe://merchant.pay.example/a"}, []string{"shop.example.test"}, nil, false, false},
		{"consumer by consumer CA", "consumer", []string{"spiffe://consumer.pay.example/a"}, nil, nil, false, false},
		{"wallet by bank CA", "bank", []string{"spiffe://wallet.pay.example/a"}, nil, []string{"192.0.2.1"}, false, false},
		{"service with the network's DNS name by service CA", "service", []string{"spiffe://service.pay.example/ca"}, []string{"ca.pay.example", "localhost"}, nil, false, false},
		{"gateway by merchant CA", "merchant", []string{"spiffe://gateway.pay.example/a"}, nil, nil, true, false},
		{"merchant by gateway CA", "gateway", []string{"spiffe://merchant.pay.example/a"}, nil, nil, true, false},
		{"gateway beside merchant by merchant CA", "merchant", []string{"spiffe://merchant.pay.example/a", "spiffe://gateway.pay.example/a"}, nil, nil, true, false},
		{"operator by bank CA", "bank", []string{"spiffe://operator.pay.example/a"}, nil, nil, true, false},
		{"merchant by service CA", "service", []string{"spiffe://merchant.pay.example/a"}, nil, nil, true, false},
		{"merchant of another network", "merchant", []string{"spiffe://merchant.pay.other/a"}, nil, nil, true, false},
		{"no URI, DNS gateway.pay.example by merchant CA", "merchant", nil, []string{"gateway.pay.example"}, nil, true, false},
		{"no URI, DNS gateway.pay.example by consumer CA", "consumer", nil, []string{"gateway.pay.example"}, nil, true, false},
		{"any DNS name by consumer CA", "consumer", []string{"spiffe://consumer.pay.example/a"}, []string{"x.example.test"}, nil, true, false},
		{"IPv4 address by consumer CA", "consumer", []string{"spiffe://consumer.pay.example/a"}, nil, []string{"192.0.2.1"}, true, false},
		{"IPv6 address by consumer CA", "consumer", []string{"spiffe://consumer.pay.example/a"}, nil, []string{"2001:db8::1"}, true, false},
		// What is left is for the identity check of package policy. To crypto/x509 a URI host constraint
		// stands for its subdomains too; to RFC 5280 section 4.2.1.10 and OpenSSL only for the host.
		{"URI host gateway.merchant.pay.example by merchant CA", "merchant", []string{"spiffe://gateway.merchant.pay.example/a"}, nil, nil, true, true},
		{"no URI, foreign DNS name by merchant CA", "merchant", nil, []string{"gateway.example.test"}, nil, false, false},
		{"two merchant URIs by merchant CA", "merchant", []string{"spiffe://merchant.pay.example/a", "spiffe://merchant.pay.example/b"}, nil, nil, false, false},
	}
}

func (m misissue) make(t *testing.T, c *ca.Ceremony) (leaf, issuer *x509.Certificate) {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711), NotBefore: start, NotAfter: start.AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, DNSNames: m.dns,
	}
	for _, text := range m.uris {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		template.URIs = append(template.URIs, u)
	}
	for _, text := range m.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(text))
	}
	for _, is := range c.Issuers {
		if is.Name == m.ca {
			der, err := x509.CreateCertificate(rand.Reader, template, is.Certificate, newKey(t).Public(), is.Signer)
			if err != nil {
				t.Fatal(err)
			}
			if leaf, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
			return leaf, is.Certificate
		}
	}
	t.Fatalf("no issuer %q", m.ca)
	return nil, nil
}

func TestNameConstraintsStopARoleCAFromMakingOtherRoles(t *testing.T) {
	t.Parallel()
	for _, critical := range []bool{false, true} {
		c := create(t, critical)
		roots := x509.NewCertPool()
		roots.AddCert(c.Root)
		for _, m := range misissues() {
			leaf, issuer := m.make(t, c)
			between := x509.NewCertPool()
			between.AddCert(issuer)
			_, err := leaf.Verify(x509.VerifyOptions{
				Roots: roots, Intermediates: between, CurrentTime: start, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			})
			if want := m.refused && !m.goPasses; (err != nil) != want {
				t.Errorf("critical %t, %s: error %v, want refused %t", critical, m.name, err, want)
			}
		}
	}
}

func TestOpenSSLAgreesOnNameConstraints(t *testing.T) {
	t.Parallel()
	openssl := needTool(t, "openssl")
	for _, critical := range []bool{false, true} {
		c := create(t, critical)
		for _, m := range misissues() {
			leaf, issuer := m.make(t, c)
			out, err := opensslVerify(t, openssl, c.Root, issuer, leaf)
			if (err != nil) != m.refused {
				t.Errorf("critical %t, %s: %v, want refused %t\n%s", critical, m.name, err, m.refused, out)
			}
		}
	}
}

func TestOpenSSLVerifiesEveryProfile(t *testing.T) {
	t.Parallel()
	openssl := needTool(t, "openssl")
	w := newWorld(t)
	for name, leaf := range allProfiles(t, w) {
		issuer, err := w.ca.Issuer(issuerOf(t, w, leaf))
		if err != nil {
			t.Fatal(err)
		}
		if out, err := opensslVerify(t, openssl, w.ca.Root(), issuer, leaf); err != nil {
			t.Errorf("profile %s: %v\n%s", name, err, out)
		}
	}
}

// opensslVerify verifies the chain as of start, strictly.
func opensslVerify(t *testing.T, openssl string, root, issuer, leaf *x509.Certificate) (string, error) {
	t.Helper()
	dir := t.TempDir()
	var paths []string
	for i, c := range []*x509.Certificate{root, issuer, leaf} {
		path := filepath.Join(dir, string(rune('0'+i))+".pem")
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	at := start.Add(time.Hour).Unix()
	cmd := exec.CommandContext(t.Context(), openssl, "verify", "-x509_strict", "-attime", big.NewInt(at).String(),
		"-CAfile", paths[0], "-untrusted", paths[1], paths[2])
	out, err := cmd.CombinedOutput()
	if _, exited := errors.AsType[*exec.ExitError](err); err != nil && !exited {
		t.Fatal(err)
	}
	return string(out), err
}
