package policy

import (
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Trust is what a relying party needs to recognise the members of one network.
type Trust struct {
	Network string              // its name
	Roots   []*x509.Certificate // its root certificates: one, or two during a rollover
	Issuers []*x509.Certificate // issuing CAs that are known, for who presents a certificate without its issuer's; may be empty
}

// A Use is what the presented certificate is to be used for.
type Use int

// The uses of a certificate.
const (
	AnyUse        Use = iota // whatever it is for: it is only looked at
	ClientUse                // the TLS client that presented it
	ServerUse                // the TLS server that presented it
	EncryptionUse            // the receiver of what is sealed to its key
)

// String names the use.
func (u Use) String() string {
	switch u {
	case AnyUse:
		return "any use"
	case ClientUse:
		return "TLS client"
	case ServerUse:
		return "TLS server"
	case EncryptionUse:
		return "encryption"
	}
	return fmt.Sprintf("use(%d)", int(u))
}

// A Peer is a member of the network that [Trust.Identify] recognised.
type Peer struct {
	Identity Identity
	Leaf     *x509.Certificate
	Issuer   *x509.Certificate   // the issuing CA of its role
	Chain    []*x509.Certificate // leaf, issuer, root
}

// maxPresented is how many certificates a peer may present; an honest chain has three.
const maxPresented = 10

// Identify is the one check that turns presented certificates, the leaf first,
// into an identity. The chain must be leaf, issuing CA and one of the roots, valid at
// now; the leaf must hold exactly one URI, with a role of this network as host, be issued by the
// CA of that role, hold no other role as OU, be no CA and fit the use.
// Whether it was revoked is another question, for the caller to ask.
//
// The error is a *[Violation] with one of the rules "chain", "validity",
// "uri-single", "uri-form", "role-known", "role-issuer", "role-ou", "leaf-ca" and "eku".
func (t Trust) Identify(presented []*x509.Certificate, use Use, now time.Time) (*Peer, error) {
	chains, err := t.chains(presented, use, now)
	if err != nil {
		return nil, err
	}
	leaf := presented[0]
	if leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return nil, &Violation{Rule: "leaf-ca", Field: "presented certificate", Got: "a CA", Want: "the certificate of a party"}
	}
	id, err := IdentityOf(leaf, t.Network)
	if err != nil {
		return nil, err
	}
	chain, err := roleChain(chains, id)
	if err != nil {
		return nil, err
	}
	for _, unit := range leaf.Subject.OrganizationalUnit {
		if unit != string(id.Role) {
			return nil, &Violation{Rule: "role-ou", Field: "OU", Got: quote(unit), Want: quote(string(id.Role)) + ", as the URI says"}
		}
	}
	if v := fits(leaf, use); v != nil {
		return nil, v
	}
	return &Peer{Identity: id, Leaf: leaf, Issuer: chain[1], Chain: chain}, nil
}

// chains finds every path from the leaf to a root.
func (t Trust) chains(presented []*x509.Certificate, use Use, now time.Time) ([][]*x509.Certificate, error) {
	if n := len(presented); n == 0 || n > maxPresented || slices.Contains(presented, nil) {
		return nil, chainViolation(fmt.Sprintf("%d certificates", n), fmt.Sprintf("1 to %d", maxPresented))
	}
	if now.IsZero() { // to crypto/x509 the zero time is the present
		return nil, &Violation{Rule: "validity", Field: "time of the check", Got: "not given", Want: "the present"}
	}
	opts := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(),
		CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}
	switch use {
	case ClientUse:
		opts.KeyUsages[0] = x509.ExtKeyUsageClientAuth
	case ServerUse:
		opts.KeyUsages[0] = x509.ExtKeyUsageServerAuth
	}
	for _, root := range t.Roots {
		opts.Roots.AddCert(root)
	}
	for _, cert := range slices.Concat(presented[1:], t.Issuers) {
		opts.Intermediates.AddCert(cert)
	}
	chains, err := presented[0].Verify(opts)
	if err != nil {
		return nil, t.explain(presented, use, now, err)
	}
	return chains, nil
}

func chainViolation(got, want string) *Violation {
	return &Violation{Rule: "chain", Field: "presented chain", Got: got, Want: want}
}

