package cli

import (
	"errors"
	"fmt"
)

// The exit codes of payca.
const (
	ExitDone        = 0 // done, or nothing to do
	ExitFailure     = 1 // it could not be done
	ExitUsage       = 2 // the command line or the environment is wrong
	ExitDue         = 3 // a certificate is due for renewal, or something waits for approvers
	ExitRefused     = 4 // the CA refused
	ExitInvalid     = 5 // not valid: expired, revoked, wrong role
	ExitUnreachable = 6 // the CA cannot be reached
)

// An exitError is an error that chooses the exit code and may say what to do next.
type exitError struct {
	code int
	err  error
	hint string // "" for none
}

// Error is the text of the cause.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *exitError) Unwrap() error { return e.err }

// Code returns the exit code for err: 0 for nil, the code of the error if it carries one, else 1.
func Code(err error) int {
	if err == nil {
		return ExitDone
	}
	if e, ok := errors.AsType[*exitError](err); ok {
		return e.code
	}
	return ExitFailure
}

// usageErrorf is an error in how the command was called.
func usageErrorf(format string, args ...any) error {
	return &exitError{code: ExitUsage, err: fmt.Errorf(format, args...)}
}

// withHint adds what to do next, keeping the exit code of err.
func withHint(err error, hint string) error {
	return &exitError{code: Code(err), err: err, hint: hint}
}
