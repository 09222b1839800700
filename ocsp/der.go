package ocsp

import (
	"bytes"
	"time"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Contents of object identifiers, DER.
const (
	oidSHA1       = "\x2b\x0e\x03\x02\x1a"
	oidSHA256     = "\x60\x86\x48\x01\x65\x03\x04\x02\x01"
	oidSHA384     = "\x60\x86\x48\x01\x65\x03\x04\x02\x02"
	oidSHA512     = "\x60\x86\x48\x01\x65\x03\x04\x02\x03"
	oidBasic      = "\x2b\x06\x01\x05\x05\x07\x30\x01\x01"
	oidNonce      = "\x2b\x06\x01\x05\x05\x07\x30\x01\x02"
	oidCRLNumber  = "\x55\x1d\x14"
	oidReasonCode = "\x55\x1d\x15"
	oidDeltaCRL   = "\x55\x1d\x1b"
	oidIDP        = "\x55\x1d\x1c"
	oidAuthKeyID  = "\x55\x1d\x23"
)

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
