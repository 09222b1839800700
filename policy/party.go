package policy

import (
	"net/netip"
	"time"
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
	State     State        `json:"state"`               // active, suspended, closed
	Created   time.Time    `json:"created"`             // when it was registered, UTC
}
