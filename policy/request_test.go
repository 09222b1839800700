package policy_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/policy"
)

// newCSR makes a request with a new P-256 key.
func newCSR(t testing.TB, tmpl x509.CertificateRequest) []byte {
	t.Helper()
	return csrOf(t, newKey(t), tmpl)
}

func csrOf(t testing.TB, key crypto.Signer, tmpl x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// parsed makes a request and parses it.
func parsed(t testing.TB, tmpl x509.CertificateRequest) *policy.CSR {
	t.Helper()
	csr, err := policy.ParseCSR(newCSR(t, tmpl))
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

// rawCSR builds what crypto/x509 would not. The signature is a P-256 one, over
// what was built; for other keys it is noise.
func rawCSR(t testing.TB, spki []byte, attributes ...[]byte) []byte {
	t.Helper()
	key := newKey(t)
	if spki == nil {
		spki = spkiOf(t, key.Public())
	}
	var info cryptobyte.Builder
	info.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(casn1.SEQUENCE, func(*cryptobyte.Builder) {})
		b.AddBytes(spki)
		b.AddASN1(casn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddBytes(bytes.Join(attributes, nil))
		})
	})
	digest := sha256.Sum256(info.BytesOrPanic())
	signature, err := key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	var csr cryptobyte.Builder
	csr.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info.BytesOrPanic())
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2})
		})
		b.AddASN1BitString(signature)
	})
	return csr.BytesOrPanic()
}

func spkiOf(t testing.TB, pub crypto.PublicKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// extensionRequest is the attribute that asks for the extensions.
func extensionRequest(t testing.TB, extensions ...pkix.Extension) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		ID     asn1.ObjectIdentifier
		Values [][]pkix.Extension `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}, [][]pkix.Extension{extensions}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func extension(t testing.TB, oid asn1.ObjectIdentifier, value any) pkix.Extension {
	t.Helper()
	der, err := asn1.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return pkix.Extension{Id: oid, Value: der}
}

// san is a subjectAltName of one kind of name.
func san(t testing.TB, kind int, names ...string) pkix.Extension {
	t.Helper()
	var values []asn1.RawValue
	for _, name := range names {
		values = append(values, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: kind, Bytes: []byte(name)})
	}
	return extension(t, oidSAN, values)
}

var (
	oidSAN  = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidBC   = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidKU   = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidEKU  = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidNone = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}
)

func twoValues(t *testing.T) []byte {
	t.Helper()
	der, err := asn1.Marshal(struct {
		ID     asn1.ObjectIdentifier
		Values [][]pkix.Extension `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}, [][]pkix.Extension{{san(t, 2, "a.test")}, {san(t, 2, "b.test")}}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// nested is that many sequences, each in the one before.
func nested(depth int) []byte {
	var reversed []byte
	for range depth {
		n := len(reversed)
		switch {
		case n < 0x80:
			reversed = append(reversed, byte(n))
		case n < 0x100:
			reversed = append(reversed, byte(n), 0x81)
		default:
			reversed = append(reversed, byte(n), byte(n>>8), 0x82)
		}
		reversed = append(reversed, 0x30)
	}
	slices.Reverse(reversed)
	return reversed
}

// rsaSPKI is an RSA key with an odd modulus of n octets without known weakness.
func rsaSPKI(n int, exponent int64) []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1})
			b.AddASN1NULL()
		})
		b.AddASN1(casn1.BIT_STRING, func(b *cryptobyte.Builder) {
			b.AddUint8(0)
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.INTEGER, func(b *cryptobyte.Builder) {
					var modulus []byte
					for digest := sha256.Sum256(nil); len(modulus) < n; digest = sha256.Sum256(digest[:]) {
						modulus = append(modulus, digest[:]...)
					}
					for modulus[n-1] |= 1; divides(new(big.Int).SetBytes(modulus[:n]), 751); modulus[n-1] += 2 {
					}
					b.AddBytes(append([]byte{0}, modulus[:n]...))
				})
				b.AddASN1Int64(exponent)
			})
		})
	})
	return b.BytesOrPanic()
}

// explicitSPKI is a P-256 key whose parameters are a sequence, not a name.
func explicitSPKI() []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1})
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1Int64(1) })
		})
		b.AddASN1BitString(bytes.Repeat([]byte{4}, 65))
	})
	return b.BytesOrPanic()
}

func dsaSPKI() []byte {
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1})
		})
		b.AddASN1BitString([]byte{2, 1, 5})
	})
	return b.BytesOrPanic()
}
