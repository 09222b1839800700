package policy_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/policy"
)

func TestParseCSRReadsWhatWasAsked(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	der := csrOf(t, key, x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: "Käse", Organization: []string{"Acme"}},
		DNSNames:    []string{"a.test", "b.test"},
		IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1).To4(), net.ParseIP("2001:db8::1")},
		URIs:        []*url.URL{mustURL(t, "spiffe://merchant.pay.example/shop1")},
		ExtraExtensions: []pkix.Extension{
			extension(t, oidKU, asn1.BitString{Bytes: []byte{0x88}, BitLength: 5}),
			extension(t, oidEKU, []asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 1}}),
			extension(t, oidBC, []bool{true}),
			extension(t, oidNone, "whatever"),
		},
	})
	csr, err := policy.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	der[len(der)-1] ^= 1 // the request keeps its own copy
	std, err := x509.ParseCertificateRequest(csr.Raw)
	if err != nil || std.CheckSignature() != nil {
		t.Fatalf("got %v, want the bytes that were sent", err)
	}
	switch {
	case !slices.Equal(csr.DNSNames, []string{"a.test", "b.test"}),
		len(csr.Addresses) != 2 || csr.Addresses[0].String() != "192.0.2.1" || csr.Addresses[1].String() != "2001:db8::1",
		len(csr.URIs) != 1 || csr.URIs[0].String() != "spiffe://merchant.pay.example/shop1",
		!key.PublicKey.Equal(csr.PublicKey), !bytes.Equal(csr.RawSPKI, spkiOf(t, key.Public())),
		!bytes.Equal(csr.RawSubject, std.RawSubject), csr.Subject.CommonName != "Käse",
		csr.KeyUsage != x509.KeyUsageDigitalSignature|x509.KeyUsageKeyAgreement,
		len(csr.ExtKeyUsage) != 1, !csr.IsCA, len(csr.Extensions) != 5, csr.SignatureAlgorithm != x509.ECDSAWithSHA256:
		t.Errorf("got %+v", csr)
	}
}

func TestParseCSRAcceptsEveryKindOfKey(t *testing.T) {
	t.Parallel()
	p384, err1 := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, err2 := ed25519.GenerateKey(rand.Reader)
	rsa2048, err3 := rsa.GenerateKey(rand.Reader, 2048)
	if err1 != nil || err2 != nil || err3 != nil {
		t.Fatal(err1, err2, err3)
	}
	for want, key := range map[string]crypto.Signer{"P-256": newKey(t), "P-384": p384, "Ed25519": ed, "RSA-2048": rsa2048} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			csr, err := policy.ParseCSR(csrOf(t, key, x509.CertificateRequest{}))
			if err != nil || policy.DescribeKey(csr.PublicKey) != want {
				t.Errorf("got %v, want a request with a %s key", err, want)
			}
		})
	}
	t.Run("RSA with PSS", func(t *testing.T) {
		t.Parallel()
		der := csrOf(t, rsa2048, x509.CertificateRequest{SignatureAlgorithm: x509.SHA384WithRSAPSS})
		if _, err := policy.ParseCSR(der); err != nil {
			t.Errorf("got %v, want no error", err)
		}
	})
	t.Run("10 a CSR signed with SHA-1", func(t *testing.T) {
		t.Parallel()
		_, err := policy.ParseCSR(sha1CSR(t, rsa2048))
		wantRules(t, err, "csr-signature-algorithm")
	})
}

// sha1CSR names sha1WithRSAEncryption in place of sha256WithRSAEncryption. That the
// signature does not fit must not matter: it is not looked at.
func sha1CSR(t *testing.T, key *rsa.PrivateKey) []byte {
	sha256, sha1 := []byte{0x01, 0x01, 0x0b, 0x05, 0x00}, []byte{0x01, 0x01, 0x05, 0x05, 0x00}
	return bytes.Replace(csrOf(t, key, x509.CertificateRequest{}), sha256, sha1, 1)
}

