package agent

import (
	"errors"
	"fmt"
	"slices"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// An access is one endpoint of an agent, and who may call it.
type access struct {
	pattern string // method and pattern of http.ServeMux
	callers []policy.Role
}

// everybody is every party that can have to do with a payment.
func everybody() []policy.Role {
	return slices.DeleteFunc(policy.Roles(), func(r policy.Role) bool { return r.CA() == policy.ServiceCA && r != policy.Auditor })
}

// accessOf is what an agent in the role serves, and to whom, unless its configuration says something else.
func accessOf(role policy.Role) []access {
	merchants, consumers := []policy.Role{policy.Merchant}, []policy.Role{policy.Consumer}
	table := []access{
		{"GET /trace/{id}", everybody()}, // who takes part, and auditors; to others it does not exist
		{"GET /healthz", everybody()},
	}
	bank := func(callers []policy.Role) []access {
		return []access{
			{"POST /authorizations", callers}, {"GET /inquiries/{id}", callers}, {"POST /transfers", callers}, {"POST /voids", callers},
		}
	}
	switch {
	case role == policy.Merchant:
		return append(table, []access{
			{"GET /catalogue", consumers},
			{"POST /orders", consumers},
			{"GET /orders/{id}", consumers},
			{"POST /orders/{id}/amend", consumers},
			{"POST /orders/{id}/accept", consumers},
			{"POST /orders/{id}/delivered", consumers},
			{"POST /results", payment.GatewayRoles()},
		}...)
	case Is(role, payment.GatewayRoles()):
		both := []policy.Role{policy.Consumer, policy.Merchant}
		return append(table, []access{
			{"POST /payments", merchants},
			{"GET /payments/{id}", both},
			{"POST /payments/{id}/instruction", both},
			{"POST /payments/{id}/confirmed", []policy.Role{policy.Confirmer}},
			{"POST /payments/{id}/capture", merchants},
			{"POST /payments/{id}/void", merchants},
		}...)
	case Is(role, payment.AcquiringRoles()):
		return append(append(table, bank(payment.GatewayRoles())...), access{"POST /merchants", merchants}, access{"GET /balance", merchants})
	case Is(role, payment.IssuingRoles()):
		return append(append(table, bank(payment.AcquiringRoles())...), access{"POST /links", consumers}, access{"GET /balance", consumers})
	case role == policy.Confirmer:
		return append(table, []access{
			{"POST /confirmations", payment.GatewayRoles()},
			{"GET /confirmations", consumers},
			{"POST /confirmations/{id}/answer", []policy.Role{policy.Consumer, policy.Terminal}},
		}...)
	}
	return table
}

// DefaultAccess is who may call what of an agent in the role, unless [Config.Access] says something else.
func DefaultAccess(role policy.Role) []policy.Access {
	var all []policy.Access
	for _, e := range accessOf(role) {
		for _, caller := range e.callers {
			i := slices.IndexFunc(all, func(a policy.Access) bool { return a.Role == string(caller) })
			if i < 0 {
				i, all = len(all), append(all, policy.Access{Role: string(caller)})
			}
			all[i].Allow = append(all[i].Allow, e.pattern)
		}
	}
	return all
}

// compileAccess is who may call what: the table of the role, with the entries given in the place of those for the same caller. The
// error joins all that is wrong with these, each with its place in the list.
func compileAccess(role policy.Role, given []policy.Access) (*policy.Endpoints, error) {
	var exist []policy.Endpoint
	for _, e := range accessOf(role) {
		exist = append(exist, policy.Endpoint{Pattern: e.pattern})
	}
	_, faults := policy.NewEndpoints(given, exist)
	var errs []error
	for _, fault := range faults {
		errs = append(errs, fmt.Errorf("endpoints[%d].%s: %w", fault.Item, fault.Key, fault))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	all := slices.DeleteFunc(DefaultAccess(role), func(a policy.Access) bool {
		return slices.ContainsFunc(given, func(g policy.Access) bool { return g.Role == a.Role })
	})
	endpoints, faults := policy.NewEndpoints(slices.Concat(all, given), exist)
	if len(faults) > 0 { // the table of the role is wrong
		return nil, faults[0]
	}
	return endpoints, nil
}
