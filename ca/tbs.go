package ca

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	stdasn1 "encoding/asn1"
	"errors"
	"fmt"
	"math/bits"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/policy"
)

// Extensions of the certificates of parties, and what stands in them (RFC 5280 section 4.2, RFC 6960 section 4.2.2.2.1).
var (
	oidSubjectKeyID        = stdasn1.ObjectIdentifier{2, 5, 29, 14}
	oidKeyUsage            = stdasn1.ObjectIdentifier{2, 5, 29, 15}
	oidSubjectAltName      = stdasn1.ObjectIdentifier{2, 5, 29, 17}
	oidBasicConstraints    = stdasn1.ObjectIdentifier{2, 5, 29, 19}
	oidCRLDistribution     = stdasn1.ObjectIdentifier{2, 5, 29, 31}
	oidCertificatePolicies = stdasn1.ObjectIdentifier{2, 5, 29, 32}
	oidExtKeyUsage         = stdasn1.ObjectIdentifier{2, 5, 29, 37}
	oidAuthorityInfoAccess = stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 1}
	oidAccessOCSP          = stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1}
	oidAccessIssuers       = stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 2}
	oidOCSPNoCheck         = stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
)

// The general names that are used (RFC 5280 section 4.2.1.6).
var (
	tagDNSName = asn1.Tag(2).ContextSpecific()
	tagURI     = asn1.Tag(6).ContextSpecific()
	tagIP      = asn1.Tag(7).ContextSpecific()
)

// tbsCertificate encodes what a decision says as a TBSCertificate (RFC 5280 section 4.1). Nothing in it comes from
// anywhere else. It is what crypto/x509 would make of the same, to the byte, without its signature.
func (a *Authority) tbsCertificate(d *policy.Decision, is *issuer, intent Intent) ([]byte, error) {
	keyID, err := keyIdentifier(d.RawSPKI)
	if err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, 1024))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1BigInt(intent.Serial.Int())
		b.AddBytes(is.algorithm)
		b.AddBytes(is.cert.RawSubject)
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addTime(b, d.NotBefore)
			addTime(b, d.NotAfter)
		})
		addName(b, d.Subject)
		b.AddBytes(d.RawSPKI)
		b.AddASN1(asn1.Tag(3).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { a.addExtensions(b, d, is, intent.Shard, keyID) })
		})
	})
	tbs, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("encoding the certificate: %w", err)
	}
	return tbs, nil
}

// addExtensions adds them in the order of crypto/x509.
func (a *Authority) addExtensions(b *cryptobyte.Builder, d *policy.Decision, is *issuer, shard int, keyID []byte) {
	if d.KeyUsage != 0 {
		addExtension(b, oidKeyUsage, true, func(b *cryptobyte.Builder) { addKeyUsage(b, d.KeyUsage) })
	}
	if len(d.ExtKeyUsage)+len(d.UnknownExtKeyUsage) > 0 {
		addExtension(b, oidExtKeyUsage, false, func(b *cryptobyte.Builder) { addExtKeyUsage(b, d) })
	}
	addExtension(b, oidBasicConstraints, true, func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {}) })
	addExtension(b, oidSubjectKeyID, false, func(b *cryptobyte.Builder) { b.AddASN1OctetString(keyID) })
	addExtension(b, oidAuthorityKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addString(b, asn1.Tag(0).ContextSpecific(), string(is.cert.SubjectKeyId)) })
	})
	if d.StatusURLs {
		addExtension(b, oidAuthorityInfoAccess, false, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addAccess(b, oidAccessOCSP, a.cfg.StatusURL+"/ocsp/"+d.IssuerName)
				addAccess(b, oidAccessIssuers, a.cfg.StatusURL+"/ca/"+d.IssuerName+".crt")
			})
		})
	}
	if len(d.DNSNames)+len(d.Addresses)+len(d.URIs) > 0 {
		addExtension(b, oidSubjectAltName, len(d.Subject) == 0, func(b *cryptobyte.Builder) { addNames(b, d) })
	}
	if len(d.Policies) > 0 {
		addExtension(b, oidCertificatePolicies, false, func(b *cryptobyte.Builder) { addPolicies(b, d.Policies) })
	}
	if d.StatusURLs {
		addExtension(b, oidCRLDistribution, false, func(b *cryptobyte.Builder) { addCRLURL(b, crlURL(a.cfg.StatusURL, d.IssuerName, shard)) })
	}
	for _, e := range d.Extensions {
		addExtension(b, e.Id, e.Critical, func(b *cryptobyte.Builder) { b.AddBytes(e.Value) })
	}
	if d.OCSPNoCheck {
		addExtension(b, oidOCSPNoCheck, false, func(b *cryptobyte.Builder) { b.AddASN1NULL() })
	}
}

func addExtension(b *cryptobyte.Builder, id stdasn1.ObjectIdentifier, critical bool, value cryptobyte.BuilderContinuation) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(id)
		if critical {
			b.AddASN1Boolean(true)
		}
		b.AddASN1(asn1.OCTET_STRING, value)
	})
}

// addTime adds UTCTime up to 2049 and GeneralizedTime from then on (RFC 5280 section 4.1.2.5).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
	} else {
		b.AddASN1GeneralizedTime(t)
	}
}

