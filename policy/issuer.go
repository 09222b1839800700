package policy

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// issuer checks that the CA that would sign is the one that serves the role, and that it and the CAs
// above it can make a valid path to what is asked for (RFC 5280 section 6.1).
func (d *decider) issuer() {
	issuer, role := d.req.Issuer, d.req.Profile.Role()
	want := []string{role.CA()}
	if d.req.Profile.OCSPSigner() {
		want = CAs()
	}
	if !slices.Contains(want, d.req.IssuerName) {
		d.refuse("issuer-role", "issuing CA", quote(d.req.IssuerName), strings.Join(want, ", "))
	}
	if host := role.Host(d.req.Network); role != "" && !slices.Contains(issuer.PermittedURIDomains, host) {
		d.refuse("issuer-role", "URI constraint of the issuing CA", quote(strings.Join(issuer.PermittedURIDomains, ", ")), "one that lists "+host)
	}
	below, child := 0, (*x509.Certificate)(nil)
	for _, ca := range d.chain() {
		name := quote(ca.Subject.String())
		if !ca.IsCA || ca.KeyUsage&x509.KeyUsageCertSign == 0 {
			d.refuse("issuer-ca", "CA "+name, "not a CA that signs certificates", "one with CA:TRUE and keyCertSign")
		}
		if len(ca.UnhandledCriticalExtensions) > 0 {
			d.refuse("issuer-ca", "CA "+name, "with the critical extension "+ca.UnhandledCriticalExtensions[0].String()+", which nobody here understands", "one without")
		}
		if child != nil && !bytes.Equal(child.RawIssuer, ca.RawSubject) {
			d.refuse("issuer-path", "CA "+name, "not the issuer of "+quote(child.Subject.String()), quote(child.Issuer.String()))
		}
		if limit := ca.MaxPathLen; ca.BasicConstraintsValid && (limit > 0 || limit == 0 && ca.MaxPathLenZero) && below > limit {
			d.refuse("issuer-path", "path length of CA "+name, fmt.Sprint(limit), fmt.Sprintf("%d at least, so many CAs stand below it", below))
		}
		if child = ca; !bytes.Equal(ca.RawSubject, ca.RawIssuer) { // self-issued ones do not count (section 4.2.1.9)
			below++
		}
	}
}

// chain is the issuing CA and those above it.
func (d *decider) chain() []*x509.Certificate {
	return append([]*x509.Certificate{d.req.Issuer}, d.req.Above...)
}

// issuerTime checks that the whole chain is valid now, and returns the time that all of it covers.
func (d *decider) issuerTime() (from, until time.Time) {
	now := d.req.Now
	for i, ca := range d.chain() {
		if now.Before(ca.NotBefore) || now.After(ca.NotAfter) {
			d.refuse("issuer-validity", "CA "+quote(ca.Subject.String()), "valid from "+stamp(ca.NotBefore)+" until "+stamp(ca.NotAfter),
				"one that is valid now, at "+stamp(now))
		}
		if i == 0 || ca.NotBefore.After(from) {
			from = ca.NotBefore
		}
		if i == 0 || ca.NotAfter.Before(until) {
			until = ca.NotAfter
		}
	}
	return from, until
}

// constraints checks the names of the decision against the name constraints of the chain (RFC 5280
// section 4.2.1.10). A host name without a leading dot stands for exactly that host in a URI constraint.
func (d *decider) constraints() {
	for _, ca := range d.chain() {
		if fault := strangeConstraint(ca); fault != "" {
			d.refuse("issuer-constraint", "name constraints of "+quote(ca.Subject.String()), fault, "DNS names, addresses, URIs and e-mail addresses, without minimum and maximum")
		}
		refuse := func(kind, name, want string) {
			d.refuse("issuer-constraint", "certificate: "+kind, quote(name), want+", as the name constraints of "+quote(ca.Subject.String())+" say")
		}
		permitted := ca.PermittedURIDomains
		if ca == d.req.Issuer {
			permitted = nil // issuer has judged them
		}
		for _, u := range d.out.URIs {
			judge("URI", u.String(), permitted, ca.ExcludedURIDomains, func(c string) bool { return hostFits(u.Host, c) }, refuse)
		}
		for _, name := range d.out.DNSNames {
			judge("DNS name", name, ca.PermittedDNSDomains, ca.ExcludedDNSDomains, func(c string) bool { return dnsFits(name, c) }, refuse)
		}
		for _, addr := range d.out.Addresses {
			judge("address", addr.String(), ca.PermittedIPRanges, ca.ExcludedIPRanges, func(r *net.IPNet) bool { return rangeFits(addr, r) }, refuse)
		}
	}
}

