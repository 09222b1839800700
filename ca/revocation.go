package ca

import (
	"fmt"
	"time"
)

// A Reason is a CRL reason code (RFC 5280 section 5.3.1). 7 is not used.
type Reason uint8

// The reasons of RFC 5280.
const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	CertificateHold      Reason = 6
	PrivilegeWithdrawn   Reason = 9
	AACompromise         Reason = 10
)

var reasonNames = map[Reason]string{
	Unspecified: "unspecified", KeyCompromise: "keyCompromise", CACompromise: "cACompromise",
	AffiliationChanged: "affiliationChanged", Superseded: "superseded",
	CessationOfOperation: "cessationOfOperation", CertificateHold: "certificateHold",
	PrivilegeWithdrawn: "privilegeWithdrawn", AACompromise: "aACompromise",
}

// String returns the name of the reason in RFC 5280.
func (r Reason) String() string {
	if name, ok := reasonNames[r]; ok {
		return name
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// ParseReason reads the name of a reason, exactly as RFC 5280 writes it.
func ParseReason(name string) (Reason, error) {
	for r, n := range reasonNames {
		if n == name {
			return r, nil
		}
	}
	return 0, fmt.Errorf("reason %q: want unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation or privilegeWithdrawn", name)
}

// MarshalText writes the name.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads the name.
func (r *Reason) UnmarshalText(text []byte) error {
	parsed, err := ParseReason(string(text))
	if err != nil {
		return err
	}
	*r = parsed
	return nil
}

// A Revocation says that a certificate is not to be trusted any more.
type Revocation struct {
	Serial   Serial    `json:"serial"`
	Issuer   string    `json:"issuer"`    // name of the issuing CA
	Reason   Reason    `json:"reason"`    //
	At       time.Time `json:"at"`        // when it was revoked, UTC, whole seconds
	NotAfter time.Time `json:"not_after"` // when the certificate expires
	By       string    `json:"by"`        // on whose word
	// Invalidity is since when the key is suspected (RFC 5280 section 5.3.2), UTC, whole seconds; zero if not known.
	Invalidity time.Time `json:"invalidity,omitzero"`
	// Cause is "suspension" for the hold of a certificate whose party is suspended.
	Cause string `json:"cause,omitempty"`
	// Shard is that of the certificate, as in [Record]; AnyShard for one that nobody knows.
	Shard int `json:"shard,omitempty"`
}

// AnyShard is the shard of a certificate that the store does not know: every shard of the issuer lists it.
const AnyShard = -1

// CheckRevocation says whether next may replace what stands (nil: nothing).
// A final revocation stays; only keyCompromise may take its place, and never with an earlier
// date. A hold may become final.
func CheckRevocation(stands *Revocation, next Revocation) error {
	if _, ok := reasonNames[next.Reason]; !ok {
		return fmt.Errorf("revoking %s: %s is not a reason of RFC 5280", next.Serial, next.Reason)
	}
	if stands == nil {
		return nil
	}
	if next.At.Before(stands.At) {
		return &RevokedError{Revocation: *stands, Want: "a date that is not earlier"}
	}
	if stands.Reason == CertificateHold && next.Reason != CertificateHold {
		return nil
	}
	if next.Reason == KeyCompromise && stands.Reason != KeyCompromise {
		return nil
	}
	if stands.Reason == CertificateHold {
		return &RevokedError{Revocation: *stands, Want: "a reason that is final: the hold stands"}
	}
	return &RevokedError{Revocation: *stands, Want: "keyCompromise, the only reason that may replace another"}
}

// CheckRelease says whether what stands (nil: nothing) is a hold, which alone can be released.
func CheckRelease(serial Serial, stands *Revocation) error {
	switch {
	case stands == nil:
		return &NotHeldError{Serial: serial}
	case stands.Reason != CertificateHold:
		return &RevokedError{Revocation: *stands, Want: "one that is on hold: a final revocation stays"}
	}
	return nil
}

// A NotHeldError refuses to release a certificate that is good.
type NotHeldError struct{ Serial Serial }

// Error says which certificate it is.
func (e *NotHeldError) Error() string {
	return fmt.Sprintf("certificate %s is good, want one that is on hold", e.Serial)
}

// A RevokedError says that the certificate is revoked already.
type RevokedError struct {
	Revocation Revocation // what stands
	Want       string     // what would be accepted
}

// Error says since when and why it is revoked.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s is revoked since %s for %s, want %s",
		e.Revocation.Serial, e.Revocation.At.UTC().Format(time.RFC3339), e.Revocation.Reason, e.Want)
}
