package lint

import (
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A name is plain if no lint of zlint can have anything against it: what they look for is length, letters, spaces, wildcards,
// empty labels, hyphens at the ends, punycode and names that are there twice.

// mostPlain is how many octets a plain name has at most: a label of DNS, and less than RFC 5280 appendix A.1 allows any name.
const mostPlain = 63

// plainAttributes are those of a subject that can be plain: DER of their object identifiers.
var plainAttributes = []string{
	"\x06\x03\x55\x04\x03", // common name
	"\x06\x03\x55\x04\x0a", // organization
	"\x06\x03\x55\x04\x0b", // organizational unit
}

// plainText reports whether an attribute of a subject is plain: words of ASCII letters, digits and hyphens.
func plainText(text []byte) bool {
	return len(text) > 0 && len(text) <= mostPlain && isWord(text[0]) && isWord(text[len(text)-1]) &&
		!slices.ContainsFunc(text, func(b byte) bool { return !isWord(b) && b != ' ' && b != '-' })
}

func isWord(b byte) bool { return b != '-' && isPlain(b) || b >= 'A' && b <= 'Z' }

// plainDNS reports whether a DNS name is plain: several labels of letters and digits, with single hyphens within.
func plainDNS(name string) bool {
	if len(name) > mostPlain || !strings.Contains(name, ".") || strings.Contains(name, "--") {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' || strings.ContainsFunc(label, func(r rune) bool { return r > 0x7f || !isPlain(byte(r)) }) {
			return false
		}
	}
	return true
}

// plainURI reports whether a URI is plain: spiffe://, a plain DNS name, and one plain segment.
func plainURI(uri string) bool {
	rest, found := strings.CutPrefix(uri, "spiffe://")
	host, segment, slash := strings.Cut(rest, "/")
	return found && slash && plainDNS(host) && segment != "" && len(segment) <= mostPlain && !strings.ContainsFunc(segment, func(r rune) bool { return r > 0x7f || !isPlain(byte(r)) && r != '.' })
}

// isPlain is of lower-case letters, digits and the hyphen.
func isPlain(b byte) bool { return b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '-' }

// The choices of a GeneralName (RFC 5280 section 4.2.1.6).
var (
	choiceDNS = asn1.Tag(2).ContextSpecific()
	choiceURI = asn1.Tag(6).ContextSpecific()
)

// distinct reports whether alternative names can be read, and no DNS name is there twice.
func distinct(der cryptobyte.String) bool {
	var list, value cryptobyte.String
	var tag asn1.Tag
	ok := der.ReadASN1(&list, asn1.SEQUENCE) && der.Empty()
	var names []string
	for ok && !list.Empty() {
		if ok = list.ReadAnyASN1(&value, &tag); ok && tag == choiceDNS {
			name := strings.ToLower(string(value))
			ok = !slices.Contains(names, name)
			names = append(names, name)
		}
	}
	return ok
}

// alternatives takes plain names by their kind, and others as they are.
func (l liker) alternatives(der cryptobyte.String) bool {
	var list cryptobyte.String
	ok := der.ReadASN1(&list, asn1.SEQUENCE)
	for ok && !list.Empty() {
		var value cryptobyte.String
		var tag asn1.Tag
		rest := list
		ok = rest.ReadAnyASN1(&value, &tag)
		if tag == choiceDNS && plainDNS(string(value)) || tag == choiceURI && plainURI(string(value)) {
			l.number(int(tag))
			list = rest
			continue
		}
		ok = ok && l.whole(&list)
	}
	return ok
}

// subject takes plain text by its kind, and other attributes as they are. Who has several in a relative name is taken as it is.
func (l liker) subject(s *cryptobyte.String) bool {
	var name cryptobyte.String
	ok := s.ReadASN1(&name, asn1.SEQUENCE)
	for ok && !name.Empty() {
		var set, attribute, id, value cryptobyte.String
		var tag asn1.Tag
		rest := name
		if rest.ReadASN1(&set, asn1.SET) && set.ReadASN1(&attribute, asn1.SEQUENCE) && set.Empty() && attribute.ReadASN1Element(&id, asn1.OBJECT_IDENTIFIER) &&
			attribute.ReadAnyASN1(&value, &tag) && attribute.Empty() && slices.Contains(plainAttributes, string(id)) && plainText(value) {
			l.Write(id)
			l.number(int(tag))
			name = rest
			continue
		}
		ok = l.whole(&name)
	}
	return ok
}
