// Package problem is the one place where an error becomes an HTTP answer, and where such an answer becomes an error again.
//
// # What to call first
//
// A server makes one [Writer] and wraps its handlers, which return errors, with [Handler].
// An error that is an *[Error], carries policy violations, or is known to a
// [Mapper] tells the caller what was wrong. Every other error is status 500,
// "internal error", and its cause goes to the log alone.
//
// A client calls [Read] on each response; the error is a *[Problem].
//
// # Standards
//
// RFC 9457. The type of every document is [TypeBase] and a name that never
// changes; instance is the urn:uuid of the request, also in the X-Request-Id header.
package problem
