package est

import (
	"bytes"
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"fmt"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/policy"
)

var (
	oidSignedData = stdasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidData       = stdasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 1}

	oidECPublicKey   = stdasn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidP256          = stdasn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384          = stdasn1.ObjectIdentifier{1, 3, 132, 0, 34}
	oidRSA           = stdasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEd25519       = stdasn1.ObjectIdentifier{1, 3, 101, 112}
	oidECDSAandSHA2  = stdasn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidECDSAandSHA3  = stdasn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}
	oidSHA256WithRSA = stdasn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}
)

// certsOnly encodes a SignedData without signers or content, which carries certificates (RFC 5652 section 5.1, RFC 7030 section 4.1.3).
func certsOnly(certs []*x509.Certificate) ([]byte, error) {
	var list [][]byte
	for _, c := range certs {
		list = append(list, c.Raw)
	}
	slices.SortFunc(list, bytes.Compare) // as DER has a SET OF
	tagged := asn1.Tag(0).ContextSpecific().Constructed()
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidSignedData)
		b.AddASN1(tagged, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1Int64(1)
				b.AddASN1(asn1.SET, func(*cryptobyte.Builder) {}) // digest algorithms
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(oidData) })
				b.AddASN1(tagged, func(b *cryptobyte.Builder) {
					for _, der := range list {
						b.AddBytes(der)
					}
				})
				b.AddASN1(asn1.SET, func(*cryptobyte.Builder) {}) // signers
			})
		})
	})
	return b.Bytes()
}

// keyAttributes encodes CsrAttrs (RFC 7030 section 4.5.2): the kind of key that a profile names first, and how to sign the request.
func keyAttributes(cfg policy.ProfileConfig) ([]byte, error) {
	if len(cfg.Keys) == 0 {
		return nil, fmt.Errorf("profile %q names no kind of key", cfg.Name)
	}
	attribute := func(b *cryptobyte.Builder, kind stdasn1.ObjectIdentifier, value func(b *cryptobyte.Builder)) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(kind)
			b.AddASN1(asn1.SET, value)
		})
	}
	curve := func(b *cryptobyte.Builder, id, signature stdasn1.ObjectIdentifier) {
		attribute(b, oidECPublicKey, func(b *cryptobyte.Builder) { b.AddASN1ObjectIdentifier(id) })
		b.AddASN1ObjectIdentifier(signature)
	}
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		switch cfg.Keys[0] {
		case policy.KeyP256:
			curve(b, oidP256, oidECDSAandSHA2)
		case policy.KeyP384:
			curve(b, oidP384, oidECDSAandSHA3)
		case policy.KeyEd25519:
			b.AddASN1ObjectIdentifier(oidEd25519)
		case policy.KeyRSA:
			attribute(b, oidRSA, func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(cfg.RSABits)) })
			b.AddASN1ObjectIdentifier(oidSHA256WithRSA)
		}
	})
	return b.Bytes()
}
