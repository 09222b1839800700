package lint

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// encodings looks at the octets of validity and subject, which zlint decodes anew for each of a dozen lints.
func encodings(s *subject) string {
	var tbs, validity, name cryptobyte.String
	der := cryptobyte.String(s.RawTBSCertificate)
	if !der.ReadASN1(&tbs, asn1.SEQUENCE) || !tbs.SkipOptionalASN1(asn1.Tag(0).ContextSpecific().Constructed()) ||
		!tbs.SkipASN1(asn1.INTEGER) || !tbs.SkipASN1(asn1.SEQUENCE) || !tbs.SkipASN1(asn1.SEQUENCE) ||
		!tbs.ReadASN1(&validity, asn1.SEQUENCE) || !tbs.ReadASN1(&name, asn1.SEQUENCE) {
		return "its parts do not stand where RFC 5280 section 4.1 has them"
	}
	for !validity.Empty() {
		if fault := timeFault(&validity); fault != "" {
			return fault
		}
	}
	for !name.Empty() {
		if fault := rdnFault(&name); fault != "" {
			return fault
		}
	}
	return ""
}

// timeFault wants UTCTime until 2049 and GeneralizedTime from 2050 on, both with seconds and Z, without fractions (RFC 5280
// section 4.1.2.5).
func timeFault(der *cryptobyte.String) string {
	var text cryptobyte.String
	var tag asn1.Tag
	if !der.ReadAnyASN1(&text, &tag) {
		return "a time that is no DER"
	}
	digits, want := 0, "UTCTime or GeneralizedTime"
	switch tag {
	case asn1.UTCTime:
		digits, want = 12, "YYMMDDHHMMSSZ"
	case asn1.GeneralizedTime:
		digits, want = 14, "YYYYMMDDHHMMSSZ"
	}
	if len(text) != digits+1 || text[digits] != 'Z' || strings.Trim(string(text[:digits]), "0123456789") != "" {
		return fmt.Sprintf("time %q, want %s", []byte(text), want)
	}
	if tag == asn1.GeneralizedTime && string(text[:4]) < "2050" {
		return fmt.Sprintf("GeneralizedTime %s, want UTCTime before 2050", []byte(text))
	}
	return ""
}

// rdnFault wants one attribute: text that can be printed, without space at either end, as UTF8String, or as PrintableString of its letters.
func rdnFault(der *cryptobyte.String) string {
	var set, attribute, value cryptobyte.String
	var tag asn1.Tag
	if !der.ReadASN1(&set, asn1.SET) || !set.ReadASN1(&attribute, asn1.SEQUENCE) || !attribute.SkipASN1(asn1.OBJECT_IDENTIFIER) ||
		!attribute.ReadAnyASN1(&value, &tag) || !attribute.Empty() {
		return "a relative name of the subject that is no DER"
	}
	text := string(value)
	switch {
	case !set.Empty():
		return "a relative name of the subject with several attributes, want one"
	case tag != asn1.UTF8String && tag != asn1.PrintableString:
		return fmt.Sprintf("subject attribute %q of ASN.1 type %d, want a UTF8String or PrintableString", text, tag)
	case !utf8.ValidString(text), strings.ContainsFunc(text, unicode.IsControl):
		return fmt.Sprintf("subject attribute %q, want text that can be printed", text)
	case strings.TrimSpace(text) != text:
		return fmt.Sprintf("subject attribute %q, want no space at either end", text)
	case tag == asn1.PrintableString && strings.ContainsFunc(text, func(r rune) bool { return !inPrintableString(r) }):
		return fmt.Sprintf("PrintableString %q in the subject, want UTF8String for these letters", text)
	}
	return ""
}

// inPrintableString says whether PrintableString has the letter (X.680 section 41.4).
func inPrintableString(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(" '()+,-./:=?", r)
}
