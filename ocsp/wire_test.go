package ocsp_test

import (
	"bytes"
	"crypto"
	"errors"
	"slices"
	"testing"

	"github.com/payca/payca/ocsp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	xocsp "golang.org/x/crypto/ocsp"
)

// rawRequest builds requests that NewRequest would not.
type rawRequest struct {
	version    []int64 // written if there is one
	name       bool    // with a requestorName
	ids        []ocsp.CertID
	singleExts []rawExt
	exts       []rawExt
	signature  bool
}

type rawExt struct {
	id       []byte
	critical bool
	value    []byte
}

var (
	nonceID = []byte("\x2b\x06\x01\x05\x05\x07\x30\x01\x02")
	otherID = []byte("\x2b\x06\x01\x05\x05\x07\x30\x01\x07") // service locator
)

func (r rawRequest) der(tb testing.TB) []byte {
	tb.Helper()
	tag := func(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }
	exts := func(b *cryptobyte.Builder, n uint8, list []rawExt) {
		if list == nil {
			return
		}
		b.AddASN1(tag(n), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, e := range list {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(e.id) })
						if e.critical {
							b.AddASN1Boolean(true)
						}
						b.AddASN1OctetString(e.value)
					})
				}
			})
		})
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, v := range r.version {
				b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(v) })
			}
			if r.name {
				b.AddASN1(tag(1), func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.Tag(2).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte("a.example")) })
				})
			}
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				for _, id := range r.ids {
					b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddBytes(id.Raw)
						exts(b, 0, r.singleExts)
					})
				}
			})
			exts(b, 2, r.exts)
		})
		if r.signature {
			b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {}) })
		}
	})
	der, err := b.Bytes()
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

func octets(n int) []byte { return bytes.Repeat([]byte{0xa5}, n) }

// wrapped is a nonce of n octets as RFC 9654 writes it.
func wrapped(n int) []byte {
	var b cryptobyte.Builder
	b.AddASN1OctetString(octets(n))
	return b.BytesOrPanic()
}

func TestParseRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	id := certID(t, ca.leaf(t, 1), ca.cert, crypto.SHA256)
	one := []ocsp.CertID{id}
	nonce := func(values ...[]byte) []rawExt {
		var out []rawExt
		for _, v := range values {
			out = append(out, rawExt{id: nonceID, value: v})
		}
		return out
	}
	good := rawRequest{ids: one}.der(t)
	tests := []struct {
		name string
		der  []byte
		ok   bool
	}{
		{"one certificate", good, true},
		{"version 1 spelled out is not DER but common", rawRequest{version: []int64{0}, ids: one}.der(t), true},
		{"a requestor's name is ignored", rawRequest{ids: one, name: true}.der(t), true},
		{"a signature is ignored", rawRequest{ids: one, signature: true}.der(t), true},
		{"32 certificates", rawRequest{ids: slices.Repeat(one, 32)}.der(t), true},
		{"33 certificates", rawRequest{ids: slices.Repeat(one, 33)}.der(t), false},
		{"no certificate", rawRequest{}.der(t), false},
		{"version 2", rawRequest{version: []int64{1}, ids: one}.der(t), false},
		{"trailing byte", append(slices.Clone(good), 0), false},
		{"cut off", good[:len(good)-1], false},
		{"empty", nil, false},
		{"over 8 KiB", rawRequest{ids: one, exts: []rawExt{{id: otherID, value: octets(9000)}}}.der(t), false},
		{"unknown extension", rawRequest{ids: one, exts: []rawExt{{id: otherID, value: octets(9)}}}.der(t), true},
		{"unknown critical extension", rawRequest{ids: one, exts: []rawExt{{id: otherID, critical: true}}}.der(t), false},
		{"service locator beside a certificate", rawRequest{ids: one, singleExts: []rawExt{{id: otherID}}}.der(t), true},
		{"critical extension beside a certificate", rawRequest{ids: one, singleExts: []rawExt{{id: otherID, critical: true}}}.der(t), false},
		{"nonce of 0 octets", rawRequest{ids: one, exts: nonce(wrapped(0))}.der(t), false},
		{"nonce of nothing at all", rawRequest{ids: one, exts: nonce(nil)}.der(t), false},
		{"nonce of 1 octet", rawRequest{ids: one, exts: nonce(wrapped(1))}.der(t), true},
		{"nonce of 32 octets", rawRequest{ids: one, exts: nonce(wrapped(32))}.der(t), true},
		{"nonce of 128 octets", rawRequest{ids: one, exts: nonce(wrapped(128))}.der(t), true},
		{"nonce of 129 octets", rawRequest{ids: one, exts: nonce(wrapped(129))}.der(t), false},
		{"nonce of 10,000 octets", rawRequest{ids: one, exts: nonce(wrapped(10000))}.der(t), false},
		{"nonce without inner octet string", rawRequest{ids: one, exts: nonce(octets(16))}.der(t), true},
		{"critical nonce", rawRequest{ids: one, exts: []rawExt{{id: nonceID, critical: true, value: wrapped(16)}}}.der(t), true},
		{"two nonces", rawRequest{ids: one, exts: nonce(wrapped(16), wrapped(16))}.der(t), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req, err := ocsp.ParseRequest(tt.der)
			if (err == nil) != tt.ok {
				t.Fatalf("got error %v, want ok %v", err, tt.ok)
			}
			if tt.ok && !bytes.Equal(req.CertIDs[0].Raw, id.Raw) || !tt.ok && !errors.Is(err, ocsp.ErrMalformed) {
				t.Errorf("got %+v, %v, want CertID %x or ErrMalformed", req, err, id.Raw)
			}
		})
	}
}

