package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// The exit statuses.
const (
	exitDone        = 0 // done, or nothing to do
	exitFailure     = 1
	exitUsage       = 2
	exitDue         = 3 // due for renewal
	exitRefused     = 4 // refused by the CA
	exitInvalid     = 5 // expired, revoked, wrong role
	exitUnreachable = 6 // CA unreachable
)

// An exitError ends the program with a status of its own.
type exitError struct {
	code int
	err  error  // nil: the result said it all
	hint string // what to do, "" for none
}

// Error returns the error's own words.
func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

// Unwrap makes the cause visible.
func (e *exitError) Unwrap() error { return e.err }

func fail(code int, err error, hint string) error { return &exitError{code: code, err: err, hint: hint} }

func usageError(format string, args ...any) error {
	return fail(exitUsage, fmt.Errorf(format, args...), "")
}

// silent ends with a status after the result said why.
func silent(code int) error { return &exitError{code: code} }

// explain gives an error from the CA or on the way to it its exit status and hint.
func explain(err error) error {
	var done *exitError
	if err == nil || errors.As(err, &done) {
		return err
	}
	var refusal *problem.Problem
	var call *url.Error
	var network *net.OpError
	switch {
	case errors.As(err, &refusal):
		if refusal.Status >= 500 {
			return fail(exitFailure, err, "the CA's log has the cause, under "+refusal.Instance)
		}
		return fail(exitRefused, err, hintFor(refusal))
	case errors.As(err, new(*ocsp.RevokedError)), errors.As(err, new(*ocsp.UnknownError)), policy.ViolationsOf(err) != nil:
		return fail(exitInvalid, err, "")
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.As(err, &call) && call.Timeout():
		return fail(exitUnreachable, err, "is the CA running? start it with payca serve")
	}
	return err
}

// hintFor says what to do about a refusal.
func hintFor(p *problem.Problem) string {
	switch p.Name() {
	case "token-used", "token-expired", "token-unknown":
		return "ask for a new one: payca token create PARTY"
	case "exists":
		return "look at it: payca party show ID"
	case "wrong-role":
		return "operators may do this; --dir names the directory with the operator's identity"
	}
	return ""
}

// report prints an error as people want it and returns the exit status.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitDone
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{code: exitFailure, err: err}
	}
	if e.err != nil {
		fmt.Fprintf(stderr, "payca: error: %v\n", err)
	}
	if e.hint != "" {
		fmt.Fprintf(stderr, "payca: hint: %s\n", e.hint)
	}
	return e.code
}
