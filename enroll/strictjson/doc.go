// Package strictjson reads JSON in exactly one way, so that two readers of one document never understand it differently.
//
// Call [Unmarshal]. It reads what encoding/json reads, less everything on which readers disagree.
//
// # Refused
//
//   - a member name twice in one object (RFC 8259 section 4 leaves the outcome open)
//   - a member name that the target does not have, in that exact case
//   - anything but white space after the value
//   - arrays and objects nested deeper than [MaxDepth]
//   - numbers beyond the range of float64, such as 1e400 (RFC 7493 section 2.2)
//   - bytes that are not UTF-8, and escapes and characters that stand for lost text (RFC 7493 section 2.1)
//
// The error is an *[Error]. The package imports only the standard library.
package strictjson
