package ocsp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"iter"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An Entry is one revoked certificate of a CRL.
type Entry struct {
	Serial     []byte    // magnitude, big endian, 1 to 20 octets
	At         time.Time // when it was revoked, or taken off the list
	Reason     int       // reason code of RFC 5280; 0 is left out of the CRL; 8, removeFromCRL, is for delta lists
	Invalidity time.Time // since when the key is suspected; zero if not known
}

// A CRL is what a revocation list says beside its entries (RFC 5280 section
// 5). Its signature algorithm is the one [SignatureAlgorithmFor] chooses for the
// issuer's key.
//
// A list without Shard and Base is a full one. One with a Shard covers the certificates of end
// entities whose distribution point is that URI, and has a critical issuing distribution point that says so. One
// with a Base is a delta to the full list of that number.
type CRL struct {
	Issuer     *x509.Certificate // with a subject key id, and the right to sign CRLs
	Number     uint64            // CRLNumber, strictly growing for each issuer
	ThisUpdate time.Time
	NextUpdate time.Time // after ThisUpdate
	Shard      string    // URI, "" for a list of all certificates
	Base       uint64    // BaseCRLNumber of a delta list, 0 for none
	Freshest   string    // URI of the delta list to this one, "" for none
}

// SignTBS signs a TBSCertList. tbs writes it, the same bytes whenever it is called.
type SignTBS func(tbs func(io.Writer) error) (signature []byte, err error)

// Write writes the signed list, DER, in memory that does not grow with it. The entries are walked three times,
// to measure, to sign and to write, and must be the same each time. They must come by strictly ascending serial; an
// error among them, a reason code that the list may not carry and a serial out of range end it.
// The signature is taken as it is: [ScanCRL] proves what was written.
func (c CRL) Write(w io.Writer, entries iter.Seq2[Entry, error], sign SignTBS) error {
	if err := c.write(w, entries, sign); err != nil {
		return fmt.Errorf("encoding CRL: %w", err)
	}
	return nil
}

func (c CRL) write(w io.Writer, entries iter.Seq2[Entry, error], sign SignTBS) error {
	e := &listEncoder{entries: entries, delta: c.Base > 0}
	if err := c.frame(e); err != nil {
		return err
	}
	if err := e.measure(); err != nil {
		return err
	}
	signature, err := sign(e.writeTBS)
	if err != nil {
		return err
	}
	var tail cryptobyte.Builder
	tail.AddBytes(e.algorithm)
	tail.AddASN1BitString(signature)
	end, err := tail.Bytes()
	if err != nil {
		return err
	}
	if _, err := w.Write(sequenceHeader(e.size + len(end))); err != nil {
		return err
	}
	if err := e.writeTBS(w); err != nil {
		return err
	}
	_, err = w.Write(end)
	return err
}

// frame encodes what stands before and after the entries.
func (c CRL) frame(e *listEncoder) error {
	if err := c.check(); err != nil {
		return err
	}
	algorithm, err := SignatureAlgorithmFor(c.Issuer.PublicKey)
	if err != nil {
		return err
	}
	e.algorithm = algorithm.DER
	var h, t cryptobyte.Builder
	h.AddASN1Int64(1) // v2
	h.AddBytes(algorithm.DER)
	h.AddBytes(c.Issuer.RawSubject)
	addTime(&h, c.ThisUpdate)
	addTime(&h, c.NextUpdate)
	if e.head, err = h.Bytes(); err != nil {
		return err
	}
	t.AddASN1(explicit(0), func(b *cryptobyte.Builder) { b.AddASN1(asn1.SEQUENCE, c.addExtensions) })
	e.tail, err = t.Bytes()
	return err
}

// addExtensions appends the extensions of the list: RFC 5280 section 5.2.
func (c CRL) addExtensions(list *cryptobyte.Builder) {
	add := func(oid string, critical bool, build func(*cryptobyte.Builder)) {
		list.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addOID(b, oid)
			if critical {
				b.AddASN1Boolean(true)
			}
			b.AddASN1(asn1.OCTET_STRING, build)
		})
	}
	add(oidAuthKeyID, false, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.Issuer.SubjectKeyId) })
		})
	})
	add(oidCRLNumber, false, func(b *cryptobyte.Builder) { b.AddASN1Uint64(c.Number) })
	if c.Base > 0 {
		add(oidDeltaCRL, true, func(b *cryptobyte.Builder) { b.AddASN1Uint64(c.Base) })
	}
	if c.Shard != "" {
		add(oidIDP, true, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addFullName(b, c.Shard)
				b.AddASN1(asn1.Tag(1).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddUint8(0xff) }) // onlyContainsUserCerts
			})
		})
	}
	if c.Freshest != "" {
		add(oidFreshestCRL, false, func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) { addFullName(b, c.Freshest) })
			})
		})
	}
}

// addFullName appends a DistributionPointName of one URI, as the field 0 that holds it.
func addFullName(b *cryptobyte.Builder, uri string) {
	b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
			b.AddASN1(asn1.Tag(6).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes([]byte(uri)) })
		})
	})
}

func (c CRL) check() error {
	switch {
	case c.Issuer == nil:
		return errors.New("want Issuer")
	case len(c.Issuer.SubjectKeyId) == 0:
		return fmt.Errorf("issuer %q: want a subject key identifier", c.Issuer.Subject)
	case c.Issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("issuer %q: want key usage CRL sign", c.Issuer.Subject)
	case !c.NextUpdate.After(c.ThisUpdate):
		return fmt.Errorf("nextUpdate %v: want a time after thisUpdate %v", c.NextUpdate, c.ThisUpdate)
	case c.Base > 0 && (c.Base > c.Number || c.Freshest != "" || c.Shard != ""):
		return fmt.Errorf("delta %d to list %d: want a list that is not newer, and neither shard nor freshest list", c.Number, c.Base)
	}
	for _, uri := range []string{c.Shard, c.Freshest} {
		if bytes.ContainsFunc([]byte(uri), func(r rune) bool { return r <= ' ' || r > '~' }) {
			return fmt.Errorf("distribution point %q: want a URI in ASCII", uri)
		}
	}
	return nil
}

// addTime appends a Time as RFC 5280 section 4.1.2.5 has it: UTCTime through 2049.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() >= 1950 && t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// compareSerials orders magnitudes without leading zeros.
func compareSerials(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// sequenceHeader returns tag and length of a SEQUENCE with n octets of content.
func sequenceHeader(n int) []byte {
	switch {
	case n < 1<<7:
		return []byte{0x30, byte(n)}
	case n < 1<<8:
		return []byte{0x30, 0x81, byte(n)}
	case n < 1<<16:
		return []byte{0x30, 0x82, byte(n >> 8), byte(n)}
	case n < 1<<24:
		return []byte{0x30, 0x83, byte(n >> 16), byte(n >> 8), byte(n)}
	}
	return []byte{0x30, 0x84, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
}
