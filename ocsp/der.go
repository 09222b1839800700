package ocsp

import (
	"bytes"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Contents of object identifiers, DER.
const (
	oidSHA1           = "\x2b\x0e\x03\x02\x1a"
	oidSHA256         = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidSHA384         = "\x60\x86\x48\x01\x65\x03\x04\x02\x02"
	oidSHA512         = "\x60\x86\x48\x01\x65\x03\x04\x02\x03"
	oidBasic          = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01"
	oidNonce          = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
	oidArchiveCutoff  = "\x2b\x06\x01\x05\x05\x07\x30\x01\x06"
	oidExtendedRevoke = "\x2b\x06\x01\x05\x05\x07\x30\x01\x09"
	oidInvalidityDate = "\x55\x1d\x18"
	oidCRLNumber      = "\x55\x1d\x14"
	oidReasonCode     = "\x55\x1d\x15"
	oidDeltaCRL       = "\x55\x1d\x1b"
	oidIDP            = "\x55\x1d\x1c"
	oidAuthKeyID      = "\x55\x1d\x23"
)

// Identifier octets.
const (
	tagInteger     = 0x02
	tagBitString   = 0x03
	tagOctetString = 0x04
	tagOID         = 0x06
	tagEnum        = 0x0a
	tagTime        = 0x18 // GeneralizedTime
	tagSequence    = 0x30
	tagImplicit    = 0x80 // context-specific, primitive, of number 0
	tagExplicit    = 0xa0 // context-specific, constructed, of number 0
)

// take splits the first element off DER whose elements are shorter than 64 KiB, which is all that a request may have. Without
// an element of that tag at the front it returns der as it was.
func take(der []byte, tag byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag {
		return nil, der, false
	}
	n, header := int(der[1]), 2
	switch {
	case n < 0x80:
	case n == 0x81 && len(der) > 2 && der[2] >= 0x80:
		n, header = int(der[2]), 3
	case n == 0x82 && len(der) > 3 && der[2] > 0:
		n, header = int(der[2])<<8|int(der[3]), 4
	default:
		return nil, der, false
	}
	if len(der)-header < n {
		return nil, der, false
	}
	return der[header : header+n : header+n], der[header+n:], true
}

// takeOptional is take of what may be absent: then the content is nil.
func takeOptional(der []byte, tag byte) (content, rest []byte) {
	content, rest, _ = take(der, tag)
	return content, rest
}

// minimal says whether the content of an INTEGER is that of a number from 0 on, in its one form.
func minimal(n []byte) bool {
	return len(n) > 0 && n[0]&0x80 == 0 && (len(n) == 1 || n[0] != 0 || n[1]&0x80 != 0)
}

// wrap puts the header of an element before dst[start:].
func wrap(dst []byte, start int, tag byte) []byte {
	n := len(dst) - start
	var header [4]byte
	head := appendHeader(header[:0], tag, n)
	dst = append(dst, head...) // for the room
	copy(dst[start+len(head):], dst[start:start+n])
	copy(dst[start:], head)
	return dst
}

// appendHeader appends the header of an element of n octets, below 65,536.
func appendHeader(dst []byte, tag byte, n int) []byte {
	switch {
	case n < 0x80:
		return append(dst, tag, byte(n))
	case n < 0x100:
		return append(dst, tag, 0x81, byte(n))
	default:
		return append(dst, tag, 0x82, byte(n>>8), byte(n))
	}
}

// sizeOf is what an element of n octets takes with its header.
func sizeOf(n int) int {
	switch {
	case n < 0x80:
		return 2 + n
	case n < 0x100:
		return 3 + n
	default:
		return 4 + n
	}
}

// appendElement appends an element.
func appendElement(dst []byte, tag byte, content []byte) []byte {
	start := len(dst)
	return wrap(append(dst, content...), start, tag)
}

// appendTime appends a GeneralizedTime in whole seconds.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	dst = append(dst, tagTime, 15)
	for _, n := range [...]int{year / 100, year % 100, int(month), day, hour, minute, second} {
		dst = append(dst, byte('0'+n/10), byte('0'+n%10))
	}
	return append(dst, 'Z')
}

// appendExtension appends a non-critical Extension.
func appendExtension(dst []byte, oid string, value []byte) []byte {
	start := len(dst)
	dst = appendElement(dst, tagOID, []byte(oid))
	dst = appendElement(dst, tagOctetString, value)
	return wrap(dst, start, tagSequence)
}

