package ocsp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// An Entry is one revoked certificate of a CRL.
type Entry struct {
	Serial []byte    // magnitude, big endian, 1 to 20 octets
	At     time.Time // when it was revoked
	Reason int       // reason code of RFC 5280; 0 is left out of the CRL
}

// A CRL is what a full revocation list says beside its entries (RFC 5280 section
// 5). Its signature algorithm is the one [SignatureAlgorithmFor] chooses for the
// issuer's key.
type CRL struct {
	Issuer     *x509.Certificate // with a subject key id, and the right to sign CRLs
	Number     uint64            // CRLNumber, strictly growing for each issuer
	ThisUpdate time.Time
	NextUpdate time.Time // after ThisUpdate
}

// Longest header of a SEQUENCE: tag, and a length of four octets.
const maxHeader = 6

// TBS encodes the TBSCertList to be signed: version 2, authority key identifier and
// CRL number. The entries must come by strictly ascending serial; an error
// among them, a reason code 7 or 8 and a serial out of range end it. Memory is the
// encoded list, about 40 octets an entry.
func (c CRL) TBS(entries iter.Seq2[Entry, error]) ([]byte, error) {
	head, tail, err := c.frame()
	if err != nil {
		return nil, fmt.Errorf("encoding CRL: %w", err)
	}
	// The entries are written behind room for what precedes them, whose length
	// is known only afterwards, so that nothing is copied.
	room := len(head) + 2*maxHeader
	out := make([]byte, room, room+len(tail)+4096)
	var previous []byte
	for e, err := range entries {
		if err != nil {
			return nil, fmt.Errorf("encoding CRL: reading entries: %w", err)
		}
		serial := bytes.TrimLeft(e.Serial, "\x00")
		if previous != nil && compareSerials(previous, serial) >= 0 {
			return nil, fmt.Errorf("encoding CRL: serial %x after %x: want strictly ascending serials", serial, previous)
		}
		previous = append(previous[:0], serial...)
		if out, err = appendEntry(out, serial, e); err != nil {
			return nil, fmt.Errorf("encoding CRL: serial %x: %w", serial, err)
		}
	}
	start := room
	if len(out) > room { // an empty list omits revokedCertificates
		start = prepend(out, start, sequenceHeader(len(out)-room))
	}
	start = prepend(out, start, head)
	out = append(out, tail...)
	start = prepend(out, start, sequenceHeader(len(out)-start))
	return out[start:], nil
}

// frame encodes what stands before and after the entries.
func (c CRL) frame() (head, tail []byte, err error) {
	if err := c.check(); err != nil {
		return nil, nil, err
	}
	algorithm, err := SignatureAlgorithmFor(c.Issuer.PublicKey)
	if err != nil {
		return nil, nil, err
	}
	var h, t cryptobyte.Builder
	h.AddASN1Int64(1) // v2
	h.AddBytes(algorithm.DER)
	h.AddBytes(c.Issuer.RawSubject)
	addTime(&h, c.ThisUpdate)
	addTime(&h, c.NextUpdate)
	if head, err = h.Bytes(); err != nil {
		return nil, nil, err
	}
	var keyID, number cryptobyte.Builder
	keyID.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(0).ContextSpecific(), func(b *cryptobyte.Builder) { b.AddBytes(c.Issuer.SubjectKeyId) })
	})
	number.AddASN1Uint64(c.Number)
	t.AddASN1(explicit(0), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addBuilt(b, oidAuthKeyID, &keyID)
			addBuilt(b, oidCRLNumber, &number)
		})
	})
	tail, err = t.Bytes()
	return head, tail, err
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
	}
	return nil
}

func addBuilt(b *cryptobyte.Builder, oid string, value *cryptobyte.Builder) {
	der, err := value.Bytes()
	if err != nil {
		b.SetError(err)
		return
	}
	addExtension(b, oid, der)
}

// addTime appends a Time as RFC 5280 section 4.1.2.5 has it: UTCTime through 2049.
func addTime(b *cryptobyte.Builder, t time.Time) {
	if t = t.UTC(); t.Year() >= 1950 && t.Year() < 2050 {
		b.AddASN1UTCTime(t)
		return
	}
	b.AddASN1GeneralizedTime(t)
}

// appendEntry appends one element of revokedCertificates. It is always shorter than 128 octets.
func appendEntry(out, serial []byte, e Entry) ([]byte, error) {
	if len(serial) == 0 || len(serial) > maxSerial {
		return nil, fmt.Errorf("want 1 to %d octets, not zero", maxSerial)
	}
	if err := checkReason(e.Reason); err != nil {
		return nil, err
	}
	at := e.At.UTC()
	if e.At.IsZero() || at.Year() < 1950 || at.Year() > 9999 {
		return nil, fmt.Errorf("revoked at %v: want a time from 1950 on", e.At)
	}
	mark := len(out)
	out = append(out, 0x30, 0)
	if serial[0]&0x80 != 0 {
		out = append(out, 0x02, byte(len(serial)+1), 0)
	} else {
		out = append(out, 0x02, byte(len(serial)))
	}
	out = append(out, serial...)
	if at.Year() < 2050 {
		out = appendUTCTime(append(out, 0x17, 13), at)
	} else {
		out = at.AppendFormat(append(out, 0x18, 15), "20060102150405Z")
	}
	if e.Reason != 0 {
		out = append(out, 0x30, 12, 0x30, 10, 0x06, 3)
		out = append(out, oidReasonCode...)
		out = append(out, 0x04, 3, 0x0a, 1, byte(e.Reason))
	}
	out[mark+1] = byte(len(out) - mark - 2)
	return out, nil
}

// compareSerials orders magnitudes without leading zeros.
func compareSerials(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// prepend copies part to where it ends at start and returns where it begins.
func prepend(out []byte, start int, part []byte) int {
	start -= len(part)
	copy(out[start:], part)
	return start
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

// Assemble joins the bytes of [CRL.TBS] and their signature to a CRL, DER, after
// it has verified the signature with the issuer's key.
func (c CRL) Assemble(tbs, signature []byte) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("assembling CRL: %w", err)
	}
	algorithm, err := SignatureAlgorithmFor(c.Issuer.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("assembling CRL: %w", err)
	}
	if err := checkSignature(algorithm.DER, tbs, signature, c.Issuer); err != nil {
		return nil, fmt.Errorf("assembling CRL: %w", err)
	}
	var tail cryptobyte.Builder
	tail.AddBytes(algorithm.DER)
	tail.AddASN1BitString(signature)
	end, err := tail.Bytes()
	if err != nil {
		return nil, fmt.Errorf("assembling CRL: %w", err)
	}
	header := sequenceHeader(len(tbs) + len(end))
	out := make([]byte, 0, len(header)+len(tbs)+len(end))
	return append(append(append(out, header...), tbs...), end...), nil
}
