package lint_test

import (
	"crypto"
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
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/policy"
)

const network, statusURL = "pay.example", "http://localhost:8080"

// comment is an extension that the profile merchant-client grants.
var comment = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}, Value: []byte{0x16, 2, 'h', 'i'}}

// issuers are the issuing CAs of the tests. Their keys sign nothing.
var issuers = sync.OnceValues(func() (list []ca.Issuer, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	for _, name := range policy.CAs() {
		template := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: issuerName(name), SubjectKeyId: []byte{5, 6, 7, 8},
			NotBefore: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC),
		}
		der, derr := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		c, cerr := x509.ParseCertificate(der)
		err = errors.Join(err, derr, cerr)
		list = append(list, ca.Issuer{Name: name, Certificate: c})
	}
	return list, err
})

func issuerName(name string) pkix.Name {
	return pkix.Name{Organization: []string{network}, CommonName: name + " CA"}
}

func config(t testing.TB) lint.Config {
	t.Helper()
	cfg := lint.Config{Network: network, StatusURL: statusURL}
	var err error
	if cfg.Issuers, err = issuers(); err != nil {
		t.Fatal(err)
	}
	for _, p := range append(policy.DefaultProfiles(),
		policy.ProfileConfig{Name: "merchant-sign", Role: policy.Merchant, Use: "sign", Validity: policy.Duration(30 * 24 * time.Hour)},
		policy.ProfileConfig{Name: "gateway-stapled", Role: policy.Aggregator, Use: "client", Validity: policy.Duration(30 * 24 * time.Hour), MustStaple: true},
		policy.ProfileConfig{
			Name: "merchant-client", Role: policy.Merchant, Use: "client", Validity: policy.Duration(30 * 24 * time.Hour),
			Extensions: []string{comment.Id.String()}, Policies: []string{"1.3.6.1.4.1.99999.1"},
		}) {
		profile, err := policy.NewProfile(p)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Profiles = append(cfg.Profiles, profile)
	}
	return cfg
}

func newLinter(t testing.TB) ca.Linter {
	t.Helper()
	linter, err := lint.New(config(t))
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
	c.Subject.OrganizationalUnit, c.Subject.CommonName = []string{"gateway"}, "gw1"
	c.URIs[0].Host, c.URIs[0].Path, c.DNSNames = "gateway.pay.example", "/gw1", nil
	inside(c, "gateway")
	c.KeyUsage, c.ExtKeyUsage = x509.KeyUsageKeyAgreement, nil
	return c
}

// inside lets another CA issue a certificate.
func inside(c *x509.Certificate, issuer string) {
	c.Issuer.CommonName = issuer
	c.OCSPServer = []string{statusURL + "/ocsp/" + issuer}
	c.IssuingCertificateURL = []string{statusURL + "/ca/" + issuer + ".crt"}
	c.CRLDistributionPoints = []string{statusURL + "/crl/" + issuer + ".crl"}
}

// client has what the profile merchant-client gives.
func client() *x509.Certificate {
	c := merchant()
	c.DNSNames, c.ExtKeyUsage = nil, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	c.Policies = []x509.OID{policyOID}
	return c
}

var tlsFeature = pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}

// stapled has what the profile gateway-stapled gives.
func stapled() *x509.Certificate {
	c := merchant()
	c.Subject.OrganizationalUnit, c.Subject.CommonName = []string{"aggregator"}, "ag1"
	c.URIs[0].Host, c.URIs[0].Path, c.DNSNames = "aggregator.pay.example", "/ag1", nil
	inside(c, "gateway")
	c.ExtKeyUsage, c.ExtraExtensions = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, []pkix.Extension{tlsFeature}
	return c
}

var policyOID, _ = x509.OIDFromInts([]uint64{1, 3, 6, 1, 4, 1, 99999, 1})

// signer has what the profile merchant-sign gives.
func signer() *x509.Certificate {
	c := merchant()
	c.DNSNames, c.ExtKeyUsage, c.UnknownExtKeyUsage = nil, nil, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 36}}
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

// sign makes a certificate for a key of its own.
func sign(t testing.TB, template *x509.Certificate) *x509.Certificate {
	t.Helper()
	return certify(t, template, p256(t))
}

