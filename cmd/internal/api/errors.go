package api

import (
	"errors"
	"net/http"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/problem"
)

// MapError is the problem.Mapper for the errors of package ca. It returns nil
// for what it does not know.
func MapError(err error) *problem.Error {
	var used *ca.TokenUsedError
	var cancelled *ca.TokenCancelledError
	var revoked *ca.RevokedError
	var free *ca.NotHeldError
	var outside *audit.RangeError
	var settled *ca.RequestSettledError
	switch {
	case errors.As(err, &outside):
		return &problem.Error{Status: http.StatusBadRequest, Name: "bad-parameter", Detail: outside.Error(), Err: err}
	case errors.As(err, &used):
		return &problem.Error{Status: http.StatusForbidden, Name: "token-used", Detail: used.Error(), Err: err}
	case errors.As(err, &cancelled):
		return &problem.Error{Status: http.StatusForbidden, Name: "token-cancelled", Detail: cancelled.Error(), Err: err}
	case errors.As(err, &revoked):
		return &problem.Error{Status: http.StatusConflict, Name: "already-revoked", Detail: revoked.Error(), Err: err}
	case errors.As(err, &free):
		return &problem.Error{Status: http.StatusConflict, Name: "not-held", Detail: free.Error(), Err: err}
	case errors.As(err, &settled):
		return &problem.Error{Status: http.StatusConflict, Name: "request-settled", Detail: settled.Error(), Err: err}
	case errors.Is(err, ca.ErrNotFound):
		return &problem.Error{Status: http.StatusNotFound, Name: "not-found", Detail: err.Error(), Err: err}
	case errors.Is(err, ca.ErrExists):
		return &problem.Error{Status: http.StatusConflict, Name: "exists", Detail: err.Error(), Err: err}
	}
	return nil
}

// decode reads a strict JSON body.
func decode(r *http.Request, v any) error {
	return problem.DecodeJSON(r, bodyLimit, v)
}
