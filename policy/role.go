package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A Role is what a party is in the network. It is the first label of the host
// of the one URI SAN that every party certificate carries:
// spiffe://merchant.pay.example/shop1.
type Role string

// The roles of a network. Each is issued by exactly one issuing CA, see [Role.CA].
const (
	Consumer      Role = "consumer"
	Merchant      Role = "merchant"
	Gateway       Role = "gateway"
	Aggregator    Role = "aggregator"
	IssuingBank   Role = "issuing-bank"
	AcquiringBank Role = "acquiring-bank"
	Confirmer     Role = "confirmer"
	Clearing      Role = "clearing"
	Settlement    Role = "settlement"
	Wallet        Role = "wallet"
	Escrow        Role = "escrow"
	Terminal      Role = "terminal"
	Service       Role = "service"
	Operator      Role = "operator"
	Auditor       Role = "auditor"
)

// The names of the issuing CAs of a network. A CA issues for the roles that
// its URI name constraint lists, and for no other.
const (
	ConsumerCA = "consumer"
	MerchantCA = "merchant"
	GatewayCA  = "gateway"
	BankCA     = "bank"
	ServiceCA  = "service"
)

// CAs lists the issuing CAs of a network in the order in which they are shown.
func CAs() []string {
	return []string{ConsumerCA, MerchantCA, GatewayCA, BankCA, ServiceCA}
}

// Roles lists every role, grouped by issuing CA.
func Roles() []Role {
	return []Role{
		Consumer, Merchant, Gateway, Aggregator,
		IssuingBank, AcquiringBank, Confirmer, Clearing, Settlement, Wallet, Escrow, Terminal,
		Service, Operator, Auditor,
	}
}

// RolesOf lists the roles that the named issuing CA serves; it is empty for an unknown name.
func RolesOf(ca string) []Role {
	return slices.DeleteFunc(Roles(), func(r Role) bool { return r.CA() != ca })
}

// ParseRole returns the role with that name, or a *[Violation] that lists the known ones.
func ParseRole(s string) (Role, error) {
	if slices.Contains(Roles(), Role(s)) {
		return Role(s), nil
	}
	names := make([]string, 0, len(Roles()))
	for _, r := range Roles() {
		names = append(names, string(r))
	}
	return "", &Violation{
		Rule: "role-known", Field: "role", Got: fmt.Sprintf("%q", s),
		Want: "one of " + strings.Join(names, ", "),
	}
}

// CA returns the name of the issuing CA that serves the role, "" for an unknown role.
func (r Role) CA() string {
	switch r {
	case Consumer:
		return ConsumerCA
	case Merchant:
		return MerchantCA
	case Gateway, Aggregator:
		return GatewayCA
	case IssuingBank, AcquiringBank, Confirmer, Clearing, Settlement, Wallet, Escrow, Terminal:
		return BankCA
	case Service, Operator, Auditor:
		return ServiceCA
	}
	return ""
}

// Host returns the URI host that stands for the role in a network: merchant.pay.example.
func (r Role) Host(network string) string { return string(r) + "." + network }
