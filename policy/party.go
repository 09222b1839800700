package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// State is where a party stands in the network.
type State string

// The states of a party. Only an active party is issued certificates.
const (
	Active    State = "active"
	Suspended State = "suspended"
	Closed    State = "closed"
)

// A Party is a registered subject: the record from which a certificate's names
// are written. Nothing in a certificate request can add to it.
type Party struct {
	ID        string       `json:"id"`                  // [a-z0-9][a-z0-9.-]{0,62}
	Role      Role         `json:"role"`                // what the party is in the network
	Name      string       `json:"name"`                // legal name, the O of the subject
	DNSNames  []string     `json:"dns,omitempty"`       // DNS names its servers may carry
	Addresses []netip.Addr `json:"addresses,omitempty"` // IP addresses its servers may carry
	Bank      string       `json:"bank,omitempty"`      // of a consumer: id of the bank that approves its enrollment
	State     State        `json:"state"`               // active, suspended, closed
	Created   time.Time    `json:"created"`             // when it was registered, UTC

	StatusNode bool `json:"status_node,omitempty"` // of a service: it may answer status questions for every issuing CA
}

// Check says whether the party can be registered in the network. The error is
// [Violations]. A consumer has no DNS names and no addresses, and no name of a
// party lies in the network's own domain unless the service CA serves its role.
func (p Party) Check(network string) error {
	vs := p.violations(network)
	if err := CheckPartyID(p.ID); err != nil {
		vs = append(ViolationsOf(err), vs...)
	}
	return vs.orNil()
}

// violations is every fault of the record but those of its id.
func (p Party) violations(network string) Violations {
	var vs Violations
	if err := CheckNetworkName(network); err != nil {
		vs = append(vs, ViolationsOf(err)...)
	}
	if _, err := ParseRole(string(p.Role)); err != nil {
		vs = append(vs, ViolationsOf(err)...)
	}
	if !nameFits(p.Name) {
		vs = append(vs, &Violation{
			Rule: "party-name", Field: "legal name", Got: quote(p.Name),
			Want: "1 to 64 printable characters without space at either end",
		})
	}
	if p.StatusNode && p.Role != Service {
		vs = append(vs, &Violation{Rule: "party-status-node", Field: "role of a status node", Got: quote(string(p.Role)), Want: string(Service)})
	}
	if !slices.Contains([]State{Active, Suspended, Closed}, p.State) {
		vs = append(vs, &Violation{
			Rule: "party-state", Field: "party state", Got: quote(string(p.State)), Want: "active, suspended or closed",
		})
	}
	if p.Bank != "" && (p.Role != Consumer || partyIDFault(p.Bank, false) != "") {
		vs = append(vs, &Violation{
			Rule: "party-bank", Field: "bank", Got: quote(p.Bank) + " of a " + string(p.Role), Want: "the id of a bank, and of consumers alone",
		})
	}
	return append(vs, p.serverNames(network)...)
}

// Banker says whether parties of the role hold accounts of consumers, and so may approve their enrollment.
func (r Role) Banker() bool { return r == IssuingBank || r == Wallet }

// nameFits says whether a legal name can be the O of a subject, of at most 64
// characters (RFC 5280 appendix A.1).
func nameFits(name string) bool {
	return name != "" && utf8.RuneCountInString(name) <= 64 && printable(name) && strings.TrimSpace(name) == name
}

func (p Party) serverNames(network string) Violations {
	var vs Violations
	if n := len(p.DNSNames) + len(p.Addresses); p.Role == Consumer && n > 0 {
		vs = append(vs, &Violation{
			Rule: "party-names", Field: "consumer", Got: fmt.Sprintf("a party with %d DNS names and addresses", n),
			Want: "none, consumers run no servers",
		})
	}
	for _, name := range p.DNSNames {
		switch fault := dnsFault(name); {
		case fault != "":
			vs = append(vs, &Violation{Rule: "party-dns", Field: "DNS name", Got: quote(name) + ", " + fault, Want: wantDNSName})
		case p.Role.CA() != ServiceCA && within(name, network):
			vs = append(vs, &Violation{
				Rule: "party-dns", Field: "DNS name", Got: quote(name) + ", in the network's own domain",
				Want: "a name outside " + network + ", which only its services may hold",
			})
		}
	}
	for _, addr := range p.Addresses {
		if !addr.IsValid() || addr.Zone() != "" || addr.IsUnspecified() {
			vs = append(vs, &Violation{
				Rule: "party-address", Field: "address", Got: quote(addr.String()), Want: "an IPv4 or IPv6 address of a host, without zone",
			})
		}
	}
	return vs
}
