package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

var (
	errNotDER  = errors.New("not DER (definite, shortest lengths and primitive strings)")
	errTooDeep = fmt.Errorf("nested deeper than %d levels", maxDepth)
)

// maxDepth is how deep a request may nest; an honest one needs eight levels.
const maxDepth = 16

// checkDER walks all elements of s before anything else parses them, so that
// no parser meets BER or bottomless nesting.
func checkDER(s cryptobyte.String, depth int) error {
	const constructed, class = 0x20, 0xc0
	if depth > maxDepth {
		return errTooDeep
	}
	for !s.Empty() {
		var body cryptobyte.String
		var tag casn1.Tag
		if !s.ReadAnyASN1(&body, &tag) {
			return errNotDER
		}
		if tag&constructed == 0 {
			continue
		}
		if tag&class == 0 && tag != casn1.SEQUENCE && tag != casn1.SET {
			return errNotDER
		}
		if err := checkDER(body, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// The kinds of GeneralName that are read (RFC 5280 section 4.2.1.6).
const (
	sanEmail = 1
	sanDNS   = 2
	sanURI   = 6
	sanIP    = 7
)

// eachName calls f with each name of a subjectAltName value. Only a malformed
// value is an error.
func eachName(value []byte, f func(kind int, data []byte)) error {
	outer := cryptobyte.String(value)
	var names cryptobyte.String
	if !outer.ReadASN1(&names, casn1.SEQUENCE) || !outer.Empty() {
		return errNotDER
	}
	for !names.Empty() {
		var data cryptobyte.String
		var tag casn1.Tag
		if !names.ReadAnyASN1(&data, &tag) || tag&0xc0 != 0x80 {
			return errNotDER
		}
		f(int(tag&0x1f), data)
	}
	return nil
}

// maxItems is how many subject alternative names, extensions and extended key
// usages a request may hold, each.
const maxItems = 100

// readNames reads the subjectAltName value of a request into c.
func (c *CSR) readNames(value []byte) Violations {
	var vs Violations
	count := 0
	err := eachName(value, func(kind int, data []byte) {
		if count++; count > maxItems {
			return
		}
		if v := c.readName(kind, data); v != nil {
			vs = append(vs, v)
		}
	})
	if err != nil {
		return Violations{csrViolation("csr-form", "subjectAltName", err.Error(), "a sequence of names")}
	}
	if count > maxItems {
		return Violations{csrViolation("san-count", "subjectAltName", fmt.Sprintf("%d names", count), fmt.Sprintf("at most %d", maxItems))}
	}
	return vs
}

func (c *CSR) readName(kind int, data []byte) *Violation {
	text := string(data)
	switch kind {
	case sanDNS:
		if fault := dnsFault(text); fault != "" {
			return csrViolation("san-dns", "DNS name", quote(text)+", "+fault, wantDNSName)
		}
		c.DNSNames = append(c.DNSNames, text)
	case sanIP:
		addr, ok := netip.AddrFromSlice(data)
		if !ok {
			return csrViolation("san-address", "address", fmt.Sprintf("%d octets long", len(data)), "4 octets for IPv4 or 16 for IPv6")
		}
		c.Addresses = append(c.Addresses, addr)
	case sanURI:
		u, err := url.Parse(text)
		if err != nil || u.String() != text {
			return csrViolation("san-uri", "URI", quote(text), "a URI in its plain form")
		}
		c.URIs = append(c.URIs, u)
	case sanEmail:
		if !printable(text) || !strings.Contains(text, "@") {
			return csrViolation("san-email", "e-mail address", quote(text), "no e-mail address")
		}
		c.Emails = append(c.Emails, text)
	default:
		return csrViolation("san-kind", "subjectAltName", fmt.Sprintf("a name of kind %d", kind), "DNS names, addresses and the party's URI")
	}
	return nil
}