// explain turns a refusal of crypto/x509 into the rule that was broken. A leaf
// that the name constraints of its issuer refuse is told what is wrong with its identity.
func (t Trust) explain(presented []*x509.Certificate, use Use, now time.Time, err error) *Violation {
	leaf := presented[0]
	var invalid x509.CertificateInvalidError
	if !errors.As(err, &invalid) {
		return chainViolation(quote(err.Error()), "leaf, issuing CA and a root of "+t.Network)
	}
	switch invalid.Reason {
	case x509.Expired:
		c := invalid.Cert
		return &Violation{
			Rule: "validity", Field: "certificate " + quote(c.Subject.String()),
			Got: "valid from " + stamp(c.NotBefore) + " until " + stamp(c.NotAfter), Want: "valid at " + stamp(now),
		}
	case x509.IncompatibleUsage:
		if v := fits(leaf, use); v != nil {
			return v
		}
	case x509.CANotAuthorizedForThisName:
		id, err := IdentityOf(leaf, t.Network)
		if v, ok := errors.AsType[*Violation](err); ok {
			return v
		}
		for _, cert := range presented[1:] {
			if leaf.CheckSignatureFrom(cert) == nil && !servesRole(cert, id) {
				return issuerViolation(cert, id)
			}
		}
	}
	return chainViolation(quote(invalid.Error()), "one that RFC 5280 section 6 accepts")
}

// roleChain picks a chain of leaf, CA of the role, and root.
func roleChain(chains [][]*x509.Certificate, id Identity) ([]*x509.Certificate, error) {
	v := chainViolation(fmt.Sprintf("%d certificates long", len(chains[0])), "leaf, issuing CA and root")
	for _, chain := range chains {
		switch {
		case len(chain) != 3:
		case strangeChain(chain) != "": // crypto/x509 passes over what it does not know
			v = chainViolation("with name constraints that hold "+strangeChain(chain), "DNS names, addresses, URIs and e-mail addresses, without minimum and maximum")
		case servesRole(chain[1], id):
			return chain, nil
		default:
			v = issuerViolation(chain[1], id)
		}
	}
	return nil, v
}

// strangeChain names what the name constraints in a chain hold that nobody checks, "" for nothing.
func strangeChain(chain []*x509.Certificate) string {
	for _, ca := range chain[1:] {
		if fault := strangeConstraint(ca); fault != "" {
			return fault
		}
	}
	return ""
}

// servesRole says whether the URI constraint of a CA lists the host of the role.
func servesRole(issuer *x509.Certificate, id Identity) bool {
	return slices.Contains(issuer.PermittedURIDomains, id.Role.Host(id.Network))
}

func issuerViolation(issuer *x509.Certificate, id Identity) *Violation {
	return &Violation{
		Rule: "role-issuer", Field: "certificate of " + id.String(),
		Got:  "issued by " + caOf(issuer, id.Network),
		Want: id.Role.CA() + " CA",
	}
}

// caOf names a CA by the roles it serves.
func caOf(issuer *x509.Certificate, network string) string {
	for _, role := range Roles() {
		if slices.Contains(issuer.PermittedURIDomains, role.Host(network)) {
			return role.CA() + " CA"
		}
	}
	return "a CA that serves no role (" + quote(issuer.Subject.CommonName) + ")"
}

// fits checks the use against what the leaf says of itself. Silence is no
// consent: crypto/x509 takes a leaf without extended key usages for every use.
func fits(leaf *x509.Certificate, use Use) *Violation {
	signs := leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0
	agrees := leaf.KeyUsage&x509.KeyUsageKeyAgreement != 0
	ok, want := true, ""
	switch use {
	case AnyUse:
	case ClientUse:
		ok, want = signs && slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageClientAuth), "digitalSignature and clientAuth"
	case ServerUse:
		ok, want = signs && slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth), "digitalSignature and serverAuth"
	case EncryptionUse:
		ok = agrees && !signs && len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) == 0
		want = "keyAgreement alone"
	default:
		ok, want = false, "a known use"
	}
	if ok {
		return nil
	}
	return &Violation{Rule: "eku", Field: "certificate for " + use.String(), Got: "for " + usages(leaf), Want: want}
}

// usages lists what a leaf says it is for.
func usages(leaf *x509.Certificate) string {
	var names []string
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature != 0 {
		names = append(names, digitalSignature)
	}
	if leaf.KeyUsage&x509.KeyUsageKeyAgreement != 0 {
		names = append(names, keyAgreement)
	}
	for _, usage := range leaf.ExtKeyUsage {
		names = append(names, usage.String())
	}
	return list(names)
}
