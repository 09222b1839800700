package lint

import (
	"crypto/x509"
	stdasn1 "encoding/asn1"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A piece is an element of DER with one tag.
type piece struct {
	tag  asn1.Tag
	text string
}

func (p piece) add(b *cryptobyte.Builder) {
	b.AddASN1(p.tag, func(b *cryptobyte.Builder) { b.AddBytes([]byte(p.text)) })
}

// tbsOf is the start of a TBSCertificate with these times and relative names.
func tbsOf(times []piece, names [][]piece) []byte {
	b := cryptobyte.NewBuilder(nil)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.Tag(0).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { b.AddASN1Int64(2) })
		b.AddASN1Int64(7)
		for range 2 { // algorithm, issuer
			b.AddASN1(asn1.SEQUENCE, func(*cryptobyte.Builder) {})
		}
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, t := range times {
				t.add(b)
			}
		})
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, rdn := range names {
				b.AddASN1(asn1.SET, func(b *cryptobyte.Builder) {
					for _, value := range rdn {
						b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1ObjectIdentifier(stdasn1.ObjectIdentifier{2, 5, 4, 3})
							value.add(b)
						})
					}
				})
			}
		})
	})
	return b.BytesOrPanic()
}

func TestEncodings(t *testing.T) {
	t.Parallel()
	utc := func(text string) piece { return piece{asn1.UTCTime, text} }
	generalized := func(text string) piece { return piece{asn1.GeneralizedTime, text} }
	text := func(s string) piece { return piece{asn1.UTF8String, s} }
	const first, last = "260101000000Z", "261231235959Z"
	for _, tt := range []struct {
		name   string
		before piece
		rdn    []piece
		want   string
	}{
		{"UTCTime and PrintableString", utc(first), []piece{{asn1.PrintableString, "Acme Computers (7)"}}, ""},
		{"GeneralizedTime from 2050 on", generalized("20500101000000Z"), []piece{text("Müller & Söhne")}, ""},
		{"GeneralizedTime before 2050", generalized("20491231235959Z"), nil, "want UTCTime before 2050"},
		{"UTCTime without seconds", utc("2601010000Z"), nil, "want YYMMDDHHMMSSZ"},
		{"UTCTime of another zone", utc("260101000000+0100"), nil, "want YYMMDDHHMMSSZ"},
		{"UTCTime without a zone", utc("2601010000000"), nil, "want YYMMDDHHMMSSZ"},
		{"GeneralizedTime with a fraction", generalized("20500101000000.5Z"), nil, "want YYYYMMDDHHMMSSZ"},
		{"GeneralizedTime without seconds", generalized("205001010000Z"), nil, "want YYYYMMDDHHMMSSZ"},
		{"a time that is text", text("260101000000Z"), nil, "want UTCTime or GeneralizedTime"},
		{"two attributes in one relative name", utc(first), []piece{text("a"), text("b")}, "several attributes"},
		{"a space before", utc(first), []piece{text(" a")}, "no space at either end"},
		{"a space after", utc(first), []piece{text("a\u00a0")}, "no space at either end"},
		{"20 CR LF", utc(first), []piece{text("a\r\nb")}, "text that can be printed"},
		{"16 NUL", utc(first), []piece{text("a\x00b")}, "text that can be printed"},
		{"a control character of the second set", utc(first), []piece{text("a\u0085b")}, "text that can be printed"},
		{"no UTF-8", utc(first), []piece{text("a\xffb")}, "text that can be printed"},
		{"a letter that PrintableString has not", utc(first), []piece{{asn1.PrintableString, "a@b"}}, "want UTF8String for these letters"},
		{"a T61String", utc(first), []piece{{asn1.T61String, "a"}}, "want a UTF8String or PrintableString"},
		{"a relative name without attribute", utc(first), []piece{}, "no DER"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var names [][]piece
			if tt.rdn != nil {
				names = [][]piece{{text("Acme")}, tt.rdn}
			}
			der := tbsOf([]piece{tt.before, utc(last)}, names)
			got := encodings(&subject{Certificate: &x509.Certificate{RawTBSCertificate: der}})
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	whole := tbsOf([]piece{utc(first), utc(last)}, nil)
	if got := encodings(&subject{Certificate: &x509.Certificate{RawTBSCertificate: whole[:10]}}); got == "" {
		t.Error("what was cut off is accepted")
	}
}
