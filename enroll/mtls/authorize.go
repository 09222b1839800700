package mtls

import (
	"slices"
	"strings"

	"github.com/payca/payca/policy"
)

// An Authorizer says whether a member of the network may take part in what
// the connection is for: nil, or why not. It is called only with a
// peer whose chain was verified, and concurrently. Other calls share the peer: it must not be modified.
type Authorizer func(peer *policy.Peer) error

// AuthorizeRole accepts every party in one of the roles. The error is a
// *policy.Violation with the rule "authorized-role". Without roles it accepts nobody.
func AuthorizeRole(roles ...policy.Role) Authorizer {
	roles = slices.Clone(roles)
	return func(peer *policy.Peer) error {
		if slices.Contains(roles, peer.Identity.Role) {
			return nil
		}
		return &policy.Violation{Rule: "authorized-role", Field: "peer " + peer.Identity.String(), Got: string(peer.Identity.Role), Want: oneOf(roles)}
	}
}

// AuthorizeParty accepts the parties with these ids, in any role; combine it with
// [AuthorizeRole] by a function of your own. The error is a
// *policy.Violation with the rule "authorized-party". Without ids it accepts nobody.
func AuthorizeParty(ids ...string) Authorizer {
	ids = slices.Clone(ids)
	return func(peer *policy.Peer) error {
		if slices.Contains(ids, peer.Identity.Party) {
			return nil
		}
		return &policy.Violation{Rule: "authorized-party", Field: "peer " + peer.Identity.String(), Got: peer.Identity.Party, Want: oneOf(ids)}
	}
}

func oneOf[T ~string](list []T) string {
	if len(list) == 0 {
		return "nobody"
	}
	names := make([]string, len(list))
	for i, name := range list {
		names[i] = string(name)
	}
	return strings.Join(names, " or ")
}
