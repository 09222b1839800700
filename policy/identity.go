package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"net/url"
	"strings"
)

// NetworkParty is the id of the network's own service party, in whose name
// the CA's servers hold certificates. Nobody can register it.
const NetworkParty = "ca"

// An Identity says who a certificate is: one party, in one role, of one network.
type Identity struct {
	Network string // pay.example
	Role    Role   // the first label of the URI host
	Party   string // the party id
}

// URI returns the URI SAN that stands for the identity: spiffe://ROLE.NETWORK/PARTY.
func (id Identity) URI() *url.URL {
	return &url.URL{Scheme: "spiffe", Host: id.Role.Host(id.Network), Path: "/" + id.Party}
}

// String returns the text of the URI.
func (id Identity) String() string { return id.URI().String() }

// ParseIdentity reads a URI of the exact form spiffe://ROLE.NETWORK/PARTY,
// with a known role and without port, user, query, fragment or escapes. The error is a
// *[Violation]: "uri-form", or "role-known" for a host that stands for no role.
//
// A *url.URL no longer shows an empty fragment or an upper-case scheme;
// [IdentityOf] refuses these too.
func ParseIdentity(u *url.URL, network string) (Identity, error) {
	if u == nil {
		return Identity{}, uriForm("", network)
	}
	return parseIdentity(u.String(), u.Host, network)
}

// parseIdentity finds the role in the host, and accepts the text if it is
// exactly scheme, host and the id of a party, whose characters need no escapes.
func parseIdentity(text, host, network string) (Identity, error) {
	if err := CheckNetworkName(network); err != nil {
		return Identity{}, err
	}
	name, ours := strings.CutSuffix(host, "."+network)
	if !ours {
		return Identity{}, uriForm(text, network)
	}
	role := Role(name)
	if role.CA() == "" {
		return Identity{}, &Violation{
			Rule: "role-known", Field: "URI", Got: quote(text) + ", whose host stands for no role",
			Want: "a host ROLE." + network + " with a known role",
		}
	}
	party, found := strings.CutPrefix(text, "spiffe://"+host+"/")
	if !found || partyIDFault(party, role == Service) != "" {
		return Identity{}, uriForm(text, network)
	}
	return Identity{Network: network, Role: role, Party: party}, nil
}

func uriForm(text, network string) *Violation {
	return &Violation{Rule: "uri-form", Field: "URI", Got: quote(text), Want: "exactly spiffe://ROLE." + network + "/PARTY"}
}

// IdentityOf reads the identity of a parsed certificate, which must hold exactly one
// URI SAN. It looks at the names only: use [Trust.Identify] to know whether to
// believe them. The error is a *[Violation]: "uri-single", "uri-form" or "role-known".
func IdentityOf(cert *x509.Certificate, network string) (Identity, error) {
	texts, err := uriTexts(cert)
	if err != nil {
		return Identity{}, err
	}
	if len(texts) != 1 {
		return Identity{}, &Violation{
			Rule: "uri-single", Field: "subjectAltName", Got: fmt.Sprintf("%d URIs", len(texts)),
			Want: "exactly one, of the form spiffe://ROLE." + network + "/PARTY",
		}
	}
	u, err := url.Parse(texts[0])
	if err != nil {
		return Identity{}, uriForm(texts[0], network)
	}
	return parseIdentity(texts[0], u.Host, network)
}

// uriTexts returns the URI SANs of a certificate as they are written there.
func uriTexts(cert *x509.Certificate) ([]string, error) {
	var texts []string
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidSubjectAltName) {
			continue
		}
		err := eachName(ext.Value, func(kind int, data []byte) {
			if kind == sanURI {
				texts = append(texts, string(data))
			}
		})
		if err != nil {
			return nil, &Violation{Rule: "uri-single", Field: "subjectAltName", Got: "malformed", Want: "a sequence of names"}
		}
	}
	return texts, nil
}

// CheckPartyID accepts [a-z0-9][a-z0-9.-]{0,62}, except [NetworkParty], which
// is reserved. The error is a *[Violation].
func CheckPartyID(id string) error {
	if fault := partyIDFault(id, false); fault != "" {
		return &Violation{
			Rule: "party-id", Field: "party id", Got: quote(id) + ", " + fault,
			Want: "1 to 63 lower-case letters, digits, dots and hyphens, the first a letter or digit",
		}
	}
	return nil
}

func partyIDFault(id string, allowNetwork bool) string {
	switch {
	case id == "":
		return "which is empty"
	case len(id) > 63:
		return fmt.Sprintf("which has %d characters", len(id))
	case id[0] == '.' || id[0] == '-':
		return "which starts with a dot or hyphen"
	case id == NetworkParty && !allowNetwork:
		return "which is reserved for the network itself"
	}
	for _, r := range id {
		if !('a' <= r && r <= 'z' || '0' <= r && r <= '9' || r == '.' || r == '-') {
			return fmt.Sprintf("which has the character %q", r)
		}
	}
	return ""
}

// CheckNetworkName accepts a lower-case DNS name of one label or more and of
// at most 64 characters, the most that an organization name in a subject may
// have (RFC 5280 appendix A.1). The error is a *[Violation].
func CheckNetworkName(name string) error {
	fault := dnsFault(name)
	if fault == "" && len(name) > 64 {
		fault = fmt.Sprintf("which has %d characters", len(name))
	}
	if fault != "" {
		return &Violation{
			Rule: "network-name", Field: "network", Got: quote(name) + ", " + fault,
			Want: "a lower-case DNS name of at most 64 characters",
		}
	}
	return nil
}

var (
	oidSubjectAltName   = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidSubjectKeyID     = asn1.ObjectIdentifier{2, 5, 29, 14}
	oidNameConstraints  = asn1.ObjectIdentifier{2, 5, 29, 30}
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}
	oidAnyExtKeyUsage   = asn1.ObjectIdentifier{2, 5, 29, 37, 0}
	oidOCSPSigning      = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 9}
)
