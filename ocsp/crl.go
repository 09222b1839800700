package ocsp

import (
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"iter"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	oidReasonCode   = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidCRLNumber    = asn1.ObjectIdentifier{2, 5, 29, 20}
	oidAuthorityKey = asn1.ObjectIdentifier{2, 5, 29, 35}
)

// A CRL is a full certificate revocation list to be made (RFC 5280 section 5).
// Its owner signs what [CRL.TBS] returns and puts it together with [CRL.Assemble].
type CRL struct {
	Issuer     *x509.Certificate // with a subject key identifier
	Number     uint64            // higher than every earlier one of the issuer
	ThisUpdate time.Time         // whole seconds
	NextUpdate time.Time         // whole seconds, after ThisUpdate
}

// An Entry is one revoked certificate.
type Entry struct {
	Serial []byte    // big endian, without leading zero octets
	At     time.Time // when it was revoked, whole seconds
	Reason int       // CRLReason; 0 is left out, 7 and other unused codes are refused
}

// TBS returns the TBSCertList in DER: version 2, AuthorityKeyIdentifier, CRLNumber, and
// the entries by ascending serial, as they come. Without entries the list is absent.
func (c CRL) TBS(entries iter.Seq2[Entry, error]) ([]byte, error) {
	if !c.ThisUpdate.Before(c.NextUpdate) {
		return nil, fmt.Errorf("crl: nextUpdate %s is not after thisUpdate %s", c.NextUpdate, c.ThisUpdate)
	}
	if len(c.Issuer.SubjectKeyId) == 0 {
		return nil, errors.New("crl: the issuer's certificate has no subject key identifier")
	}
	algorithm, err := SignatureAlgorithmFor(c.Issuer.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	revoked, err := appendEntries(entries)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1) // v2
		b.AddBytes(algorithm.Identifier)
		b.AddBytes(c.Issuer.RawSubject)
		addTime(b, c.ThisUpdate)
		addTime(b, c.NextUpdate)
		if len(revoked) > 0 {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) { b.AddBytes(revoked) })
		}
		b.AddASN1(tagged(0), func(b *cryptobyte.Builder) {
			b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
				var aki, number cryptobyte.Builder
				aki.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(casn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.Issuer.SubjectKeyId) })
				})
				number.AddASN1Uint64(c.Number)
				addExtension(b, oidAuthorityKey, false, aki.BytesOrPanic())
				addExtension(b, oidCRLNumber, false, number.BytesOrPanic())
			})
		})
	})
	return b.Bytes()
}

// appendEntries encodes the entries one by one, so that only the result is held.
func appendEntries(entries iter.Seq2[Entry, error]) ([]byte, error) {
	var out []byte
	for entry, err := range entries {
		if err != nil {
			return nil, err
		}
		if entry.Reason < 0 || entry.Reason == 7 || entry.Reason > 10 || len(entry.Serial) == 0 {
			return nil, fmt.Errorf("serial %x has reason %d, want one of RFC 5280 section 5.3.1", entry.Serial, entry.Reason)
		}
		b := cryptobyte.NewBuilder(out)
		b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1BigInt(new(big.Int).SetBytes(entry.Serial))
			addTime(b, entry.At)
			if entry.Reason != 0 {
				b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
					addExtension(b, oidReasonCode, false, []byte{0x0a, 1, byte(entry.Reason)})
				})
			}
		})
		if out, err = b.Bytes(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// addTime writes a Time: UTCTime through 2049, GeneralizedTime after (RFC 5280 section 5.1.2.4).
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// Assemble returns the CertificateList in DER.
func (c CRL) Assemble(tbs, signature []byte) ([]byte, error) {
	algorithm, err := SignatureAlgorithmFor(c.Issuer.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(casn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(tbs)
		b.AddBytes(algorithm.Identifier)
		b.AddASN1BitString(signature)
	})
	return b.Bytes()
}
