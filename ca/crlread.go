package ca

import (
	stdasn1 "encoding/asn1"
	"fmt"
	"math"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// maxListPart is how many octets a part of a list may have: a name, an entry, the extensions.
const maxListPart = 32 << 10

// A listReader reads the TBSCertList that is written to it (RFC 5280 section 5.1) strictly and to its last byte, in
// memory that does not grow with the number of entries. No TBSCertificate reads as one: where a list has
// thisUpdate, a certificate has a SEQUENCE.
type listReader struct {
	list tbsCertList

	part    listPart // that comes next
	pending []byte   // octets of it
	passed  int      // octets before it
	end     int      // of the TBSCertList
	entries int      // where revokedCertificates ends
	err     error
}

// A listPart is a place in a TBSCertList.
type listPart int

const (
	partStart listPart = iota
	partVersion
	partAlgorithm
	partIssuer
	partThisUpdate
	partNextUpdate
	partAfterTimes // revokedCertificates or the extensions
	partEntry
	partExtensions
	partEnd
)

// Write implements io.Writer. It refuses what is no list as soon as that can be seen.
func (r *listReader) Write(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.pending = append(r.pending, p...)
	at := 0
	for r.err == nil {
		n, err := r.step(r.pending[at:])
		r.err = err
		if n == 0 {
			break
		}
		at += n
		r.passed += n
	}
	r.pending = append(r.pending[:0], r.pending[at:]...)
	if r.err != nil {
		return 0, r.err
	}
	return len(p), nil
}

// finish says whether what was written is one whole list.
func (r *listReader) finish() error {
	if r.err == nil && (r.part != partEnd || len(r.pending) > 0) {
		r.err = notList("it ends too early")
	}
	return r.err
}

func notList(what string) error { return fmt.Errorf("not a TBSCertList: %s", what) }

// step takes the next part from the front, and returns how many octets it took: 0 if it is not whole yet.
func (r *listReader) step(in []byte) (int, error) {
	if r.part == partEnd {
		if len(in) > 0 {
			return 0, notList("bytes after the list")
		}
		return 0, nil
	}
	header, content, err := elementSize(in)
	if err != nil || header == 0 {
		return 0, err
	}
	if r.part == partStart || r.part == partAfterTimes && in[0] == byte(asn1.SEQUENCE) {
		return r.open(in[0], header, content)
	}
	if content > maxListPart {
		return 0, notList("an element is too long")
	}
	if len(in) < header+content {
		return 0, nil
	}
	return header + content, r.take(in[:header+content])
}

// open enters the TBSCertList or revokedCertificates.
func (r *listReader) open(tag byte, header, content int) (int, error) {
	end := r.passed + header + content
	switch {
	case tag != byte(asn1.SEQUENCE):
		return 0, notList("want one SEQUENCE")
	case r.part == partStart:
		r.end, r.part = end, partVersion
	case content == 0 || end > r.end:
		return 0, notList("want revokedCertificates absent or not empty")
	default:
		r.entries, r.part = end, partEntry
	}
	return header, nil
}

// take reads one whole part.
func (r *listReader) take(der []byte) error {
	in := cryptobyte.String(der)
	after := r.passed + len(der)
	part := r.part
	r.part++
	switch part {
	case partVersion:
		var version int64
		if !in.ReadASN1Integer(&version) || version != 1 {
			return notList("want version 2")
		}
	case partAlgorithm, partIssuer:
		if !in.SkipASN1(asn1.SEQUENCE) {
			return notList("want signature algorithm and issuer")
		}
		to := &r.list.algorithm
		if part == partIssuer {
			to = &r.list.issuer
		}
		*to = append([]byte(nil), der...)
	case partThisUpdate, partNextUpdate:
		to := &r.list.thisUpdate
		if part == partNextUpdate {
			to = &r.list.nextUpdate
		}
		if !readTime(&in, to) {
			return notList("want thisUpdate and nextUpdate")
		}
	case partEntry:
		if !skipEntry(&in) || after > r.entries {
			return notList("want entries of serial, date and extensions")
		}
		if after < r.entries {
			r.part = partEntry
		}
	case partAfterTimes, partExtensions:
		r.part = partEnd
		var extensions cryptobyte.String
		if !in.ReadASN1(&extensions, asn1.Tag(0).ContextSpecific().Constructed()) || after != r.end {
			return notList("want crlExtensions at the end")
		}
		if !r.list.readExtensions(extensions) {
			return notList("want extensions, each once, with authority key identifier and CRL number")
		}
	}
	return nil
}

// elementSize reads tag and length in DER; header is 0 if they are not there yet.
func elementSize(in []byte) (header, content int, err error) {
	if len(in) < 2 {
		return 0, 0, nil
	}
	if in[0]&0x1f == 0x1f {
		return 0, 0, notList("a tag of several octets")
	}
	size := int(in[1]) & 0x7f
	if in[1] < 0x80 {
		return 2, size, nil
	}
	if size < 1 || size > 4 {
		return 0, 0, notList("a length that is not DER")
	}
	if len(in) < 2+size {
		return 0, 0, nil
	}
	for _, b := range in[2 : 2+size] {
		content = content<<8 | int(b)
	}
	if content < 0x80 || content > math.MaxInt32 || size > 1 && content < 1<<(8*(size-1)) {
		return 0, 0, notList("a length that is not DER")
	}
	return 2 + size, content, nil
}

// skipEntry reads one revoked certificate.
func skipEntry(entries *cryptobyte.String) bool {
	var entry, extensions cryptobyte.String
	var serial []byte
	var at time.Time
	return entries.ReadASN1(&entry, asn1.SEQUENCE) &&
		entry.ReadASN1Integer(&serial) && len(serial) <= 20 &&
		readTime(&entry, &at) &&
		(entry.Empty() || entry.ReadASN1(&extensions, asn1.SEQUENCE)) && entry.Empty()
}

// readTime reads a Time: UTCTime or GeneralizedTime.
func readTime(in *cryptobyte.String, out *time.Time) bool {
	if in.PeekASN1Tag(asn1.UTCTime) {
		return in.ReadASN1UTCTime(out)
	}
	return in.ReadASN1GeneralizedTime(out)
}

func (l *tbsCertList) readExtensions(in cryptobyte.String) bool {
	var list cryptobyte.String
	if !in.ReadASN1(&list, asn1.SEQUENCE) || !in.Empty() {
		return false
	}
	seen := make(map[string]bool)
	for !list.Empty() {
		var extension, value cryptobyte.String
		var id stdasn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&extension, asn1.SEQUENCE) || !extension.ReadASN1ObjectIdentifier(&id) ||
			extension.PeekASN1Tag(asn1.BOOLEAN) && (!extension.ReadASN1Boolean(&critical) || !critical) || // DER has no default
			!extension.ReadASN1(&value, asn1.OCTET_STRING) || !extension.Empty() || seen[id.String()] {
			return false
		}
		seen[id.String()] = true
		switch {
		case id.Equal(oidCRLNumber):
			l.number = new(big.Int)
			if !value.ReadASN1Integer(l.number) || !value.Empty() || l.number.Sign() < 0 {
				return false
			}
		case id.Equal(oidAuthorityKeyID):
			var aki, keyID cryptobyte.String
			if !value.ReadASN1(&aki, asn1.SEQUENCE) || !value.Empty() ||
				!aki.ReadASN1(&keyID, asn1.Tag(0).ContextSpecific()) {
				return false
			}
			l.keyID = keyID
		}
	}
	return l.number != nil && l.keyID != nil
}