// addName adds a distinguished name.
func addName(b *cryptobyte.Builder, name pkix.RDNSequence) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, rdn := range name {
			b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
				if len(rdn) != 1 {
					b.SetError(fmt.Errorf("a part of the subject has %d attributes, want 1", len(rdn)))
					return
				}
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addAttribute(b, rdn[0]) })
			})
		}
	})
}

// addAttribute adds a PrintableString where the text allows it, a UTF8String elsewhere (RFC 5280 section 4.1.2.4).
func addAttribute(b *cryptobyte.Builder, attribute pkix.AttributeTypeAndValue) {
	text, ok := attribute.Value.(string)
	if !ok {
		b.SetError(fmt.Errorf("a part of the subject is a %T, want a string", attribute.Value))
		return
	}
	tag := asn1.PrintableString
	for _, r := range text {
		if !printable(r) {
			tag = asn1.UTF8String
			break
		}
	}
	b.AddASN1ObjectIdentifier(attribute.Type)
	addString(b, tag, text)
}

// printable reports whether PrintableString has the letter (X.680 section 41.4).
func printable(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return true
	}
	switch r {
	case ' ', '\'', '(', ')', '+', ',', '-', '.', '/', ':', '=', '?':
		return true
	}
	return false
}

// addKeyUsage adds a BIT STRING without trailing zeros (X.690 section 11.2.2); bit 0 is the first of the usages.
func addKeyUsage(b *cryptobyte.Builder, usage x509.KeyUsage) {
	octets := []byte{bits.Reverse8(byte(usage)), bits.Reverse8(byte(usage >> 8))}
	if octets[1] == 0 {
		octets = octets[:1]
	}
	unused := bits.TrailingZeros8(octets[len(octets)-1])
	b.AddASN1(asn1.BIT_STRING, func(b *cryptobyte.Builder) {
		b.AddUint8(uint8(unused))
		b.AddBytes(octets)
	})
}

func addExtKeyUsage(b *cryptobyte.Builder, d *policy.Decision) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, usage := range d.ExtKeyUsage {
			addOID(b, usage.OID())
		}
		for _, id := range d.UnknownExtKeyUsage {
			b.AddASN1ObjectIdentifier(id)
		}
	})
}

func addOID(b *cryptobyte.Builder, id x509.OID) {
	content, err := id.MarshalBinary()
	if err != nil {
		b.SetError(err)
		return
	}
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(content) })
}

// addNames adds the GeneralNames: DNS names, addresses, and the URI of the identity.
func addNames(b *cryptobyte.Builder, d *policy.Decision) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, name := range d.DNSNames {
			addIA5(b, tagDNSName, name)
		}
		for _, addr := range d.Addresses {
			addString(b, tagIP, string(addr.Unmap().AsSlice()))
		}
		for _, uri := range d.URIs {
			addIA5(b, tagURI, uri.String())
		}
	})
}

func addPolicies(b *cryptobyte.Builder, policies []x509.OID) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, id := range policies {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addOID(b, id) })
		}
	})
}

// addCRLURL adds the one distribution point, by its full name (RFC 5280 section 4.2.1.13).
func addCRLURL(b *cryptobyte.Builder, url string) {
	constructed := asn1.Tag(0).ContextSpecific().Constructed()
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(constructed, func(b *cryptobyte.Builder) {
				b.AddASN1(constructed, func(b *cryptobyte.Builder) { addIA5(b, tagURI, url) })
			})
		})
	})
}

func addAccess(b *cryptobyte.Builder, method stdasn1.ObjectIdentifier, url string) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(method)
		addIA5(b, tagURI, url)
	})
}

func addString(b *cryptobyte.Builder, tag asn1.Tag, text string) {
	b.AddASN1(tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(text)) })
}

// addIA5 adds text that has to be ASCII.
func addIA5(b *cryptobyte.Builder, tag asn1.Tag, text string) {
	for _, r := range text {
		if r > 0x7f {
			b.SetError(fmt.Errorf("%q is not ASCII", text))
			return
		}
	}
	addString(b, tag, text)
}

// lintCopy is a TBSCertificate with a signature that is none: that of the throw-away key over something else. It has
// the right algorithm and size, so that lints read it as they would read the certificate.
func (is *issuer) lintCopy(tbs []byte) (*x509.Certificate, error) {
	der, err := is.assemble(tbs, is.placeholder)
	if err != nil {
		return nil, err
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate back: %w", err)
	}
	if spki, err := x509.MarshalPKIXPublicKey(c.PublicKey); err != nil || !bytes.Equal(spki, c.RawSubjectPublicKeyInfo) {
		return nil, errors.New("the public key does not survive encoding, want the encoding of RFC 5480, 8410 or 3279")
	}
	return c, nil
}

// assemble puts a signature under a TBSCertificate (RFC 5280 section 4.1).
func (is *issuer) assemble(tbs, signature []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(tbs)+len(signature)+64))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(is.algorithm)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}

// keyIdentifier is method 1 of RFC 7093 section 2: the leftmost 160 bits of the SHA-256 of the
// subjectPublicKey bits.
func keyIdentifier(spki []byte) ([]byte, error) {
	var inner cryptobyte.String
	var key []byte
	in := cryptobyte.String(spki)
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.SkipASN1(asn1.SEQUENCE) || !inner.ReadASN1BitStringAsBytes(&key) {
		return nil, errors.New("the public key is no SubjectPublicKeyInfo")
	}
	sum := sha256.Sum256(key)
	return sum[:20], nil
}
