package lint_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/lint"
)

func newLinter(t testing.TB) ca.Linter {
	t.Helper()
	linter, err := lint.New()
	if err != nil {
		t.Fatal(err)
	}
	return linter
}

var noCheck = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: asn1.NullBytes}

// merchant returns the template of a certificate that is as it should be.
func merchant() *x509.Certificate {
	start := time.Date(2026, 11, 23, 1, 25, 2, 0, time.UTC)
	return &x509.Certificate{
		SerialNumber:          new(big.Int).Lsh(big.NewInt(0x5a5a5a5a5a), 100),
		Subject:               pkix.Name{Organization: []string{"Acme Computers"}, OrganizationalUnit: []string{"merchant"}, CommonName: "shop1"},
		NotBefore:             start,
		NotAfter:              start.Add(30*24*time.Hour - time.Second),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		SubjectKeyId:          []byte{1, 2, 3, 4},
		URIs:                  []*url.URL{{Scheme: "spiffe", Host: "merchant.pay.example", Path: "/shop1"}},
		DNSNames:              []string{"shop.example.test", "localhost"},
		OCSPServer:            []string{"http://localhost:8080/ocsp/merchant"},
		IssuingCertificateURL: []string{"http://localhost:8080/ca/merchant.crt"},
		CRLDistributionPoints: []string{"http://localhost:8080/crl/merchant.crl"},
	}
}

func encryption() *x509.Certificate {
	c := merchant()
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil
	return c
}

func responder() *x509.Certificate {
	c := merchant()
	c.Subject = pkix.Name{Organization: []string{"pay.example"}, CommonName: "merchant OCSP signer"}
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	c.URIs, c.DNSNames, c.OCSPServer, c.IssuingCertificateURL, c.CRLDistributionPoints = nil, nil, nil, nil, nil
	c.ExtraExtensions = []pkix.Extension{noCheck}
	return c
}