func TestParseCSRRefusesBadEncodings(t *testing.T) {
	t.Parallel()
	good := newCSR(t, x509.CertificateRequest{DNSNames: []string{"a.test"}})
	flipped := bytes.Clone(good)
	flipped[len(flipped)-1] ^= 1
	indefinite := slices.Concat([]byte{0x30, 0x80}, good[4:], []byte{0, 0})
	longForm := slices.Concat([]byte{0x30, 0x83, 0}, good[2:])
	names := extensionRequest(t, san(t, 2, "a.test"))
	bc := extension(t, oidBC, []bool{false})
	for _, tt := range []struct {
		name string
		der  []byte
		rule string
	}{
		{"1 one flipped signature bit", flipped, "csr-signature"},
		{"12 two extensionRequests", rawCSR(t, nil, names, names), "csr-duplicate"},
		{"12 two basicConstraints", rawCSR(t, nil, extensionRequest(t, bc, bc)), "csr-duplicate"},
		{"an extensionRequest of two values", rawCSR(t, nil, twoValues(t)), "csr-form"},
		{"15 trailing bytes", append(bytes.Clone(good), 0), "csr-form"},
		{"15 BER indefinite length", indefinite, "csr-form"},
		{"15 a length in too many octets", longForm, "csr-form"},
		{"trailing bytes in a subjectAltName", rawCSR(t, nil, extensionRequest(t, pkix.Extension{Id: oidSAN, Value: []byte{0x30, 0, 0}})), "csr-form"},
		{"a malformed keyUsage", rawCSR(t, nil, extensionRequest(t, pkix.Extension{Id: oidKU, Value: []byte{4, 0}})), "csr-form"},
		{"an empty extKeyUsage", rawCSR(t, nil, extensionRequest(t, pkix.Extension{Id: oidEKU, Value: []byte{0x30, 0}})), "csr-form"},
		{"a malformed basicConstraints", rawCSR(t, nil, extensionRequest(t, pkix.Extension{Id: oidBC, Value: []byte{0x30, 2, 4, 0}})), "csr-form"},
		{"15 a BER string of parts where nobody looks", rawCSR(t, nil, ignored([]byte{0x24, 0x02, 0x04, 0x00})), "csr-form"},
		{"11 nesting depth 20 where nobody looks", rawCSR(t, nil, ignored(nested(20))), "csr-form"},
		{"nothing", nil, "csr-form"},
		{"text", []byte("-----BEGIN CERTIFICATE REQUEST-----"), "csr-form"},
		{"a certificate", newPKI(t).root.cert.Raw, "csr-form"},
		{"11 a CSR of 5 MB", make([]byte, 5<<20), "csr-size"},
		{"11 nesting depth 10,000", nested(10_000), "csr-form"},
		{"11 10,000 SANs", rawCSR(t, nil, extensionRequest(t, san(t, 2, slices.Repeat([]string{"a"}, 10_000)...))), "san-count"},
		{"101 extensions", rawCSR(t, nil, extensionRequest(t, distinctExtensions(101)...)), "csr-form"},
		{"101 extended key usages", rawCSR(t, nil, extensionRequest(t, extension(t, oidEKU, slices.Repeat([]asn1.ObjectIdentifier{oidNone}, 101)))), "csr-form"},
		{"101 SANs", rawCSR(t, nil, extensionRequest(t, san(t, 2, slices.Repeat([]string{"a"}, 101)...))), "san-count"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.ParseCSR(tt.der)
			wantRules(t, err, tt.rule)
		})
	}
	if _, err := policy.ParseCSR(rawCSR(t, nil, names, ignored(nested(8)))); err != nil {
		t.Errorf("got %v for a good request, want no error: the cases above would prove nothing", err)
	}
}

// ignored is an attribute of an unknown kind with that value.
func ignored(value []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidNone)
		b.AddASN1(casn1.SET, func(b *cryptobyte.Builder) { b.AddBytes(value) })
	})
	return b.BytesOrPanic()
}

func distinctExtensions(n int) []pkix.Extension {
	var extensions []pkix.Extension
	for i := range n {
		extensions = append(extensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, i}})
	}
	return extensions
}

