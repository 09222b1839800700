package policy

import (
	"errors"
	"strings"
)

// A Violation is one refusal: the rule that was broken, where, what was found
// and what would have been right. It is made to be shown to the requester.
type Violation struct {
	Rule  string `json:"rule"`  // stable name, lower case with hyphens: "key-size"
	Field string `json:"field"` // what the rule looked at: "csr.publicKey"
	Got   string `json:"got"`   // what was found there
	Want  string `json:"want"`  // what would be accepted
}

// Error renders the violation on one line: `key-size: csr.publicKey is RSA-1024, want RSA-3072 or P-256`.
func (v *Violation) Error() string {
	return v.Rule + ": " + v.Field + " is " + v.Got + ", want " + v.Want
}

// Violations is every reason for which one request was refused, in the order
// in which the rules were tried. errors.As finds the first *[Violation].
type Violations []*Violation

// Error renders all violations, separated by "; ".
func (vs Violations) Error() string {
	parts := make([]string, len(vs))
	for i, v := range vs {
		parts[i] = v.Error()
	}
	return strings.Join(parts, "; ")
}

// Unwrap makes each violation visible to errors.Is and errors.As.
func (vs Violations) Unwrap() []error {
	errs := make([]error, len(vs))
	for i, v := range vs {
		errs[i] = v
	}
	return errs
}

// orNil returns the violations as an error, nil when there are none.
func (vs Violations) orNil() error {
	if len(vs) == 0 {
		return nil
	}
	return vs
}

// ViolationsOf returns the violations that err carries, nil when it carries none.
func ViolationsOf(err error) Violations {
	var vs Violations
	if errors.As(err, &vs) {
		return vs
	}
	var v *Violation
	if errors.As(err, &v) {
		return Violations{v}
	}
	return nil
}
