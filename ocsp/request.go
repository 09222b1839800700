package ocsp

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// The limits of a request.
const (
	MaxRequest = 8 << 10 // octets
	MaxCertIDs = 32
	MaxNonce   = 128 // octets (RFC 9654 section 2.1)
)

var oidNonce = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}

// A CertID names a certificate by its issuer and serial (RFC 6960 section
// 4.1.1). Its slices point into the message that was parsed.
type CertID struct {
	Raw            []byte      // the whole CertID in DER
	Hash           crypto.Hash // 0 for an algorithm that is not known
	IssuerNameHash []byte
	IssuerKeyHash  []byte
	Serial         []byte // big endian, without leading zero octets; nil for a serial that is not positive
}

// A Request is a parsed OCSP request.
type Request struct {
	CertIDs []CertID // in the order of the request, at least one
	Nonce   []byte   // extnValue of the nonce extension, nil if there is none
}

// ParseRequest reads an OCSP request in DER. Signatures and requestorName are
// ignored (RFC 6960 section 4.1.2 lets a responder do so), so are unknown
// extensions that are not critical. The result points into der.
func ParseRequest(der []byte) (Request, error) {
	var r Request
	if len(der) > MaxRequest {
		return r, fmt.Errorf("ocsp request has %d octets, want at most %d", len(der), MaxRequest)
	}
	input := cryptobyte.String(der)
	var outer, tbs, list, extensions cryptobyte.String
	var hasExtensions bool
	if !input.ReadASN1(&outer, casn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1(&tbs, casn1.SEQUENCE) ||
		!outer.SkipOptionalASN1(tagged(0)) || !outer.Empty() {
		return r, errors.New("not an ocsp request in DER")
	}
	var version int
	if !tbs.ReadOptionalASN1Integer(&version, tagged(0), 0) || version != 0 {
		return r, fmt.Errorf("ocsp request has version %d, want 0", version)
	}
	if !tbs.SkipOptionalASN1(tagged(1)) || !tbs.ReadASN1(&list, casn1.SEQUENCE) ||
		!tbs.ReadOptionalASN1(&extensions, &hasExtensions, tagged(2)) || !tbs.Empty() {
		return r, errors.New("ocsp request: malformed tbsRequest")
	}
	for !list.Empty() {
		if len(r.CertIDs) == MaxCertIDs {
			return r, fmt.Errorf("ocsp request asks for more than %d certificates", MaxCertIDs)
		}
		var single, single0 cryptobyte.String
		var has bool
		if !list.ReadASN1(&single, casn1.SEQUENCE) {
			return r, errors.New("ocsp request: malformed requestList")
		}
		id, err := readCertID(&single)
		if err != nil {
			return r, err
		}
		if !single.ReadOptionalASN1(&single0, &has, tagged(0)) || !single.Empty() {
			return r, errors.New("ocsp request: malformed singleRequest")
		}
		if has {
			if _, err := readExtensions(single0, nil); err != nil {
				return r, err
			}
		}
		r.CertIDs = append(r.CertIDs, id)
	}
	if len(r.CertIDs) == 0 {
		return r, errors.New("ocsp request asks for no certificate")
	}
	if hasExtensions {
		nonce, err := readExtensions(extensions, oidNonce)
		if err != nil {
			return r, err
		}
		if nonce != nil {
			if n := nonceLength(nonce); n < 1 || n > MaxNonce {
				return r, fmt.Errorf("nonce has %d octets, want 1 to %d", n, MaxNonce)
			}
			r.Nonce = nonce
		}
	}
	return r, nil
}

// tagged is the constructed context-specific tag n.
func tagged(n uint8) casn1.Tag { return casn1.Tag(n).ContextSpecific().Constructed() }

// readCertID reads one CertID.
func readCertID(s *cryptobyte.String) (CertID, error) {
	var id CertID
	var element, body, algorithm cryptobyte.String
	var oid asn1.ObjectIdentifier
	var name, key, serial cryptobyte.String
	if !s.ReadASN1Element(&element, casn1.SEQUENCE) {
		return id, errors.New("ocsp: malformed CertID")
	}
	id.Raw = element
	if !element.ReadASN1(&body, casn1.SEQUENCE) || !body.ReadASN1(&algorithm, casn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) ||
		!body.ReadASN1(&name, casn1.OCTET_STRING) || !body.ReadASN1(&key, casn1.OCTET_STRING) ||
		!body.ReadASN1(&serial, casn1.INTEGER) || !body.Empty() || len(serial) == 0 {
		return id, errors.New("ocsp: malformed CertID")
	}
	for _, known := range hashOIDs() {
		if known.oid.Equal(oid) {
			id.Hash = known.hash
		}
	}
	id.IssuerNameHash, id.IssuerKeyHash = name, key
	if serial[0] < 0x80 {
		id.Serial = bytes.TrimLeft(serial, "\x00")
	}
	return id, nil
}

// readExtensions walks Extensions, refuses unknown critical and doubled ones, and
// returns the extnValue of the wanted one, nil if it is absent.
func readExtensions(s cryptobyte.String, wanted asn1.ObjectIdentifier) ([]byte, error) {
	var list cryptobyte.String
	if !s.ReadASN1(&list, casn1.SEQUENCE) || !s.Empty() {
		return nil, errors.New("ocsp: malformed extensions")
	}
	var found []byte
	for !list.Empty() {
		var extension, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&extension, casn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&oid) ||
			!extension.ReadOptionalASN1Boolean(&critical, casn1.BOOLEAN, false) ||
			!extension.ReadASN1(&value, casn1.OCTET_STRING) || !extension.Empty() {
			return nil, errors.New("ocsp: malformed extension")
		}
		switch {
		case wanted != nil && oid.Equal(wanted):
			if found != nil {
				return nil, fmt.Errorf("ocsp: extension %s twice, want it once", oid)
			}
			if found = value; found == nil {
				found = []byte{}
			}
		case critical:
			return nil, fmt.Errorf("ocsp: critical extension %s is not known", oid)
		}
	}
	return found, nil
}

