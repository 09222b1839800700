package policy

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// A Request asks for one certificate: for this party, under this profile, from
// this issuing CA. The front end that made it has authenticated the requester.
type Request struct {
	Network    string
	Party      Party // as registered; zero for a profile of OCSP signers
	Profile    *Profile
	CSR        *CSR              // from ParseCSR
	IssuerName string            // the CA that would sign, one of CAs
	Issuer     *x509.Certificate // its certificate
	NotBefore  time.Time         // zero: as early as the profile allows
	NotAfter   time.Time         // zero: as late as the profile and the issuer allow
	Requester  string            // on whose word: an identity URI, "token:ID", "local"
	Protocol   string            // how it was asked: "token", "renew", "local"
	Now        time.Time
}

// A Decision is everything that a certificate will say, but for its serial
// number, the issuer's name and key id and the status URLs.
type Decision struct {
	Network     string
	Profile     string
	IssuerName  string
	Identity    Identity           // zero for OCSP signers
	Subject     pkix.RDNSequence   // O=<legal name>, OU=<role>, CN=<party>; OCSP signers: O=<network>, CN=<issuer> OCSP signer
	URIs        []*url.URL         // the identity, alone
	DNSNames    []string           // within the party's
	Addresses   []netip.Addr       // within the party's; IPv4 is never mapped into IPv6
	KeyUsage    x509.KeyUsage      //
	ExtKeyUsage []x509.ExtKeyUsage //
	NotBefore   time.Time          // whole seconds, UTC
	NotAfter    time.Time          // the last valid second, UTC
	PublicKey   crypto.PublicKey   //
	RawSPKI     []byte             // the SubjectPublicKeyInfo as it was sent
	OCSPNoCheck bool               // add id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1)
	StatusURLs  bool               // add authorityInfoAccess and cRLDistributionPoints
}

// Decide applies every rule to the request. The error is [Violations]: all
// that is wrong with it, not only the first.
func Decide(req Request) (*Decision, error) {
	if missing := incomplete(req); missing != "" {
		return nil, Violations{{Rule: "request", Field: "request", Got: "without " + missing, Want: "profile, parsed CSR, issuing CA and time"}}
	}
	d := &decider{req: req, out: Decision{
		Network: req.Network, Profile: req.Profile.Name(), IssuerName: req.IssuerName,
		KeyUsage: req.Profile.keyUsage, ExtKeyUsage: slices.Clone(req.Profile.extKeyUsage),
		PublicKey: req.CSR.PublicKey, RawSPKI: req.CSR.RawSPKI,
		OCSPNoCheck: req.Profile.OCSPSigner(), StatusURLs: !req.Profile.OCSPSigner(),
	}}
	if req.Profile.OCSPSigner() {
		d.ocspSigner()
	} else {
		d.party()
	}
	d.issuer()
	if err := req.Profile.keys.checkKind(req.CSR.PublicKey); err != nil {
		d.broken = append(d.broken, ViolationsOf(err)...)
	}
	d.names()
	d.extensions()
	d.window()
	if len(d.broken) > 0 {
		return nil, d.broken
	}
	return &d.out, nil
}

func incomplete(req Request) string {
	switch {
	case req.Profile == nil:
		return "a profile"
	case req.CSR == nil || !req.CSR.verified:
		return "a CSR that ParseCSR accepted"
	case req.Issuer == nil:
		return "an issuing CA"
	case req.Now.IsZero():
		return "the time"
	}
	return ""
}

// A decider collects what one request may have and what is wrong with it.
type decider struct {
	req    Request
	out    Decision
	broken Violations
}

func (d *decider) refuse(rule, field, got, want string) {
	d.broken = append(d.broken, &Violation{Rule: rule, Field: field, Got: got, Want: want})
}

