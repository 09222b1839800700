package agent

import (
	"errors"
	"net/http"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/ledger"
)

// statuses gives each code its HTTP status.
var statuses = map[payment.Code]int{
	payment.BadJSON: http.StatusBadRequest, payment.BadJWS: http.StatusBadRequest, payment.BadJWE: http.StatusBadRequest,
	payment.BadAmount: http.StatusBadRequest, payment.ClockSkew: http.StatusBadRequest,

	payment.BadSignature: http.StatusForbidden, payment.BadRecipient: http.StatusForbidden, payment.WrongRole: http.StatusForbidden,
	payment.UnknownSigner: http.StatusForbidden, payment.CertExpired: http.StatusForbidden, payment.CertNotValidYet: http.StatusForbidden,
	payment.CertRevoked: http.StatusForbidden, payment.UnknownIssuer: http.StatusForbidden, payment.NameNotPermitted: http.StatusForbidden,
	payment.WrongKeyUsage: http.StatusForbidden, payment.NotAddressedHere: http.StatusForbidden, payment.ConsumerMismatch: http.StatusForbidden,
	payment.AccountNotLinked: http.StatusForbidden,

	payment.AmountMismatch: http.StatusUnprocessableEntity, payment.OIHMismatch: http.StatusUnprocessableEntity,
	payment.PIHMismatch: http.StatusUnprocessableEntity, payment.ApprovalMismatch: http.StatusUnprocessableEntity,
	payment.MethodNotAllowed: http.StatusUnprocessableEntity, payment.NoMatch: http.StatusUnprocessableEntity,
	payment.InvalidAccount: http.StatusUnprocessableEntity, payment.Conflict: http.StatusUnprocessableEntity,

	payment.OfferSuperseded: http.StatusConflict, payment.Expired: http.StatusConflict, payment.BadState: http.StatusConflict,
	payment.ExceedsAuthorised: http.StatusConflict, payment.InFlight: http.StatusConflict,

	payment.NotFound: http.StatusNotFound, payment.KeyRequired: http.StatusBadRequest,
	payment.StatusUnknown: http.StatusServiceUnavailable, payment.Unavailable: http.StatusServiceUnavailable,
}

// mapError says how the errors of payment are answered.
func mapError(err error) *problem.Error {
	if r, ok := errors.AsType[*payment.Refusal](err); ok {
		status := statuses[r.Code]
		if status == 0 {
			status = http.StatusUnprocessableEntity
		}
		detail := r.Error()
		if r.Code == payment.Unavailable || r.Code == payment.StatusUnknown { // who is missing is the caller's business, at what address is not
			detail = payment.Refuse(r.Code, r.Field, r.Got, r.Want).Error()
		}
		return &problem.Error{Status: status, Name: string(r.Code), Detail: detail, Err: err}
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok { // of a peer that had to be asked
		if p.Name() == string(payment.Unavailable) || p.Name() == string(payment.StatusUnknown) {
			return &problem.Error{Status: p.Status, Name: p.Name(), Detail: p.Error(), Err: err}
		}
		if p.Status >= http.StatusInternalServerError || p.Name() == "" {
			return &problem.Error{Status: http.StatusServiceUnavailable, Name: string(payment.Unavailable), Detail: "another party that is needed failed; ask again", Err: err}
		}
		return &problem.Error{Status: p.Status, Name: p.Name(), Detail: p.Error(), Err: err}
	}
	refuse := func(code payment.Code) *problem.Error {
		return &problem.Error{Status: statuses[code], Name: string(code), Detail: err.Error(), Err: err}
	}
	var conflict *ledger.ConflictError
	var state *ledger.HoldStateError
	var exceeds *ledger.ExceedsHoldError
	switch {
	case errors.As(err, &exceeds):
		return refuse(payment.ExceedsAuthorised)
	case errors.As(err, &conflict):
		return refuse(payment.Conflict)
	case errors.As(err, &state):
		return refuse(payment.BadState)
	case errors.Is(err, ErrNotFound), errors.Is(err, ledger.ErrNotFound):
		return &problem.Error{Status: http.StatusNotFound, Name: string(payment.NotFound), Detail: "there is nothing of that name for the caller", Err: err}
	}
	return nil
}

// CodeOf returns the code of a refusal, of this agent or of a peer's answer; "" if err is none.
func CodeOf(err error) payment.Code {
	if r, ok := errors.AsType[*payment.Refusal](err); ok {
		return r.Code
	}
	if p, ok := errors.AsType[*problem.Problem](err); ok {
		return payment.Code(p.Name())
	}
	if e := mapError(err); e != nil {
		return payment.Code(e.Name)
	}
	return ""
}

// Final reports whether err is an answer that will not change when the same is asked again: a refusal by a peer, and
// none that time or a look at the directory cures.
func Final(err error) bool {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok || p.Status < 400 || p.Status >= 500 || p.Name() == "" {
		return false
	}
	switch payment.Code(p.Name()) {
	case payment.InFlight, payment.ClockSkew, payment.CertNotValidYet, payment.UnknownSigner:
		return false
	}
	return true
}

// Unusable marks err, for which the reply of a peer cannot be used. It is no refusal of what the caller asks for: the
// peer may have done it.
func Unusable(err error, peer string) error {
	return &payment.Refusal{Code: payment.Unavailable, Field: "reply of " + peer, Got: "one that cannot be used", Want: "another; ask again", Err: err}
}