// nonceLength is the length of a nonce, which some clients wrap in an OCTET STRING and some do not.
func nonceLength(value []byte) int {
	s := cryptobyte.String(value)
	var inner cryptobyte.String
	if s.ReadASN1(&inner, casn1.OCTET_STRING) && s.Empty() {
		return len(inner)
	}
	return len(value)
}

// NewRequest asks for the status of leaf, which issuer issued. The hash is that of the
// CertID, 0 for SHA-256. A nonce of 32 octets is right (RFC 9654); nil sends none.
func NewRequest(leaf, issuer *x509.Certificate, hash crypto.Hash, nonce []byte) ([]byte, error) {
	id, err := newCertID(leaf, issuer, hash)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(id) })
			})
			if nonce != nil {
				b.AddASN1(tagged(2), func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
						var inner cryptobyte.Builder
						inner.AddASN1OctetString(nonce)
						addExtension(b, oidNonce, false, inner.BytesOrPanic())
					})
				})
			}
		})
	})
	return b.Bytes()
}

func addExtension(b *cryptobyte.Builder, oid asn1.ObjectIdentifier, critical bool, value []byte) {
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1OctetString(value)
	})
}

// newCertID encodes the CertID of leaf under issuer.
func newCertID(leaf, issuer *x509.Certificate, hash crypto.Hash) ([]byte, error) {
	if hash == 0 {
		hash = crypto.SHA256
	}
	key, err := publicKeyBits(issuer.RawSubjectPublicKeyInfo)
	if err != nil {
		return nil, err
	}
	for _, known := range hashOIDs() {
		if known.hash != hash {
			continue
		}
		var b cryptobyte.Builder
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(known.oid)
				if hash == crypto.SHA1 {
					b.AddASN1NULL()
				}
			})
			b.AddASN1OctetString(hashOf(hash, issuer.RawSubject))
			b.AddASN1OctetString(hashOf(hash, key))
			b.AddASN1BigInt(leaf.SerialNumber)
		})
		return b.Bytes()
	}
	return nil, fmt.Errorf("CertID with %v, want SHA-1, SHA-256, SHA-384 or SHA-512", hash)
}