// party writes subject and URI from the registry.
func (d *decider) party() {
	party, role := d.req.Party, d.req.Profile.Role()
	if fault := partyIDFault(party.ID, party.Role == Service); fault != "" {
		d.refuse("party-id", "party id", quote(party.ID)+", "+fault, "the id of a registered party")
	}
	d.broken = append(d.broken, party.violations(d.req.Network)...)
	if party.State != Active {
		d.refuse("party-active", "party "+quote(party.ID), string(party.State), "active")
	}
	if party.Role != role {
		d.refuse("profile-role", "party "+quote(party.ID), "a "+string(party.Role), "a "+string(role)+", as profile "+d.out.Profile+" is for")
	}
	d.out.Identity = Identity{Network: d.req.Network, Role: role, Party: party.ID}
	d.out.URIs = []*url.URL{d.out.Identity.URI()}
	d.out.Subject = subject(party.Name, string(role), party.ID)
}

// ocspSigner writes the subject of a certificate that belongs to the CA itself.
func (d *decider) ocspSigner() {
	if d.req.Party.ID != "" || d.req.Party.Role != "" {
		d.refuse("profile-role", "party "+quote(d.req.Party.ID), "registered", "none, profile "+d.out.Profile+" is for the CA itself")
	}
	if err := CheckNetworkName(d.req.Network); err != nil {
		d.broken = append(d.broken, ViolationsOf(err)...)
	}
	d.out.Subject = subject(d.req.Network, "", d.req.IssuerName+" OCSP signer")
}

func subject(organization, unit, name string) pkix.RDNSequence {
	var seq pkix.RDNSequence
	for _, a := range []pkix.AttributeTypeAndValue{
		{Type: asn1.ObjectIdentifier{2, 5, 4, 10}, Value: organization},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: unit},
		{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: name},
	} {
		if a.Value != "" {
			seq = append(seq, pkix.RelativeDistinguishedNameSET{a})
		}
	}
	return seq
}

// issuer checks that the CA that would sign is the one that serves the role.
func (d *decider) issuer() {
	issuer, role := d.req.Issuer, d.req.Profile.Role()
	want := []string{role.CA()}
	if d.req.Profile.OCSPSigner() {
		want = CAs()
	}
	if !slices.Contains(want, d.req.IssuerName) {
		d.refuse("issuer-role", "issuing CA", quote(d.req.IssuerName), strings.Join(want, ", "))
	}
	if !issuer.IsCA || issuer.KeyUsage&x509.KeyUsageCertSign == 0 {
		d.refuse("issuer-ca", "issuing CA", "not a CA that signs certificates", "one with CA:TRUE and keyCertSign")
	}
	host := role.Host(d.req.Network)
	if permitted := issuer.PermittedURIDomains; role != "" && len(permitted) > 0 && !slices.Contains(permitted, host) {
		d.refuse("issuer-role", "URI constraint of the issuing CA", quote(strings.Join(permitted, ", ")), "one that lists "+host)
	}
}

// names grants the SANs that were asked for and that the registry knows.
func (d *decider) names() {
	csr, party := d.req.CSR, d.req.Party
	for _, email := range csr.Emails {
		d.refuse("san-email", "csr: e-mail address", quote(email), "no e-mail address")
	}
	for _, u := range csr.URIs {
		if want := d.out.Identity.String(); len(d.out.URIs) == 0 || u.String() != want {
			d.refuse("san-uri", "csr: URI", quote(u.String()), "no URI, or the party's own "+want)
		}
	}
	dns, addrs := csr.DNSNames, csr.Addresses
	if !d.req.Profile.Server() {
		if n := len(dns) + len(addrs); n > 0 {
			d.refuse("san-server", "csr: subjectAltName", "with DNS names or addresses", "none, profile "+d.out.Profile+" is not for servers")
		}
		return
	}
	if len(dns)+len(addrs) == 0 {
		dns, addrs = party.DNSNames, party.Addresses
	}
	known := unmapped(party.Addresses)
	for _, name := range dns {
		if !slices.Contains(party.DNSNames, name) {
			d.refuse("san-dns", "csr: DNS name", quote(name), "a name of the party: "+list(party.DNSNames))
		}
	}
	for _, addr := range unmapped(addrs) {
		if !slices.Contains(known, addr) {
			d.refuse("san-address", "csr: address", addr.String(), "an address of the party: "+list(known))
		}
	}
	d.out.DNSNames, d.out.Addresses = unique(dns), unique(unmapped(addrs))
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
