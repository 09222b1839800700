// Package lint reads a certificate before it is signed and says what is wrong with it.
//
// Call [New] and give the result to ca.Config. It runs the lints of zlint that [Chosen] lists, each with its reason: those of
// the RFCs and of the community, and those of the rules for public certificates that hold in private too. Then it runs our
// own, which start with payca_ and compare the certificate with the network: role, names, issuing CA, status URLs. Every
// finding refuses, also what zlint calls a warning, because a private CA makes nothing for which one would have to be forgiven.
//
// # Guarantees
//
// The linter is safe for concurrent use. Its error is [Findings]: the name of each lint, and what it found.
//
// Nothing is signed that zlint has anything against. What it passed it is not asked about again: a certificate that begins on the
// same day and lasts as long passes with it if it is the same, octet for octet, but for serial, key, subject key identifier,
// signature, and names that are plain, to which no lint of zlint can object: of ASCII letters, digits and single hyphens, none of
// them twice. Tests draw such certificates and ask zlint about each. With an RSA key or another name each is asked about. Our own
// lints look at each certificate.
//
// # Standards
//
// RFC 5280 sections 4.1 and 4.2; RFC 6960 section 4.2.2.2. What the CA/Browser Forum, browsers and ETSI want of names, policies
// and lifetimes is for public certificates and is not asked.
package lint
