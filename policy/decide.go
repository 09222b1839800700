package policy

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"net/netip"
	"net/url"
	"slices"
	"time"
)

// A Request asks for one certificate: for this party, under this profile, from
// this issuing CA. The front end that made it has authenticated the requester.
type Request struct {
	Network    string
	Party      Party // as registered; zero for a profile of OCSP signers
	Profile    *Profile
	CSR        *CSR                // from ParseCSR; nil only if Before says why
	Before     Violations          // what was found wrong before Decide was asked; it is part of the answer
	IssuerName string              // the CA that would sign, one of CAs
	Issuer     *x509.Certificate   // its certificate
	Above      []*x509.Certificate // the CAs above it, up to the root
	NotBefore  time.Time           // zero: as early as the profile allows
	NotAfter   time.Time           // zero: as late as the profile and the issuer allow
	Requester  string              // on whose word: an identity URI, "token:ID", "local"
	Protocol   string              // how it was asked, one of Protocols
	Approved   bool                // as many approvers as the profile wants have approved exactly this request
	Now        time.Time
}

// A Decision is everything that a certificate will say, but for its serial
// number, the issuer's name and key id and the status URLs.
type Decision struct {
	Network            string
	Profile            string
	IssuerName         string
	Identity           Identity                // zero for OCSP signers
	Subject            pkix.RDNSequence        // O=<legal name>, OU=<role>, CN=<party>; OCSP signers: O=<network>, CN=<issuer> OCSP signer
	URIs               []*url.URL              // the identity, alone
	DNSNames           []string                // within the party's
	Addresses          []netip.Addr            // within the party's; IPv4 is never mapped into IPv6
	KeyUsage           x509.KeyUsage           //
	ExtKeyUsage        []x509.ExtKeyUsage      //
	UnknownExtKeyUsage []asn1.ObjectIdentifier // those that crypto/x509 has no name for
	Policies           []x509.OID              // certificatePolicies
	Extensions         []pkix.Extension        // granted from the request, and that of the profile for stapling; not critical
	NotBefore          time.Time               // whole seconds, UTC
	NotAfter           time.Time               // the last valid second, UTC
	PublicKey          crypto.PublicKey        //
	RawSPKI            []byte                  // the SubjectPublicKeyInfo as it was sent
	OCSPNoCheck        bool                    // add id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1)
	StatusURLs         bool                    // add authorityInfoAccess and cRLDistributionPoints
}

// Decide applies every rule to the request. The error is [Violations]: all
// that is wrong with it, not only the first. Without a CSR what can be said without one is said.
func Decide(req Request) (*Decision, error) {
	if missing := incomplete(req); missing != "" {
		return nil, append(req.Before[:len(req.Before):len(req.Before)],
			&Violation{Rule: "request", Field: "request", Got: "without " + missing, Want: "profile, parsed CSR, issuing CA, those above it, and time"})
	}
	d := &decider{req: req, broken: req.Before[:len(req.Before):len(req.Before)], out: Decision{
		Network: req.Network, Profile: req.Profile.Name(), IssuerName: req.IssuerName,
		KeyUsage: req.Profile.keyUsage, ExtKeyUsage: slices.Clone(req.Profile.extKeyUsage),
		UnknownExtKeyUsage: slices.Clone(req.Profile.unknownEKU), Policies: slices.Clone(req.Profile.policies),
		OCSPNoCheck: req.Profile.OCSPSigner(), StatusURLs: !req.Profile.OCSPSigner(),
	}}
	d.conduct()
	d.subject()
	d.issuer()
	if req.CSR != nil {
		d.csr()
	}
	d.constraints()
	d.window()
	if req.CSR != nil {
		d.rules()
	}
	if len(d.broken) > 0 {
		return nil, d.broken
	}
	if req.Profile.cfg.MustStaple {
		d.out.Extensions = append(d.out.Extensions, mustStaple())
	}
	return &d.out, nil
}

func incomplete(req Request) string {
	switch {
	case req.Profile == nil:
		return "a profile"
	case req.CSR == nil && len(req.Before) == 0 || req.CSR != nil && !req.CSR.verified:
		return "a CSR that ParseCSR accepted"
	case req.Issuer == nil || len(req.Above) == 0 || slices.Contains(req.Above, nil):
		return "an issuing CA and those above it"
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

// csr judges what the request itself asks for.
func (d *decider) csr() {
	csr := d.req.CSR
	d.out.PublicKey, d.out.RawSPKI = csr.PublicKey, csr.RawSPKI
	if err := d.req.Profile.keys.checkKind(csr.PublicKey); err != nil {
		d.broken = append(d.broken, ViolationsOf(err)...)
	}
	d.names()
	d.extensions()
}

// rules asks the profile's own rules, each of them.
func (d *decider) rules() {
	c := &Case{Request: &d.req, Decision: &d.out}
	for _, rule := range d.req.Profile.rules {
		if v := rule(c); v != nil {
			d.broken = append(d.broken, v)
		}
	}
}

// subject writes subject and URI.
func (d *decider) subject() {
	switch {
	case d.req.Profile.Issuer():
		d.refuse("leaf-ca", "profile", quote(d.out.Profile)+", for issuing CAs", "a profile for parties; only a ceremony makes a CA")
	case d.req.Profile.OCSPSigner():
		d.ocspSigner()
	default:
		d.party()
	}
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