// certify makes a certificate for a key. A template names its issuer if that is not the merchant CA; "none" has no key identifier.
func certify(t testing.TB, template *x509.Certificate, key crypto.Signer) *x509.Certificate {
	t.Helper()
	issuer := &x509.Certificate{Subject: issuerName("merchant"), SubjectKeyId: []byte{5, 6, 7, 8}}
	switch template.Issuer.CommonName {
	case "":
	case "none":
		issuer.SubjectKeyId = nil
	default:
		issuer.Subject = issuerName(template.Issuer.CommonName)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, issuer, key.Public(), p256(t))
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func p256(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestCleanCertificates(t *testing.T) {
	t.Parallel()
	linter := newLinter(t)
	named := func(name string) *x509.Certificate {
		c := merchant()
		c.Subject.Organization = []string{name}
		return c
	}
	changed := func(c *x509.Certificate, change func(c *x509.Certificate)) *x509.Certificate {
		change(c)
		return c
	}
	for name, template := range map[string]*x509.Certificate{
		"merchant": merchant(), "encryption": encryption(), "OCSP signer": responder(), "client with policies": client(), "signer of documents": signer(), "stapled": stapled(),
		"with addresses": changed(merchant(), func(c *x509.Certificate) {
			c.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 7).To4(), net.ParseIP("2001:db8::7")}
		}),
		"with an extension that the profile grants": changed(client(), func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{comment} }),
		"in a shard of the CRL":                     changed(merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{statusURL + "/crl/merchant/3.crl"} }),
		"name in Latin-1":                           named("Müller & Söhne GmbH"),
		"name in Japanese":                          named("株式会社日本決済"),
		"name of 64 two-byte characters":            named(strings.Repeat("ß", 64)),
		"name with the ends of punctuation":         named("Smith, Jones + Co. <\"a\"; b>"),
		"service below the network's own domain": changed(merchant(), func(c *x509.Certificate) {
			inside(c, "service")
			c.Subject.OrganizationalUnit, c.Subject.CommonName = []string{"service"}, "ca.pay.example"
			c.URIs[0].Host, c.URIs[0].Path, c.DNSNames = "service.pay.example", "/ca.pay.example", []string{"ca.pay.example"}
		}),
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
		{"URI of another network", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs[0] = uri("spiffe://merchant.other.example/shop1") }},
		{"URI of an unknown role", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs[0] = uri("spiffe://shop.pay.example/shop1") }},
		{"role below another", "payca_uri_single", merchant(), func(c *x509.Certificate) { c.URIs[0] = uri("spiffe://gateway.merchant.pay.example/gw1") }},
		{"OCSP signer with a URI", "payca_uri_single", responder(), func(c *x509.Certificate) { c.URIs = merchant().URIs }},
		{"gateway of the merchant CA", "payca_role_issuer", encryption(), func(c *x509.Certificate) { inside(c, "merchant") }},
		{"CA of another network", "payca_role_issuer", merchant(), func(c *x509.Certificate) { c.Issuer.CommonName = "other" }},
		{"subject of another role", "payca_role_subject", merchant(), func(c *x509.Certificate) { c.Subject.OrganizationalUnit = []string{"gateway"} }},
		{"subject of another party", "payca_role_subject", merchant(), func(c *x509.Certificate) { c.Subject.CommonName = "shop2" }},
		{"subject without organization", "payca_role_subject", merchant(), func(c *x509.Certificate) { c.Subject.Organization = nil }},
		{"subject with a country", "payca_role_subject", merchant(), func(c *x509.Certificate) { c.Subject.Country = []string{"DE"} }},
		{"OCSP signer of another name", "payca_role_subject", responder(), func(c *x509.Certificate) { c.Subject.CommonName = "gateway OCSP signer" }},
		{"CA", "payca_leaf", merchant(), func(c *x509.Certificate) { c.IsCA = true }},
		{"keyCertSign", "payca_leaf", merchant(), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageCertSign }},
		{"no basicConstraints", "payca_leaf", merchant(), func(c *x509.Certificate) { c.BasicConstraintsValid = false }},
		{"short serial", "payca_serial_length", merchant(), func(c *x509.Certificate) { c.SerialNumber = big.NewInt(4711) }},
		{"serial of 21 octets", "payca_serial_length", merchant(), func(c *x509.Certificate) {
			c.SerialNumber = new(big.Int).SetBytes(append([]byte{0x80}, make([]byte, 19)...))
		}},
		{"no CRL", "payca_cdp", merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = nil }},
		{"two CRLs", "payca_cdp", merchant(), func(c *x509.Certificate) {
			c.CRLDistributionPoints = append(c.CRLDistributionPoints, "http://other.example/a.crl")
		}},
		{"CRL of another CA", "payca_cdp", merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = encryption().CRLDistributionPoints }},
		{"CRL shard that is no number", "payca_cdp", merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{statusURL + "/crl/merchant/x.crl"} }},
		{"CRL shard below a shard", "payca_cdp", merchant(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{statusURL + "/crl/merchant/1/2.crl"} }},
		{"OCSP signer with a CRL", "payca_cdp", responder(), func(c *x509.Certificate) { c.CRLDistributionPoints = merchant().CRLDistributionPoints }},
		{"no OCSP", "payca_aia", merchant(), func(c *x509.Certificate) { c.OCSPServer = nil }},
		{"no issuer URL", "payca_aia", merchant(), func(c *x509.Certificate) { c.IssuingCertificateURL = nil }},
		{"status over https", "payca_aia", merchant(), func(c *x509.Certificate) { c.OCSPServer = []string{"https://localhost/ocsp/merchant"} }},
		{"OCSP signer with OCSP", "payca_aia", responder(), func(c *x509.Certificate) { c.OCSPServer = merchant().OCSPServer }},
		{"nocheck for a merchant", "payca_nocheck", merchant(), func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{noCheck} }},
		{"OCSP signer without nocheck", "payca_nocheck", responder(), func(c *x509.Certificate) { c.ExtraExtensions = nil }},
		{"a second too long", "payca_validity_inclusive", merchant(), func(c *x509.Certificate) { c.NotAfter = c.NotAfter.Add(time.Second) }},
		{"notAfter before notBefore", "payca_validity_inclusive", merchant(), func(c *x509.Certificate) { c.NotAfter = c.NotBefore.Add(-time.Second) }},
		{"longer than its issuer", "payca_validity_issuer", merchant(), func(c *x509.Certificate) { c.NotAfter = time.Date(2030, 1, 1, 0, 0, 1, 0, time.UTC) }},
		{"earlier than its issuer", "payca_validity_issuer", merchant(), func(c *x509.Certificate) { c.NotBefore = time.Date(2025, 1, 1, 0, 0, 1, 0, time.UTC) }},
		{"signing and encryption", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }},
		{"encryption with a TLS use", "payca_key_use_single", encryption(), func(c *x509.Certificate) { c.ExtKeyUsage = merchant().ExtKeyUsage }},
		{"signing without extended key usage", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.ExtKeyUsage = nil }},
		{"no key usage", "payca_key_use_single", merchant(), func(c *x509.Certificate) { c.KeyUsage = 0 }},
		{"any extended key usage", "payca_role_eku", merchant(), func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }},
		{"OCSP signer that is a TLS client", "payca_role_eku", responder(), func(c *x509.Certificate) { c.ExtKeyUsage = append(c.ExtKeyUsage, x509.ExtKeyUsageClientAuth) }},
		{"merchant that may encrypt", "payca_role_eku", encryption(), func(c *x509.Certificate) {
			c.Subject, c.URIs = merchant().Subject, merchant().URIs
			inside(c, "merchant")
		}},
		{"usage that no profile has", "payca_role_eku", signer(), func(c *x509.Certificate) {
			c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}}
		}},
		{"server that signs documents", "payca_role_eku", signer(), func(c *x509.Certificate) { c.ExtKeyUsage = merchant().ExtKeyUsage }},
		{"extension that its profile does not grant", "payca_extensions", merchant(), func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{comment} }},
		{"granted extension that is critical", "payca_extensions", client(), func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: comment.Id, Value: comment.Value, Critical: true}}
		}},
		{"no policies where the profile has them", "payca_policies", client(), func(c *x509.Certificate) { c.Policies = nil }},
		{"policies where the profile has none", "payca_policies", merchant(), func(c *x509.Certificate) { c.Policies = []x509.OID{policyOID} }},
		{"stapling demanded where no profile does", "payca_must_staple", merchant(), func(c *x509.Certificate) { c.ExtraExtensions = []pkix.Extension{tlsFeature} }},
		{"stapling not demanded where the profile does", "payca_must_staple", stapled(), func(c *x509.Certificate) { c.ExtraExtensions = nil }},
		{"another TLS feature", "payca_must_staple", stapled(), func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: tlsFeature.Id, Value: []byte{0x30, 3, 2, 1, 17}}}
		}},
		{"stapling demanded critically", "payca_extensions", stapled(), func(c *x509.Certificate) { c.ExtraExtensions[0].Critical = true }},
		{"e-mail name", "payca_names", merchant(), func(c *x509.Certificate) { c.EmailAddresses = []string{"a@example.test"} }},
		{"DNS name for what is no server", "payca_names", client(), func(c *x509.Certificate) { c.DNSNames = []string{"a.test"} }},
		{"merchant with a name of the network", "payca_names", merchant(), func(c *x509.Certificate) { c.DNSNames = []string{"gateway.pay.example"} }},
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
	der := sign(t, merchant()).Raw
	for name, input := range map[string][]byte{"nothing": nil, "cut": der[:len(der)-1], "longer": append(slices.Clone(der), 0)} {
		if linter(&x509.Certificate{Raw: input}) == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
