package ocsp

import (
	"context"
	"fmt"
	"time"
)

// A State is what is known of a certificate.
type State int

// The states of RFC 6960 section 2.2.
const (
	Unknown State = iota // the responder does not know the serial
	Good
	Revoked
)

// String returns good, revoked or unknown.
func (s State) String() string {
	switch s {
	case Good:
		return "good"
	case Revoked:
		return "revoked"
	}
	return "unknown"
}

// A Status is what a [Source] knows of a serial.
type Status struct {
	State     State
	Reason    int       // CRLReason, 0 for unspecified; of a revoked one
	RevokedAt time.Time // of a revoked one
	Since     time.Time // when the state began, zero if that is not known
}

// A Source is where a responder learns a status. The serial is big endian
// without leading zero octets. A Source is never asked about a foreign issuer;
// an error makes the answer tryLater. It is called concurrently.
type Source interface {
	Status(ctx context.Context, issuer string, serial []byte) (Status, error)
}

// reasonCertificateHold is the one reason that can be taken back.
const reasonCertificateHold = 6

// reasonNames are the reasons of RFC 5280 section 5.3.1.
func reasonName(reason int) string {
	names := []string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
		"cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
	}
	if reason < 0 || reason >= len(names) || names[reason] == "" {
		return fmt.Sprintf("reason %d", reason)
	}
	return names[reason]
}

// A Verdict is what a relying party learned of a certificate.
type Verdict struct {
	State      State
	Source     string    // "ocsp", "crl", "staple"; "none" where nothing answered and that was tolerated
	ProducedAt time.Time // when the answer was signed
	ThisUpdate time.Time // when the status was known to be right
	NextUpdate time.Time // when the answer ends
	CheckedAt  time.Time // when the relying party verified it
	RevokedAt  time.Time // of a revoked certificate
	Reason     int       // of a revoked certificate
}

// ReasonName returns the name of the revocation reason in RFC 5280, "" unless revoked.
func (v Verdict) ReasonName() string {
	if v.State != Revoked {
		return ""
	}
	return reasonName(v.Reason)
}

// A RevokedError refuses a revoked certificate.
type RevokedError struct {
	Serial  string // hexadecimal
	Verdict Verdict
}

// Error says since when, why, and who said so.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s is revoked since %s for %s, says %s", e.Serial,
		e.Verdict.RevokedAt.UTC().Format(time.RFC3339), reasonName(e.Verdict.Reason), e.Verdict.Source)
}

// An UnknownError refuses a certificate of which nothing could be learned, or
// whose issuer never issued it.
type UnknownError struct {
	Serial string // hexadecimal
	Err    error  // what was tried
}

// Error says what was tried.
func (e *UnknownError) Error() string {
	return fmt.Sprintf("status of certificate %s is unknown: %v", e.Serial, e.Err)
}

// Unwrap returns what was tried.
func (e *UnknownError) Unwrap() error { return e.Err }
