package ca

import (
	"bytes"
	"iter"
	"net/netip"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// AlternativeNames lists the DNS names, IP addresses and URIs of a certificate's subjectAltName
// extension as [CanonicalName] writes them. What is no certificate has none; names of other types are left out.
func AlternativeNames(der []byte) []string {
	for id, value := range extensionsOf(der) {
		if bytes.Equal(id, []byte{0x55, 0x1d, 0x11}) {
			return generalNames(value)
		}
	}
	return nil
}

// extensionsOf yields the identifiers and values of a certificate's extensions (RFC 5280 section 4.1), without
// reading the rest: the inventory does that for every record it returns.
func extensionsOf(der []byte) iter.Seq2[cryptobyte.String, cryptobyte.String] {
	return func(yield func(id, value cryptobyte.String) bool) {
		input := cryptobyte.String(der)
		var certificate, tbs, wrapped, extensions cryptobyte.String
		version, uniqueIssuer, uniqueSubject := contextTag(0).Constructed(), contextTag(1), contextTag(2)
		ok := input.ReadASN1(&certificate, asn1.SEQUENCE) && certificate.ReadASN1(&tbs, asn1.SEQUENCE) &&
			tbs.SkipOptionalASN1(version) && tbs.SkipASN1(asn1.INTEGER)
		for range 5 { // signature, issuer, validity, subject, subjectPublicKeyInfo
			ok = ok && tbs.SkipASN1(asn1.SEQUENCE)
		}
		ok = ok && tbs.SkipOptionalASN1(uniqueIssuer) && tbs.SkipOptionalASN1(uniqueSubject) &&
			tbs.ReadASN1(&wrapped, contextTag(3).Constructed()) && wrapped.ReadASN1(&extensions, asn1.SEQUENCE)
		for ok && !extensions.Empty() {
			var extension, id, value cryptobyte.String
			ok = extensions.ReadASN1(&extension, asn1.SEQUENCE) && extension.ReadASN1(&id, asn1.OBJECT_IDENTIFIER) &&
				extension.SkipOptionalASN1(asn1.BOOLEAN) && extension.ReadASN1(&value, asn1.OCTET_STRING)
			ok = ok && yield(id, value)
		}
	}
}

func generalNames(value cryptobyte.String) (names []string) {
	var list cryptobyte.String
	if !value.ReadASN1(&list, asn1.SEQUENCE) {
		return nil
	}
	for !list.Empty() {
		var name cryptobyte.String
		var tag asn1.Tag
		if !list.ReadAnyASN1(&name, &tag) {
			return names
		}
		switch tag {
		case contextTag(2): // dNSName
			names = append(names, strings.ToLower(string(name)))
		case contextTag(6): // uniformResourceIdentifier
			names = append(names, string(name))
		case contextTag(7): // iPAddress
			if addr, ok := netip.AddrFromSlice(name); ok {
				names = append(names, addr.Unmap().String())
			}
		}
	}
	return names
}

func contextTag(n asn1.Tag) asn1.Tag { return n.ContextSpecific() }

// CanonicalName is the one way in which a DNS name, an IP address or a URI is looked up:
// an address in its shortest form, a DNS name in lower case without the last dot, a URI as it is.
func CanonicalName(name string) string {
	if addr, err := netip.ParseAddr(name); err == nil {
		return addr.Unmap().String()
	}
	if strings.Contains(name, ":") {
		return name
	}
	return strings.TrimSuffix(strings.ToLower(name), ".")
}