// Not parallel: it measures.
func TestParseCSRRefusesHostileRequestsCheaply(t *testing.T) {
	for name, der := range map[string][]byte{
		"11 5 MB":              make([]byte, 5<<20),
		"11 10,000 SANs":       rawCSR(t, nil, extensionRequest(t, san(t, 2, slices.Repeat([]string{"a"}, 10_000)...))),
		"11 depth 10,000":      nested(10_000),
		"an RSA key of 60 KiB": rawCSR(t, rsaSPKI(60<<10, 65537)),
		"5,000 extensions":     rawCSR(t, nil, extensionRequest(t, distinctExtensions(5_000)...)),
	} {
		t.Run(name, func(t *testing.T) {
			best, allocated := time.Hour, uint64(1<<62)
			for range 5 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				start := time.Now()
				_, err := policy.ParseCSR(der)
				best = min(best, time.Since(start))
				runtime.ReadMemStats(&after)
				allocated = min(allocated, after.TotalAlloc-before.TotalAlloc)
				if err == nil {
					t.Fatal("got no error, want a refusal")
				}
			}
			if best > 50*time.Millisecond || allocated > 4<<20 {
				t.Errorf("got %v and %d octets, want at most 50ms and 4 MiB", best, allocated)
			}
		})
	}
}

func TestParseCSRRefusesKeysThatNoProfileTakes(t *testing.T) {
	t.Parallel()
	rsa1024, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p521, err := ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	padded := spkiOf(t, ed25519.PublicKey(make([]byte, 32)))
	padded[bytes.Index(padded, []byte{0x03, 0x21, 0x00})+2] = 1 // one unused bit: crypto/x509 shifts the key by it
	for _, tt := range []struct {
		name string
		der  []byte
		rule string
	}{
		{"2 RSA-1024", csrOf(t, rsa1024, x509.CertificateRequest{}), "key-size"},
		{"2 RSA-2048 with e=1", rawCSR(t, rsaSPKI(256, 1)), "key-weak"},
		{"2 RSA-2048 with e=3", rawCSR(t, rsaSPKI(256, 3)), "key-weak"},
		{"2 RSA-2048 with an even exponent", rawCSR(t, rsaSPKI(256, 65538)), "key-weak"},
		{"2 RSA-2048 with an exponent of 33 bits", rawCSR(t, rsaSPKI(256, 1<<32+1)), "key-weak"},
		{"2 an even modulus", rawCSR(t, spkiOf(t, evenKey())), "key-weak"},
		{"RSA-2048 that is sound but did not sign", rawCSR(t, rsaSPKI(256, 65537)), "csr-signature"},
		{"an RSA key of 16384 bits", rawCSR(t, rsaSPKI(2048, 65537)), "key-size"},
		{"3 P-224", csrOf(t, p224, x509.CertificateRequest{}), "key-kind"},
		{"3 explicit curve parameters", rawCSR(t, explicitSPKI()), "key-kind"},
		{"P-521", csrOf(t, p521, x509.CertificateRequest{}), "key-kind"},
		{"DSA", rawCSR(t, dsaSPKI()), "key-kind"},
		{"5 a ROCA modulus", rawCSR(t, spkiOf(t, rocaKey(t))), "key-weak"},
		{"3 an Ed25519 key of small order, with which anybody can sign", rawCSR(t, spkiOf(t, ed25519.PublicKey(make([]byte, 32)))), "key-point"},
		{"close primes", rawCSR(t, spkiOf(t, closeKey(50))), "key-weak"},
		{"a key in bits that are not whole octets", rawCSR(t, padded), "csr-form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.ParseCSR(tt.der)
			wantRules(t, err, tt.rule)
		})
	}
}

func TestParseCSRRefusesBadNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		kind int
		san  string
		rule string
	}{
		{"16 NUL in a SAN", 2, "a.test\x00.b.test", "san-dns"},
		{"17 a wildcard", 2, "*.com", "san-dns"},
		{"17 a trailing dot", 2, "a.test.", "san-dns"},
		{"17 an empty name", 2, "", "san-dns"},
		{"18 IP text in a DNS SAN", 2, "192.0.2.1", "san-dns"},
		{"18 a SAN IP of 3 bytes", 7, "\x01\x02\x03", "san-address"},
		{"a SAN IP with mask", 7, "\x01\x02\x03\x04\xff\xff\xff\x00", "san-address"},
		{"20 CR LF in e-mail", 1, "a@b.test\r\nx", "san-email"},
		{"a URI with an empty fragment", 6, "spiffe://merchant.pay.example/shop1#", "san-uri"},
		{"a URI that is none", 6, "%zz", "san-uri"},
		{"a registered id", 8, "\x2a\x03", "san-kind"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.ParseCSR(rawCSR(t, nil, extensionRequest(t, san(t, tt.kind, tt.san))))
			wantRules(t, err, tt.rule)
			if strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Errorf("got %q, want one line", err)
			}
		})
	}
	for name, subject := range map[string]string{
		"16 NUL in the CN": "a\x00b", "20 CR LF in the subject": "a\r\nb", "an escape character in the subject": "a\x1b[31m",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.ParseCSR(newCSR(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: subject}}))
			wantRules(t, err, "subject-text")
		})
	}
	t.Run("several faults are told together", func(t *testing.T) {
		t.Parallel()
		_, err := policy.ParseCSR(rawCSR(t, rsaSPKI(256, 3), extensionRequest(t, san(t, 2, "*", "a."))))
		wantRules(t, err, "san-dns", "san-dns")
	})
	t.Run("21 a CN of 65 characters is only a label and its bytes are preserved", func(t *testing.T) {
		t.Parallel()
		der := newCSR(t, x509.CertificateRequest{Subject: pkix.Name{CommonName: strings.Repeat("a", 65)}})
		csr, err := policy.ParseCSR(der)
		if err != nil || !bytes.Contains(der, csr.RawSubject) {
			t.Errorf("got %v, want the subject as it was sent", err)
		}
	})
}

func FuzzParseCSR(f *testing.F) {
	f.Add(newCSR(f, x509.CertificateRequest{Subject: pkix.Name{CommonName: "a"}, DNSNames: []string{"a.test"}, IPAddresses: []net.IP{{192, 0, 2, 1}}}))
	f.Add(rawCSR(f, nil, extensionRequest(f, san(f, 6, "spiffe://merchant.pay.example/shop1"))))
	f.Add(rawCSR(f, nil, extensionRequest(f, extension(f, oidBC, []bool{true}))))
	f.Add(rawCSR(f, rsaSPKI(256, 65537)))
	f.Add(nested(40))
	f.Fuzz(func(t *testing.T, der []byte) {
		csr, err := policy.ParseCSR(der)
		if err != nil {
			if len(policy.ViolationsOf(err)) == 0 || strings.ContainsAny(err.Error(), "\r\n\x00") {
				t.Fatalf("got %q, want violations on one line", err)
			}
			return
		}
		std, err := x509.ParseCertificateRequest(der)
		if err != nil || std.CheckSignature() != nil {
			t.Fatalf("accepted what crypto/x509 refuses: %v", err)
		}
		if !slices.Equal(std.DNSNames, csr.DNSNames) || len(std.URIs) != len(csr.URIs) || len(std.IPAddresses) != len(csr.Addresses) {
			t.Fatalf("got names %v, %v, %v, crypto/x509 reads %v, %v, %v", csr.DNSNames, csr.URIs, csr.Addresses, std.DNSNames, std.URIs, std.IPAddresses)
		}
		if !bytes.Equal(csr.Raw, der) || !bytes.Equal(csr.RawSPKI, spkiOf(t, csr.PublicKey)) {
			t.Fatal("the key does not encode to the bytes that were sent")
		}
	})
}

func TestRepeatRequestAsksForNamesOnlyWhereTheProfileWantsThem(t *testing.T) {
	t.Parallel()
	old := &x509.Certificate{PublicKey: newKey(t).Public(), DNSNames: []string{"a.shops.example"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}
	profile := func(from string) *policy.Profile {
		cfg := policy.ProfileConfig{Name: "merchant", Role: policy.Merchant, Use: "tls", Validity: policy.Duration(time.Hour)}
		if from != "" {
			cfg.DNS = policy.NameSource{From: from, Allow: []string{"*.shops.example"}}
			cfg.Addresses = policy.NameSource{From: from, Allow: []string{"192.0.2.0/24"}}
		}
		p, err := policy.NewProfile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	for from, want := range map[string]int{"": 0, policy.FromRequest: 1} {
		csr, err := policy.RepeatRequest(old, profile(from))
		if err != nil || len(csr.DNSNames) != want || len(csr.Addresses) != want {
			t.Errorf("from %q: got %+v, %v, want %d of each name", from, csr, err, want)
		}
	}
	old.PublicKey = evenKey()
	if _, err := policy.RepeatRequest(old, profile("")); err == nil {
		t.Error("a weak key was accepted")
	}
}
