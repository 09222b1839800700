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

// A List is a parsed CRL: what it says, and its entries by serial, 32 octets
// each. Nothing is verified before [List.CheckSignatureFrom], and what it says of a certificate counts only where
// [ListInfo.Covers] says so. It is safe for concurrent reading.
type List struct {
	ListInfo

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

// ParseCRL reads a version 2 CRL, DER, of any size in one pass: a full list, a shard, or a delta list. It refuses what it
// could misread: indirect CRLs, CRLs for some reasons or for attribute certificates only, distribution points that are no
// URI, unknown critical extensions, an extension twice, no nextUpdate, a CRL number over 64 bits, removeFromCRL in a list that
// is no delta.
func ParseCRL(der []byte) (*List, error) {
	var l List
	s := listScanner{buf: der, visit: func(r record, _ time.Time) error {
		l.entries = append(l.entries, r)
		return nil
	}, grow: func(octets int) { l.entries = make([]record, 0, octets/36) }} // an entry has seldom less
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("CRL: %w", err)
	}
	l.ListInfo, l.algorithm, l.signature = s.info, s.algorithm, s.signature
	l.tbs = der[s.tbsStart:s.tbsEnd]
	l.sort()
	return &l, nil
}

// sort puts the entries in order. Lists of others come in any.
func (l *List) sort() {
	bySerial := func(a, b record) int { return bytes.Compare(a.serial[:], b.serial[:]) }
	if !slices.IsSortedFunc(l.entries, bySerial) {
		slices.SortStableFunc(l.entries, bySerial)
	}
}

// readEntry takes the next entry of revokedCertificates.
func readEntry(s *cryptobyte.String) (r record, invalidity time.Time, ok bool) {
	var body, exts cryptobyte.String
	var serial []byte
	var at time.Time
	var present, reasoned bool
	ok = s.ReadASN1(&body, asn1.SEQUENCE) && readMagnitude(&body, &serial) &&
		readTime(&body, &at) &&
		body.ReadOptionalASN1(&exts, &present, asn1.SEQUENCE) && body.Empty()
	if !ok || len(serial) == 0 || len(serial) > maxSerial || present && exts.Empty() {
		return r, invalidity, false
	}
	copy(r.serial[maxSerial-len(serial):], serial)
	r.at = at.Unix()
	for !exts.Empty() {
		e, ok := readExtension(&exts)
		if !ok {
			return r, invalidity, false
		}
		switch string(e.id) {
		case oidReasonCode:
			var reason int
			if reasoned || !e.value.ReadASN1Enum(&reason) || !e.value.Empty() || checkReason(reason) != nil && reason != reasonRemoveFromCRL {
				return r, invalidity, false
			}
			r.reason, reasoned = uint8(reason), true
		case oidInvalidityDate:
			if !invalidity.IsZero() || !e.value.ReadASN1GeneralizedTime(&invalidity) || !e.value.Empty() {
				return r, invalidity, false
			}
		default:
			if e.critical {
				return r, invalidity, false
			}
		}
	}
	return r, invalidity, true
}

func (r *record) entry() Entry {
	return Entry{Serial: bytes.TrimLeft(r.serial[:], "\x00"), At: time.Unix(r.at, 0).UTC(), Reason: int(r.reason)}
}

// Len returns the number of entries.
func (l *List) Len() int { return len(l.entries) }

// Lookup finds the entry of a serial, given by its magnitude, big endian. Dates of invalidity are not kept.
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
	return l.entries[i].entry(), true
}

// CheckSignatureFrom says whether issuer, by name and key, signed the list and may
// sign CRLs. It does not look at the clock.
func (l *List) CheckSignatureFrom(issuer *x509.Certificate) error {
	if err := l.checkIssuer(issuer); err != nil {
		return err
	}
	if err := checkSignature(l.algorithm, l.tbs, l.signature, issuer); err != nil {
		return fmt.Errorf("CRL: %w", err)
	}
	return nil
}

// Apply returns the list that a delta list makes of l, which is of the same issuer and scope and at least as new as the
// delta's base (RFC 5280 section 5.2.4). Both were verified.
func (l *List) Apply(delta *List) (*List, error) {
	switch {
	case !delta.Delta || l.Delta:
		return nil, errors.New("CRL: want a delta list, applied to one that is none")
	case !bytes.Equal(l.Issuer, delta.Issuer) || !slices.Equal(l.URIs, delta.URIs) || l.OnlyUser != delta.OnlyUser || l.OnlyCA != delta.OnlyCA:
		return nil, errors.New("CRL: the delta list has another issuer or scope, want those of its base")
	case delta.Base > l.Number:
		return nil, fmt.Errorf("CRL: the delta list is to number %d, want at most %d", delta.Base, l.Number)
	case delta.Number < l.Number:
		return nil, fmt.Errorf("CRL: the delta list has number %d, want at least %d", delta.Number, l.Number)
	}
	out := &List{ListInfo: l.ListInfo, entries: make([]record, 0, len(l.entries)+len(delta.entries))}
	out.Number, out.ThisUpdate = delta.Number, delta.ThisUpdate
	if delta.NextUpdate.Before(out.NextUpdate) {
		out.NextUpdate = delta.NextUpdate
	}
	old := l.entries
	for _, r := range delta.entries {
		n, found := slices.BinarySearchFunc(old, r, func(a, b record) int { return bytes.Compare(a.serial[:], b.serial[:]) })
		out.entries = append(out.entries, old[:n]...)
		if found {
			n++
		}
		if old = old[n:]; r.reason != reasonRemoveFromCRL {
			out.entries = append(out.entries, r)
		}
	}
	out.entries = append(out.entries, old...)
	return out, nil
}

// release lets the encoded list go. Its signature cannot be checked any more.
func (l *List) release() {
	l.Issuer = bytes.Clone(l.Issuer)
	l.tbs, l.algorithm, l.signature = nil, nil, nil
}

// All yields the entries by ascending serial.
func (l *List) All() iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		for _, r := range l.entries {
			if !yield(r.entry()) {
				return
			}
		}
	}
}