func sign(t testing.TB, template *x509.Certificate) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	issuer := &x509.Certificate{Subject: pkix.Name{Organization: []string{"pay.example"}, CommonName: "merchant CA"}, SubjectKeyId: []byte{5, 6, 7, 8}}
	if template.Issuer.CommonName == "none" {
		issuer.SubjectKeyId = nil
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestCleanCertificates(t *testing.T) {
	t.Parallel()
	linter := newLinter(t)
	named := func(name string) *x509.Certificate {
		c := merchant()
		c.Subject.Organization = []string{name}
		return c
	}
	in := func(host string) *x509.Certificate {
		c := merchant()
		c.URIs[0].Host = host
		c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 7).To4(), net.ParseIP("2001:db8::7")}
		return c
	}
	for name, template := range map[string]*x509.Certificate{
		"merchant": merchant(), "encryption": encryption(), "OCSP signer": responder(),
		"name in Latin-1":                   named("Müller & Söhne GmbH"),
		"name in Japanese":                  named("株式会社日本決済"),
		"name of 64 two-byte characters":    named(strings.Repeat("ß", 64)),
		"name with the ends of punctuation": named("Smith, Jones + Co. <\"a\"; b>"),
		"network without a public suffix":   in("merchant.pay.internal"),
		"network of one label":              in("merchant.lab"),
		"long role":                         in("acquiring-bank.a-1.example"),
	} {
		if err := linter(sign(t, template)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	linter := newLinter(t)
	uri := func(text string) *url.URL {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	for _, tt := range []struct {
		name, want string
		template   *x509.Certificate
		change     func(c *x509.Certificate)
	}{
		{"two URIs", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs = append(c.URIs, uri("spiffe://gateway.pay.example/gw1")) }},
		{"no URI", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs = nil }},
		{"URI of another scheme", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs[0] = uri("https://merchant.pay.example/shop1") }},
		{"URI without a party", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs[0] = uri("spiffe://merchant.pay.example/") }},
		{"OCSP signer with a URI", "payca_uri_single", responder(), func(c *x509.Certificate) { c.URIs = merchant().URIs }},
		{"CA", "payca_leaf", merchant(), func(c *x509.Certificate) { c.IsCA = true }},
		{"keyCertSign", "payca_leaf", merchant(), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }},
		{"no basicConstraints", "payca_leaf", merchant(), func(c *x509.Certificate) { c.BasicConstraintsValid = false }},
		{"short serial", "payca_serial_length", merchant(), func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }},
		{"serial of 21 octets", "payca_serial_length", merchant(), func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).SetBytes(append([]byte{0x80}, make([]byte, 19)...))
		}},
		{"no CRL", "payca_status", merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = nil }},
		{"no OCSP", "payca_status", merchant(), func(c *x509.Certificate) { c.OCSPServer = nil }},
		{"status over https", "payca_status", merchant(), func(c *x509.Certificate) { c.OCSPServer = []string{"https://localhost/ocsp/merchant"} }},
		{"nocheck for a merchant", "payca_status", merchant(), func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{noCheck} }},
		{"OCSP signer without nocheck", "payca_status", responder(), func(c *x509.Certificate) { c.ExtraExtensions = nil }},
		{"OCSP signer with a CRL", "payca_status", responder(), func(c *x509.Certificate) { c.CRLDistributionPoints = merchant().CRLDistributionPoints }},
		{"a second too long", "payca_validity_inclusive", merchant(), func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }},
		{"notAfter before notBefore", "payca_validity_inclusive", merchant(), func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Second) }},
		{"signing and encryption", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }},
		{"encryption with a TLS use", "payca_key_use_single", encryption(), func(c *x509.Certificate) { c.ExtKeyUsage = merchant().ExtKeyUsage }},
		{"signing without extended key usage", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.ExtKeyUsage = nil }},
		{"no key usage", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.KeyUsage = 0 }},
		{"any extended key usage", "payca_eku", merchant(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
		{"OCSP signer that is a TLS client", "payca_eku", responder(), func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }},
		{"e-mail name", "payca_names", merchant(), func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.test"} }},
		{"name of 65 characters", "e_subject_common_name_max_length", merchant(), func(c *x509.Certificate) { c.Subject.CommonName = strings.Repeat("x", 65) }},
		{"label of 64 characters", "e_rfc_dnsname_label_too_long", merchant(), func(c *x509.Certificate) { c.DNSNames = []string{strings.Repeat("x", 64) + ".test"} }},
		{"no authority key identifier", "e_ext_authority_key_identifier_missing", merchant(), func(c *x509.Certificate) { c.Issuer.CommonName = "none" }},
		{"wildcard in the middle", "e_san_wildcard_not_first", merchant(), func(c *x509.Certificate) { c.DNSNames = []string{"a.*.test"} }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.change(tt.template)
			err := linter(sign(t, tt.template))
			findings, ok := errors.AsType[lint.Findings](err)
			if !ok || !slices.ContainsFunc(findings, func(f ca.Fault) bool { return f.Rule == tt.want && f.Detail != "" }) {
				t.Errorf("error %v, want a finding of %s", err, tt.want)
			}
			if ok && !strings.Contains(err.Error(), tt.want+": ") {
				t.Errorf("error %q, want it to name %s", err, tt.want)
			}
		})
	}
}

func TestWhatIsNoCertificateIsRefused(t *testing.T) {
	t.Parallel()
	linter := newLinter(t)
	der := sign(t, merchant())
	for name, input := range map[string][]byte{"nothing": nil, "cut": der[:len(der)-1], "longer": append(slices.Clone(der), 0)} {
		if linter(input) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestEveryExclusionHasAReason(t *testing.T) {
	t.Parallel()
	for name, reason := range lint.Excluded() {
		if reason == "" {
			t.Errorf("%s has no reason", name)
		}
	}
}

func BenchmarkLint(b *testing.B) {
	linter := newLinter(b)
	der := sign(b, merchant())
	for b.Loop() {
		if err := linter(der); err != nil {
			b.Fatal(err)
		}
	}
}