func TestRequestsAgreeWithXCrypto(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 7)
	for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		theirs, err := xocsp.CreateRequest(leaf, ca.cert, &xocsp.RequestOptions{Hash: h})
		if err != nil {
			t.Fatal(err)
		}
		ours := request(t, leaf, ca.cert, h, nil)
		if !bytes.Equal(ours, theirs) {
			t.Errorf("%v: got %x, want %x", h, ours, theirs)
		}
		parsed, err := xocsp.ParseRequest(request(t, leaf, ca.cert, h, octets(32)))
		if err != nil {
			t.Fatal(err)
		}
		req, err := ocsp.ParseRequest(theirs)
		if err != nil {
			t.Fatal(err)
		}
		got := req.CertIDs[0]
		if got.Hash != parsed.HashAlgorithm || !bytes.Equal(got.IssuerNameHash, parsed.IssuerNameHash) ||
			!bytes.Equal(got.IssuerKeyHash, parsed.IssuerKeyHash) || !bytes.Equal(got.Serial, parsed.SerialNumber.Bytes()) {
			t.Errorf("%v: got %+v, want %+v", h, got, parsed)
		}
	}
}

func TestNewRequestRefuses(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca", "P-256"), newAuthority(t, "other", "P-256")
	leaf := ca.leaf(t, 1)
	if _, err := ocsp.NewRequest(leaf, other.cert, crypto.SHA256, nil); err == nil {
		t.Error("an issuer of another name: got nil, want an error")
	}
	if _, err := ocsp.NewRequest(leaf, ca.cert, crypto.MD5, nil); err == nil {
		t.Error("MD5: got nil, want an error")
	}
	for _, n := range []int{0, 129} {
		if _, err := ocsp.NewRequest(leaf, ca.cert, crypto.SHA256, octets(n)); err == nil {
			t.Errorf("nonce of %d octets: got nil, want an error", n)
		}
	}
	if _, err := ocsp.NewRequest(nil, ca.cert, crypto.SHA256, nil); err == nil {
		t.Error("no certificate: got nil, want an error")
	}
}

func FuzzParseRequest(f *testing.F) {
	ca := newAuthority(f, "ca", "P-256")
	id := certID(f, ca.leaf(f, 1), ca.cert, crypto.SHA1)
	f.Add(rawRequest{ids: []ocsp.CertID{id, id}, name: true, exts: []rawExt{{id: nonceID, value: wrapped(16)}}}.der(f))
	f.Add(request(f, ca.leaf(f, 2), ca.cert, crypto.SHA512, octets(32)))
	f.Fuzz(func(t *testing.T, der []byte) {
		req, err := ocsp.ParseRequest(der)
		if err != nil {
			return
		}
		// What is accepted can be asked again, and means the same.
		again := rawRequest{ids: req.CertIDs}
		if req.Nonce != nil {
			again.exts = []rawExt{{id: nonceID, value: req.Nonce}}
		}
		got, err := ocsp.ParseRequest(again.der(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(got.CertIDs) != len(req.CertIDs) || !bytes.Equal(got.Nonce, req.Nonce) {
			t.Errorf("got %+v, want %+v", got, req)
		}
	})
}
