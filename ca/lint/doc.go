// Package lint reads a certificate before it is signed and says what is wrong with it.
//
// Call [New] and give the result to ca.Config. It runs the lints of zlint that check RFC 5280, 5480,
// 5891, 8813 and 3279, those of its community set, and our own, which start with payca_. Every finding
// refuses, also what zlint calls a warning, because a private CA makes nothing for which one would have to be
// forgiven; the lints that do not fit a private CA are left out, each with its reason ([Excluded]).
//
// # Guarantees
//
// The linter keeps nothing and is safe for concurrent use. Its error is [Findings]: the name of each
// lint, and what it found.
//
// # Standards
//
// RFC 5280 sections 4.1 and 4.2; RFC 6960 section 4.2.2.2. The rules of the CA/Browser Forum, of browsers
// and of ETSI are for public certificates and are not asked.
package lint
