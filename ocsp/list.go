package ocsp

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A List is a parsed full CRL: what it says, and its entries by serial, 32 octets
// each. Nothing is verified before [List.CheckSignatureFrom]. It is safe for
// concurrent reading.
type List struct {
	Issuer     []byte // Name of the issuer, DER
	Number     uint64 // CRLNumber
	ThisUpdate time.Time
	NextUpdate time.Time

	entries   []record // ascending
	tbs       []byte
	algorithm []byte
	signature []byte
}

type record struct {
	serial [maxSerial]byte // left padded
	reason uint8
	at     int64 // Unix seconds
}

// ParseCRL reads a version 2 CRL, DER, of any size in one pass. It refuses what it could
// misread: delta and indirect CRLs, CRLs that cover only a part of the
// certificates, unknown critical extensions, no nextUpdate, a CRL number over 64 bits.
func ParseCRL(der []byte) (*List, error) {
	in := cryptobyte.String(der)
	var outer, tbs, algorithm cryptobyte.String
	var l List
	ok := in.ReadASN1(&outer, asn1.SEQUENCE) && in.Empty() &&
		outer.ReadASN1Element(&tbs, asn1.SEQUENCE) &&
		outer.ReadASN1Element(&algorithm, asn1.SEQUENCE) &&
		outer.ReadASN1BitStringAsBytes(&l.signature) && outer.Empty()
	if !ok {
		return nil, errors.New("CRL: want the DER of one CertificateList")
	}
	l.tbs, l.algorithm = tbs, algorithm
	if err := l.parseTBS(tbs); err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	return &l, nil
}

func (l *List) parseTBS(tbs cryptobyte.String) error {
	var body, algorithm, issuer, revoked, exts cryptobyte.String
	var version int
	var some bool
	ok := tbs.ReadASN1(&body, asn1.SEQUENCE) &&
		body.ReadASN1Integer(&version) && version == 1 &&
		body.ReadASN1Element(&algorithm, asn1.SEQUENCE) &&
		body.ReadASN1Element(&issuer, asn1.SEQUENCE) &&
		readTime(&body, &l.ThisUpdate) && readTime(&body, &l.NextUpdate) &&
		body.ReadOptionalASN1(&revoked, &some, asn1.SEQUENCE) &&
		readExtensions(&body, explicit(0), &exts) && body.Empty()
	if !ok {
		return errors.New("want a TBSCertList, version 2, with nextUpdate")
	}
	if !bytes.Equal(algorithm, l.algorithm) {
		return fmt.Errorf("signature algorithm %x outside, %x inside: want the same", l.algorithm, []byte(algorithm))
	}
	l.Issuer = issuer
	if err := l.parseExtensions(exts); err != nil {
		return err
	}
	return l.parseEntries(revoked)
}

func (l *List) parseExtensions(exts cryptobyte.String) error {
	numbered := false
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		if !ok {
			return errors.New("want an Extension")
		}
		switch string(e.id) {
		case oidCRLNumber:
			ok = !numbered && e.value.ReadASN1Integer(&l.Number) && e.value.Empty()
			numbered = true
		case oidDeltaCRL, oidIDP:
			return errors.New("delta or partial list: want a full one")
		default:
			ok = !e.critical
		}
		if !ok {
			return fmt.Errorf("extension %x: want one that is well formed and known if critical", []byte(e.id))
		}
	}
	if !numbered {
		return errors.New("no CRL number, want one")
	}
	return nil
}

func (l *List) parseEntries(revoked cryptobyte.String) error {
	l.entries = make([]record, 0, len(revoked)/36) // an entry has seldom less
	sorted := true
	for !revoked.Empty() {
		var r record
		if !r.read(&revoked) {
			return fmt.Errorf("entry %d: want a positive serial of at most %d octets, a time and a known reason",
				len(l.entries)+1, maxSerial)
		}
		if n := len(l.entries); n > 0 && bytes.Compare(l.entries[n-1].serial[:], r.serial[:]) >= 0 {
			sorted = false
		}
		l.entries = append(l.entries, r)
	}
	if !sorted {
		slices.SortStableFunc(l.entries, func(a, b record) int { return bytes.Compare(a.serial[:], b.serial[:]) })
	}
	return nil
}

// read takes the next entry.
func (r *record) read(s *cryptobyte.String) bool {
	var body, exts cryptobyte.String
	var serial []byte
	var at time.Time
	var present bool
	ok := s.ReadASN1(&body, asn1.SEQUENCE) && readMagnitude(&body, &serial) &&
		readTime(&body, &at) &&
		body.ReadOptionalASN1(&exts, &present, asn1.SEQUENCE) && body.Empty()
	if !ok || len(serial) == 0 || len(serial) > maxSerial {
		return false
	}
	copy(r.serial[maxSerial-len(serial):], serial)
	r.at = at.Unix()
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		if !ok {
			return false
		}
		if string(e.id) != oidReasonCode {
			if e.critical {
				return false
			}
			continue
		}
		var reason int
		if !e.value.ReadASN1Enum(&reason) || !e.value.Empty() || checkReason(reason) != nil {
			return false
		}
		r.reason = uint8(reason)
	}
	return true
}

// Len returns the number of entries.
func (l *List) Len() int { return len(l.entries) }

// Lookup finds the entry of a serial, given by its magnitude, big endian.
func (l *List) Lookup(serial []byte) (Entry, bool) {
	serial = bytes.TrimLeft(serial, "\x00")
	if len(serial) > maxSerial {
		return Entry{}, false
	}
	var want [maxSerial]byte
	copy(want[maxSerial-len(serial):], serial)
	i, found := slices.BinarySearchFunc(l.entries, &want, func(r record, want *[maxSerial]byte) int {
		return bytes.Compare(r.serial[:], want[:])
	})
	if !found {
		return Entry{}, false
	}
	r := l.entries[i]
	return Entry{Serial: serial, At: time.Unix(r.at, 0).UTC(), Reason: int(r.reason)}, true
}

// CheckSignatureFrom says whether issuer, by name and key, signed the list and may
// sign CRLs. It does not look at the clock.
func (l *List) CheckSignatureFrom(issuer *x509.Certificate) error {
	switch {
	case !bytes.Equal(l.Issuer, issuer.RawSubject):
		return fmt.Errorf("CRL: want one issued by %q", issuer.Subject)
	case issuer.KeyUsage&x509.KeyUsageCRLSign == 0:
		return fmt.Errorf("CRL: issuer %q: want key usage CRL sign", issuer.Subject)
	}
	if err := checkSignature(l.algorithm, l.tbs, l.signature, issuer); err != nil {
		return fmt.Errorf("CRL: %w", err)
	}
	return nil
}

// release lets the encoded list go. Signature and names cannot be checked any more.
func (l *List) release() {
	l.Issuer, l.tbs, l.algorithm, l.signature = nil, nil, nil, nil
}

// All yields the entries by ascending serial.
func (l *List) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, r := range l.entries {
			if !yield(Entry{Serial: bytes.TrimLeft(r.serial[:], "\x00"), At: time.Unix(r.at, 0).UTC(), Reason: int(r.reason)}) {
				return
			}
		}
	}
}
