package payment

import "fmt"

// A Code names why something was refused; docs/errors.md lists all of them.
type Code string

// The codes of refusals.
const (
	BadJSON           Code = "bad_json"             // not strictly the JSON that is wanted
	BadJWS            Code = "bad_jws"              // not a JWS as [Sign] makes it
	BadJWE            Code = "bad_jwe"              // not a JWE as [Seal] makes it, or not for this key
	BadSignature      Code = "bad_signature"        // the signature is of other bytes or another key
	BadRecipient      Code = "bad_recipient"        // sealed to a certificate that may not be sealed to
	BadAmount         Code = "bad_amount"           // no amount that can be paid
	AmountMismatch    Code = "amount_mismatch"      // two objects of a payment differ in the amount
	OIHMismatch       Code = "oih_mismatch"         // not the order that was signed
	PIHMismatch       Code = "pih_mismatch"         // not the instruction that was signed
	ConsumerMismatch  Code = "consumer_mismatch"    // not the consumer of the payment
	ApprovalMismatch  Code = "approval_mismatch"    // not the approval of this payment
	NotAddressedHere  Code = "not_addressed_here"   // names another reader, gateway or merchant
	OfferSuperseded   Code = "offer_superseded"     // there is a newer revision
	Expired           Code = "expired"              // its time is over
	ClockSkew         Code = "clock_skew"           // from the future
	MethodNotAllowed  Code = "method_not_allowed"   // an instrument that was not offered, or above its limit
	WrongRole         Code = "wrong_role"           // the signer or caller may not do this
	UnknownSigner     Code = "unknown_signer"       // no certificate with that thumbprint
	CertExpired       Code = "cert_expired"         // of the signer, caller or recipient
	CertNotValidYet   Code = "cert_not_valid_yet"   //
	CertRevoked       Code = "cert_revoked"         //
	UnknownIssuer     Code = "unknown_issuer"       // not from a CA of the network
	NameNotPermitted  Code = "name_not_permitted"   // from a CA that may not certify this role
	BadState          Code = "bad_state"            // the payment is not at that point
	ExceedsAuthorised Code = "exceeds_authorised"   // more than what is held
	AccountNotLinked  Code = "account_not_linked"   // the account is not the consumer's
	NoMatch           Code = "no_match"             // the confirmation code is another
	InvalidAccount    Code = "invalid_account"      // no account number, or an expired one: ISO 8583 response codes 14 and 54
	NotFound          Code = "not_found"            // nothing there, for this caller
	WrongKeyUsage     Code = "wrong_key_usage"      // a certificate for something else
	StatusUnknown     Code = "status_unknown"       // whether a certificate is revoked cannot be found out
	Unavailable       Code = "peer_unavailable"     // another party that is needed does not answer
	Conflict          Code = "idempotency_conflict" // the same operation with other content
	InFlight          Code = "idempotency_in_flight"
	KeyRequired       Code = "idempotency_key_required"
)

// A Refusal says why an object or an operation was refused.
type Refusal struct {
	Code  Code
	Field string // what the rule looked at: "offer.amount"
	Got   string // what was found there
	Want  string // what would be accepted
	Err   error  // the cause, may be nil
}

// Error renders the refusal on one line: `amount_mismatch: request.amount is 1.00 CNY, want 2.00 CNY`.
func (r *Refusal) Error() string {
	text := fmt.Sprintf("%s: %s is %s, want %s", r.Code, r.Field, r.Got, r.Want)
	if r.Err != nil {
		text += ": " + r.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse returns a *[Refusal].
func Refuse(code Code, field, got, want string) *Refusal {
	return &Refusal{Code: code, Field: field, Got: got, Want: want}
}

// quote shortens a text from outside for a refusal.
func quote(s string) string {
	const most = 80
	if len(s) > most {
		return fmt.Sprintf("%.*q…", most, s)
	}
	return fmt.Sprintf("%q", s)
}
