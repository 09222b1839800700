package est

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"encoding/base64"
	"encoding/pem"
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

func request(t testing.TB) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestRequestsAreReadInEveryForm(t *testing.T) {
	t.Parallel()
	der := request(t)
	text := base64.StdEncoding.EncodeToString(der)
	wrapped := strings.Builder{}
	for i, c := range text {
		if i%64 == 0 {
			wrapped.WriteString("\r\n\t ")
		}
		wrapped.WriteRune(c)
	}
	for _, tt := range []struct {
		name string
		body string
		ok   bool
	}{
		{"base64", text, true},
		{"base64 in lines", wrapped.String(), true},
		{"PEM", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), true},
		{"PEM as Netscape had it, after a line", "\n" + string(pem.EncodeToMemory(&pem.Block{Type: "NEW CERTIFICATE REQUEST", Bytes: der})), true},
		{"DER", string(der), true},
		{"PEM of something else", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), false},
		{"PEM that is cut off", "-----BEGIN CERTIFICATE REQUEST-----\nMI", false},
		{"nothing", "", false},
		{"white space", " \r\n", false},
		{"other text", "hello, world", false},
		{"base64 without its padding", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte("abcd")), "="), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, ok := decodeRequest([]byte(tt.body))
			if ok != tt.ok || ok && !bytes.Equal(got, der) {
				t.Errorf("got %d octets, %t, want %t", len(got), ok, tt.ok)
			}
		})
	}
}

// signedData is RFC 5652 section 5.1, as much as there is of it.
type signedData struct {
	Kind    stdasn1.ObjectIdentifier
	Content struct {
		Version      int
		Digests      []stdasn1.RawValue `asn1:"set"`
		Content      struct{ Kind stdasn1.ObjectIdentifier }
		Certificates stdasn1.RawValue   `asn1:"tag:0"`
		Signers      []stdasn1.RawValue `asn1:"set"`
	} `asn1:"explicit,tag:0"`
}

func TestCertsOnlyHoldsTheCertificates(t *testing.T) {
	t.Parallel()
	a, b := &x509.Certificate{Raw: []byte{0x30, 2, 5, 0}}, &x509.Certificate{Raw: []byte{0x30, 1, 5}}
	for _, list := range [][]*x509.Certificate{{a, b}, {b, a}} {
		der, err := certsOnly(list)
		if err != nil {
			t.Fatal(err)
		}
		var got signedData
		if rest, err := stdasn1.Unmarshal(der, &got); err != nil || len(rest) > 0 {
			t.Fatalf("got %v and %d octets more", err, len(rest))
		}
		c := got.Content
		if !got.Kind.Equal(oidSignedData) || c.Version != 1 || !c.Content.Kind.Equal(oidData) || len(c.Digests)+len(c.Signers) > 0 || !bytes.Equal(c.Certificates.Bytes, append(bytes.Clone(b.Raw), a.Raw...)) {
			t.Errorf("got %+v, want both certificates in the order of DER, and nothing else", got)
		}
	}
}

func TestKeyAttributesSayWhichKeyTheProfileWants(t *testing.T) {
	t.Parallel()
	for keys, want := range map[string][]stdasn1.ObjectIdentifier{
		policy.KeyP256: {oidECPublicKey, oidP256, oidECDSAandSHA2}, policy.KeyP384: {oidECPublicKey, oidP384, oidECDSAandSHA3},
		policy.KeyEd25519: {oidEd25519}, policy.KeyRSA: {oidRSA, oidSHA256WithRSA},
	} {
		der, err := keyAttributes(policy.ProfileConfig{Keys: []string{keys, policy.KeyP256}, RSABits: 3072})
		if err != nil {
			t.Fatal(err)
		}
		if rest, err := stdasn1.Unmarshal(der, new([]stdasn1.RawValue)); err != nil || len(rest) > 0 {
			t.Errorf("%s: got %x, %v", keys, der, err)
		}
		for at := der; len(want) > 0; want = want[1:] { // in this order
			id, err := stdasn1.Marshal(want[0])
			if err != nil {
				t.Fatal(err)
			}
			found := false
			if _, at, found = bytes.Cut(at, id); !found {
				t.Errorf("%s: got %x, want %v in it", keys, der, want[0])
			}
		}
	}
	if _, err := keyAttributes(policy.ProfileConfig{Name: "x"}); err == nil {
		t.Error("no kind of key: got nil, want an error")
	}
}

func FuzzDecodeRequest(f *testing.F) {
	f.Add(request(f))
	f.Add([]byte("-----BEGIN CERTIFICATE REQUEST-----\nMAA=\n-----END CERTIFICATE REQUEST-----\n"))
	f.Add([]byte("MA\nA="))
	f.Fuzz(func(t *testing.T, body []byte) {
		if der, ok := decodeRequest(body); ok && len(der) > len(body) {
			t.Errorf("%d octets from %d", len(der), len(body))
		}
	})
}
