package ocsp

import (
	"context"
	"fmt"
	"time"
)

// A State is what is known of a certificate. The zero State is Unknown.
type State int

// The states of RFC 6960 section 2.2.
const (
	Unknown State = iota
	Good
	Revoked
)

// String returns the name of the state, in lower case.
func (s State) String() string {
	switch s {
	case Unknown:
		return "unknown"
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	}
	return fmt.Sprintf("state(%d)", int(s))
}

// The reason codes of RFC 5280 section 5.3.1 that this package treats apart.
const (
	reasonHold          = 6
	reasonUnused        = 7
	reasonRemoveFromCRL = 8
	reasonLast          = 10
)

// checkReason refuses a reason that no complete list and no answer may carry.
func checkReason(reason int) error {
	if reason < 0 || reason > reasonLast || reason == reasonUnused || reason == reasonRemoveFromCRL {
		return fmt.Errorf("reason %d: want 0 to 6, 9 or 10 of RFC 5280 section 5.3.1", reason)
	}
	return nil
}

// Status is what a [Source] knows of one serial.
type Status struct {
	State     State
	Reason    int       // reason code of RFC 5280, when revoked
	RevokedAt time.Time // when revoked
	Since     time.Time // when this status began, zero if not known

	Invalidity time.Time // since when the key is suspected, when revoked; zero if not known
}

// A Source is where a responder learns a status.
//
// Status is asked with the name of one of the responder's issuers and the
// magnitude of the serial, big endian, without leading zeros, 1 to 20 octets. A serial
// that the issuer never issued is Unknown without an error. An error makes
// the answer tryLater, never good. A change that a caller of [Responder.Drop] made
// must be visible before Drop is called. Status is called concurrently.
type Source interface {
	Status(ctx context.Context, issuer string, serial []byte) (Status, error)
}
