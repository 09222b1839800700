package policy

import (
	"fmt"
	"net/netip"
	"slices"
)

// names grants the SANs that were asked for and that registry and profile allow.
func (d *decider) names() {
	csr := d.req.CSR
	for _, email := range csr.Emails {
		d.refuse("san-email", "csr: e-mail address", quote(email), "no e-mail address")
	}
	for _, u := range csr.URIs {
		if want := d.out.Identity.String(); len(d.out.URIs) == 0 || u.String() != want {
			d.refuse("san-uri", "csr: URI", quote(u.String()), "no URI, or the party's own "+want)
		}
	}
	if !d.req.Profile.Server() {
		if n := len(csr.DNSNames) + len(csr.Addresses); n > 0 {
			d.refuse("san-server", "csr: subjectAltName", "with DNS names or addresses", "none, profile "+d.out.Profile+" is not for servers")
		}
		return
	}
	d.out.DNSNames, d.out.Addresses = unique(d.dnsNames()), unique(d.addresses())
}

// dnsNames chooses the DNS names. A request that asks for no name at all is given all that the party's record has.
func (d *decider) dnsNames() []string {
	p, party, asked := d.req.Profile, d.req.Party, d.req.CSR.DNSNames
	switch p.cfg.DNS.From {
	case FromFixed:
		return d.fixedNames(asked)
	case FromRequest:
		for _, name := range asked {
			if party.Role != Service && within(name, d.req.Network) {
				d.refuse("san-dns", "csr: DNS name", quote(name)+", in the network's own domain", "a name outside "+d.req.Network+", which only its services may hold")
			}
		}
	default:
		if len(asked)+len(d.req.CSR.Addresses) == 0 {
			return slices.DeleteFunc(slices.Clone(party.DNSNames), func(name string) bool { return !d.allowed(name) })
		}
		for _, name := range asked {
			if !slices.Contains(party.DNSNames, name) {
				d.refuse("san-dns", "csr: DNS name", quote(name), "a name of the party: "+list(party.DNSNames))
			}
		}
	}
	for _, name := range asked {
		if !d.allowed(name) {
			d.refuse("san-dns", "csr: DNS name", quote(name), "a name that profile "+d.out.Profile+" allows: "+d.allowedNames())
		}
	}
	return asked
}

// allowed says whether a pattern of the profile allows the name to the party; without patterns all names are allowed.
func (d *decider) allowed(name string) bool {
	patterns := d.req.Profile.names
	return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p namePattern) bool { return p.matches(name, d.req.Party.ID) })
}

// allowedNames lists the patterns for a message, with the party in its place.
func (d *decider) allowedNames() string {
	texts := make([]string, len(d.req.Profile.names))
	for i, pattern := range d.req.Profile.names {
		text, ok := pattern.expand(d.req.Party.ID)
		if !ok {
			text += " (which " + quote(d.req.Party.ID) + " does not fit into)"
		}
		texts[i] = text
	}
	return list(texts)
}

// fixedNames writes the names of the profile. A request may repeat them, and ask for no other.
func (d *decider) fixedNames(asked []string) []string {
	var names []string
	for _, pattern := range d.req.Profile.names {
		name, ok := pattern.expand(d.req.Party.ID)
		if fault := dnsFault(name); !ok || fault != "" {
			d.refuse("name-fixed", "profile "+d.out.Profile+": DNS name", quote(name), "one that the id of the party, "+quote(d.req.Party.ID)+", makes a host name")
			continue
		}
		if d.req.Party.Role != Service && within(name, d.req.Network) {
			d.refuse("name-fixed", "profile "+d.out.Profile+": DNS name", quote(name)+", in the network's own domain", "a name outside "+d.req.Network+", which only its services may hold")
		}
		names = append(names, name)
	}
	for _, name := range asked {
		if !slices.Contains(names, name) {
			d.refuse("san-dns", "csr: DNS name", quote(name), "none, or one that the profile fixes: "+list(names))
		}
	}
	return names
}

// addresses chooses the IP addresses. IPv4 is never mapped into IPv6, neither here nor in a certificate.
func (d *decider) addresses() []netip.Addr {
	p, known, asked := d.req.Profile, unmapped(d.req.Party.Addresses), unmapped(d.req.CSR.Addresses)
	allowed := func(addr netip.Addr) bool {
		return len(p.ranges) == 0 || slices.ContainsFunc(p.ranges, func(r netip.Prefix) bool { return r.Contains(addr) })
	}
	fromParty := p.cfg.Addresses.From == FromParty
	if fromParty && len(asked)+len(d.req.CSR.DNSNames) == 0 {
		return slices.DeleteFunc(known, func(addr netip.Addr) bool { return !allowed(addr) })
	}
	for _, addr := range asked {
		switch {
		case !addr.IsValid() || addr.IsUnspecified():
			d.refuse("san-address", "csr: address", addr.String(), "the address of a host")
		case fromParty && !slices.Contains(known, addr):
			d.refuse("san-address", "csr: address", addr.String(), "an address of the party: "+list(known))
		case !allowed(addr):
			d.refuse("san-address", "csr: address", addr.String(), "an address in "+list(p.ranges)+", as profile "+d.out.Profile+" allows")
		}
	}
	return asked
}

func unmapped(addrs []netip.Addr) []netip.Addr {
	out := make([]netip.Addr, len(addrs))
	for i, addr := range addrs {
		out[i] = addr.Unmap()
	}
	return out
}

// unique returns a copy without repetitions, in the order of first appearance.
func unique[T comparable](items []T) []T {
	var out []T
	for _, item := range items {
		if !slices.Contains(out, item) {
			out = append(out, item)
		}
	}
	return out
}

// conduct says whether the way in which the certificate is asked for is one that the profile allows.
func (d *decider) conduct() {
	p := d.req.Profile
	if known := p.cfg.Protocols; len(known) > 0 && !slices.Contains(known, d.req.Protocol) {
		d.refuse("protocol", "protocol", quote(d.req.Protocol), list(known)+", as profile "+d.out.Profile+" allows")
	}
	if a, ok := p.Approval(); ok && !d.req.Approved {
		d.refuse("approval", "request", "not approved", fmt.Sprintf("the approval of %d of %d: %s", a.K, a.Of, list(a.By)))
	}
}
