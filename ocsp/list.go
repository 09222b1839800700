package ocsp

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxCRL is how many octets of a CRL are read.
const MaxCRL = 64 << 20

// A List is a parsed CRL.
type List struct {
	RawIssuer  []byte // the issuer's name in DER
	Number     uint64 // CRLNumber, 0 if it is absent or over 64 bits
	ThisUpdate time.Time
	NextUpdate time.Time // zero if it is absent
	Entries    []Entry   // by ascending serial

	tbs       []byte
	algorithm x509.SignatureAlgorithm
	signature []byte
}

// ParseCRL reads a full CRL in DER. A critical extension that is not known,
// such as the scope of a shard or a delta, is refused (RFC 5280 section 5.2).
func ParseCRL(der []byte) (*List, error) {
	if len(der) > MaxCRL {
		return nil, fmt.Errorf("crl has %d octets, want at most %d", len(der), MaxCRL)
	}
	input := cryptobyte.String(der)
	var outer, element, tbs, extensions cryptobyte.String
	var signature asn1.BitString
	var ok, has bool
	l := &List{}
	malformed := errors.New("not a crl in DER")
	if !input.ReadASN1(&outer, casn1.SEQUENCE) || !input.Empty() || !outer.ReadASN1Element(&element, casn1.SEQUENCE) {
		return nil, malformed
	}
	l.tbs = element
	if l.algorithm, ok = readAlgorithm(&outer); !ok || !outer.ReadASN1BitString(&signature) || !outer.Empty() {
		return nil, malformed
	}
	l.signature = signature.RightAlign()
	var version int
	var issuer cryptobyte.String
	if !element.ReadASN1(&tbs, casn1.SEQUENCE) || !tbs.PeekASN1Tag(casn1.INTEGER) || !tbs.ReadASN1Integer(&version) || version != 1 {
		return nil, errors.New("crl is not of version 2")
	}
	inner, ok := readAlgorithm(&tbs)
	if !ok || inner != l.algorithm || !tbs.ReadASN1Element(&issuer, casn1.SEQUENCE) || !readTime(&tbs, &l.ThisUpdate) {
		return nil, malformed
	}
	l.RawIssuer = issuer
	if !tbs.PeekASN1Tag(casn1.SEQUENCE) && !tbs.PeekASN1Tag(tagged(0)) && !tbs.Empty() && !readTime(&tbs, &l.NextUpdate) {
		return nil, malformed
	}
	if tbs.PeekASN1Tag(casn1.SEQUENCE) {
		if err := l.readEntries(&tbs); err != nil {
			return nil, err
		}
	}
	if !tbs.ReadOptionalASN1(&extensions, &has, tagged(0)) || !tbs.Empty() {
		return nil, malformed
	}
	if !has {
		return l, nil
	}
	number, err := readExtensions(extensions, oidCRLNumber)
	if err != nil {
		return nil, fmt.Errorf("crl: %w", err)
	}
	n := cryptobyte.String(number)
	if number != nil && !n.ReadASN1Integer(&l.Number) {
		l.Number = 0
	}
	return l, nil
}

func readTime(s *cryptobyte.String, t *time.Time) bool {
	if s.PeekASN1Tag(casn1.UTCTime) {
		return s.ReadASN1UTCTime(t)
	}
	return s.ReadASN1GeneralizedTime(t)
}

func (l *List) readEntries(tbs *cryptobyte.String) error {
	var list cryptobyte.String
	malformed := errors.New("crl: malformed revokedCertificates")
	if !tbs.ReadASN1(&list, casn1.SEQUENCE) {
		return malformed
	}
	for !list.Empty() {
		var body, serial, extensions cryptobyte.String
		var entry Entry
		if !list.ReadASN1(&body, casn1.SEQUENCE) || !body.ReadASN1(&serial, casn1.INTEGER) || len(serial) == 0 || !readTime(&body, &entry.At) {
			return malformed
		}
		entry.Serial = bytes.TrimLeft(serial, "\x00")
		if !body.Empty() {
			extensions = body
			reason, err := readExtensions(extensions, oidReasonCode)
			if err != nil {
				return fmt.Errorf("crl entry: %w", err)
			}
			code := cryptobyte.String(reason)
			if reason != nil && (!code.ReadASN1Enum(&entry.Reason) || !code.Empty()) {
				return malformed
			}
		}
		l.Entries = append(l.Entries, entry)
	}
	if !slices.IsSortedFunc(l.Entries, compareEntries) {
		slices.SortFunc(l.Entries, compareEntries)
	}
	return nil
}

func compareEntries(a, b Entry) int { return compareSerials(a.Serial, b.Serial) }

// compareSerials orders big-endian numbers without leading zeros.
func compareSerials(a, b []byte) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare(a, b)
}

// Lookup finds the entry of a serial.
func (l *List) Lookup(serial *big.Int) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(l.Entries, serial.Bytes(), func(e Entry, want []byte) int { return compareSerials(e.Serial, want) })
	if !ok {
		return Entry{}, false
	}
	return l.Entries[i], true
}

// CheckSignatureFrom checks that issuer made the CRL and may sign CRLs.
func (l *List) CheckSignatureFrom(issuer *x509.Certificate) error {
	if !bytes.Equal(l.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("crl is not of %s", issuer.Subject)
	}
	if issuer.KeyUsage != 0 && issuer.KeyUsage&x509.KeyUsageCRLSign == 0 {
		return fmt.Errorf("%s may not sign CRLs", issuer.Subject)
	}
	if err := issuer.CheckSignature(l.algorithm, l.tbs, l.signature); err != nil {
		return fmt.Errorf("crl of %s: %w", issuer.Subject, err)
	}
	return nil
}

// verdict says what the CRL says of a certificate at a time.
func (l *List) verdict(leaf, issuer *x509.Certificate, now time.Time, skew time.Duration) (Verdict, error) {
	if err := l.CheckSignatureFrom(issuer); err != nil {
		return Verdict{}, err
	}
	if err := checkTimes("crl", l.ThisUpdate, l.NextUpdate, now, skew); err != nil {
		return Verdict{}, err
	}
	v := Verdict{State: Good, Source: "crl", ProducedAt: l.ThisUpdate, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, CheckedAt: now}
	const removeFromCRL = 8
	if entry, ok := l.Lookup(leaf.SerialNumber); ok && entry.Reason != removeFromCRL {
		v.State, v.RevokedAt, v.Reason = Revoked, entry.At, entry.Reason
	}
	return v, nil
}

// checkTimes refuses what is from the future, over, or without end.
func checkTimes(what string, this, next, now time.Time, skew time.Duration) error {
	switch {
	case this.After(now.Add(skew)):
		return fmt.Errorf("%s is from the future: thisUpdate %s, now %s", what, this.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	case next.IsZero():
		return fmt.Errorf("%s has no nextUpdate", what)
	case next.Before(now.Add(-skew)):
		return fmt.Errorf("%s is stale: nextUpdate %s, now %s", what, next.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
