// Package problem turns errors into HTTP: the one place where an error becomes
// an application/problem+json document (RFC 9457), and back.
//
// Every document has a stable type URI, listed in docs/errors.md, a detail fit for the
// caller, and as instance the id under which the log has the request. An error that nothing
// maps is a 500 whose cause only the log has.
package problem
