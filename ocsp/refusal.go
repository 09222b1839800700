package ocsp

import (
	"crypto/x509"
	"fmt"
	"time"
)

// A RevokedError refuses a certificate that is revoked or on hold.
type RevokedError struct {
	Serial string    // hexadecimal
	At     time.Time // since when
	Reason int       // reason code of RFC 5280
	Source string    // who said so: as in Verdict
}

// Error says since when and why.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s is revoked since %s for %s, says %s",
		e.Serial, e.At.UTC().Format(time.RFC3339), reasonName(e.Reason), e.Source)
}

// OnHold reports whether the certificate may become good again (certificateHold).
func (e *RevokedError) OnHold() bool { return e.Reason == reasonHold }

// An UnknownError refuses a certificate that nothing vouches for.
type UnknownError struct {
	Serial string // hexadecimal
	Denied bool   // its own responder says, signed, that it does not know it
	Err    error  // what was tried, joined; nil if there was nothing to try
}

// Error says what was tried.
func (e *UnknownError) Error() string {
	switch {
	case e.Denied:
		return "certificate " + e.Serial + " is unknown to its issuer's OCSP responder: want one that was issued"
	case e.Err == nil:
		return "certificate " + e.Serial + " names no OCSP responder and no CRL: want at least one"
	}
	return fmt.Sprintf("status of certificate %s is not known: %v", e.Serial, e.Err)
}

// Unwrap returns what was tried.
func (e *UnknownError) Unwrap() error { return e.Err }

// refusal returns the error that goes with a verdict of OCSP or a CRL.
func (v Verdict) refusal(leaf *x509.Certificate) error {
	switch v.State {
	case Good:
		return nil
	case Revoked:
		return &RevokedError{Serial: leaf.SerialNumber.Text(16), At: v.RevokedAt, Reason: v.Reason, Source: v.Source}
	}
	return &UnknownError{Serial: leaf.SerialNumber.Text(16), Denied: true}
}