// judge tries one name against the constraints of its kind: one of the permitted must fit, if there are any,
// and none of the excluded.
func judge[T any](kind, name string, permitted, excluded []T, fits func(T) bool, refuse func(kind, name, want string)) {
	if len(permitted) > 0 && !slices.ContainsFunc(permitted, fits) {
		refuse(kind, name, "one within "+list(permitted))
	}
	if i := slices.IndexFunc(excluded, fits); i >= 0 {
		want := "none within " + fmt.Sprint(excluded[i])
		if fmt.Sprint(excluded[i]) == "" {
			want = "none at all"
		}
		refuse(kind, name, want)
	}
}

func hostFits(host, constraint string) bool {
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(host, constraint)
	}
	return host == constraint
}

// dnsFits: a domain holds itself and what is below it; the empty one holds all.
func dnsFits(name, constraint string) bool {
	if constraint == "" || strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(name, constraint)
	}
	return within(name, strings.ToLower(constraint))
}

func rangeFits(addr netip.Addr, r *net.IPNet) bool {
	ip := addr.AsSlice()
	return len(ip) == len(r.IP) && r.Contains(ip)
}

// strangeConstraint names what the name constraints of a CA hold that is not checked here, "" for nothing.
func strangeConstraint(ca *x509.Certificate) string {
	for _, ext := range ca.Extensions {
		if !ext.Id.Equal(oidNameConstraints) {
			continue
		}
		value := cryptobyte.String(ext.Value)
		var subtrees cryptobyte.String
		if !value.ReadASN1(&subtrees, casn1.SEQUENCE) || !value.Empty() {
			return "malformed"
		}
		for !subtrees.Empty() {
			var kind cryptobyte.String
			if !subtrees.ReadAnyASN1(&kind, new(casn1.Tag)) {
				return "malformed"
			}
			for !kind.Empty() {
				var subtree, base cryptobyte.String
				var tag casn1.Tag
				if !kind.ReadASN1(&subtree, casn1.SEQUENCE) || !subtree.ReadAnyASN1(&base, &tag) {
					return "malformed"
				}
				if !subtree.Empty() {
					return "a subtree with minimum or maximum"
				}
				if n := int(tag &^ 0x80); n != sanDNS && n != sanIP && n != sanURI && n != sanEmail {
					return fmt.Sprintf("names of kind %d", n&0x1f)
				}
			}
		}
	}
	return ""
}

// CheckIssuer says whether a certificate is fit to be the named issuing CA of the network: a CA that can sign no other, constrained
// to exactly the URI hosts of its roles, the consumer CA to no DNS names and addresses at all, and the other CAs of
// parties to no name in the network's own domain. The error is [Violations].
func CheckIssuer(network, name string, ca *x509.Certificate) error {
	var vs Violations
	refuse := func(rule, field, got, want string) {
		vs = append(vs, &Violation{Rule: rule, Field: "the " + name + " CA: " + field, Got: got, Want: want})
	}
	var hosts []string
	for _, role := range RolesOf(name) {
		hosts = append(hosts, role.Host(network))
	}
	if hosts == nil {
		refuse("issuer-role", "name", quote(name), strings.Join(CAs(), ", "))
	}
	if !ca.IsCA || !ca.BasicConstraintsValid || ca.MaxPathLen != 0 || !ca.MaxPathLenZero {
		refuse("issuer-path", "path length", fmt.Sprint(ca.MaxPathLen), "a CA with path length 0")
	}
	if fault := strangeConstraint(ca); fault != "" {
		refuse("issuer-constraint", "name constraints", fault, "DNS names, addresses and URIs")
	}
	if !sameSet(ca.PermittedURIDomains, hosts) {
		refuse("issuer-role", "permitted URI hosts", list(ca.PermittedURIDomains), list(hosts))
	}
	switch name {
	case ServiceCA:
	case ConsumerCA:
		if !slices.Contains(ca.ExcludedDNSDomains, "") || !allExcluded(ca.ExcludedIPRanges) {
			refuse("issuer-constraint", "excluded names", list(ca.ExcludedDNSDomains)+" and "+list(ca.ExcludedIPRanges), "all DNS names and addresses, consumers run no servers")
		}
	default:
		if !slices.ContainsFunc(ca.ExcludedDNSDomains, func(c string) bool { return dnsFits(network, c) && dnsFits("a."+network, c) }) {
			refuse("issuer-constraint", "excluded DNS names", list(ca.ExcludedDNSDomains), network+", which only the services of the network may hold")
		}
	}
	return vs.orNil()
}

// allExcluded says whether the ranges hold every IPv4 and every IPv6 address.
func allExcluded(ranges []*net.IPNet) bool {
	seen := map[int]bool{}
	for _, r := range ranges {
		if ones, bits := r.Mask.Size(); ones == 0 {
			seen[bits] = true
		}
	}
	return seen[32] && seen[128]
}