// explicit returns the tag of a constructed context-specific field.
func explicit(n uint8) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }

// An extension is one Extension of RFC 5280 section 4.1, undecoded.
type extension struct {
	id       cryptobyte.String
	critical bool
	value    cryptobyte.String // content of extnValue
}

// readExtension takes the next Extension from a SEQUENCE OF them.
func readExtension(s *cryptobyte.String) (extension, bool) {
	var e extension
	var body cryptobyte.String
	ok := s.ReadASN1(&body, asn1.SEQUENCE) &&
		body.ReadASN1(&e.id, asn1.OBJECT_IDENTIFIER) &&
		(!body.PeekASN1Tag(asn1.BOOLEAN) || body.ReadASN1Boolean(&e.critical)) &&
		body.ReadASN1(&e.value, asn1.OCTET_STRING) &&
		body.Empty()
	return e, ok
}

// readExtensions takes an optional explicitly tagged, non-empty Extensions field.
// list is empty when the field is absent.
func readExtensions(s *cryptobyte.String, tag asn1.Tag, list *cryptobyte.String) bool {
	var wrapped cryptobyte.String
	var present bool
	if !s.ReadOptionalASN1(&wrapped, &present, tag) {
		return false
	}
	return !present || wrapped.ReadASN1(list, asn1.SEQUENCE) && wrapped.Empty()
}

// addExtension appends a non-critical Extension.
func addExtension(b *cryptobyte.Builder, oid string, value []byte) {
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		addOID(b, oid)
		b.AddASN1OctetString(value)
	})
}

// addOID appends an object identifier given by its contents.
func addOID(b *cryptobyte.Builder, oid string) {
	b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oid)) })
}

// addInteger appends a non-negative INTEGER given by its magnitude.
func addInteger(b *cryptobyte.Builder, magnitude []byte) {
	b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
		if len(magnitude) == 0 || magnitude[0]&0x80 != 0 {
			b.AddUint8(0)
		}
		b.AddBytes(magnitude)
	})
}

// readMagnitude reads a non-negative INTEGER, without leading zeros: nothing for zero.
func readMagnitude(s *cryptobyte.String, out *[]byte) bool {
	var n cryptobyte.String
	if !s.ReadASN1(&n, asn1.INTEGER) || len(n) == 0 || n[0]&0x80 != 0 || len(n) > 1 && n[0] == 0 && n[1]&0x80 == 0 {
		return false
	}
	*out = bytes.TrimLeft(n, "\x00")
	return true
}

// readTime reads a Time (RFC 5280 section 4.1.2.5). CRLs hold so many UTCTimes
// that the general parser is too slow for them.
func readTime(s *cryptobyte.String, t *time.Time) bool {
	if !s.PeekASN1Tag(asn1.UTCTime) {
		return s.ReadASN1GeneralizedTime(t)
	}
	var text cryptobyte.String
	if !s.ReadASN1(&text, asn1.UTCTime) || len(text) != len("yymmddhhmmssZ") || text[12] != 'Z' {
		return false
	}
	var f [6]int
	for i := range f {
		tens, ones := text[2*i]-'0', text[2*i+1]-'0'
		if tens > 9 || ones > 9 {
			return false
		}
		f[i] = int(tens)*10 + int(ones)
	}
	year := 2000 + f[0]
	if f[0] >= 50 {
		year = 1900 + f[0]
	}
	*t = time.Date(year, time.Month(f[1]), f[2], f[3], f[4], f[5], 0, time.UTC)
	// Fields out of range would have moved others.
	return int(t.Month()) == f[1] && t.Day() == f[2] && t.Hour() == f[3] && t.Minute() == f[4] && t.Second() == f[5]
}

// appendUTCTime appends the content of a UTCTime.
func appendUTCTime(out []byte, t time.Time) []byte {
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	for _, n := range [...]int{year % 100, int(month), day, hour, minute, second} {
		out = append(out, byte('0'+n/10), byte('0'+n%10))
	}
	return append(out, 'Z')
}

// skipVersion1 reads an explicitly tagged version that may only be v1.
func skipVersion1(s *cryptobyte.String) bool {
	var version cryptobyte.String
	var present bool
	return s.ReadOptionalASN1(&version, &present, explicit(0)) && (!present || string(version) == "\x02\x01\x00")
}
