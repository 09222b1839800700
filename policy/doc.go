// Package policy decides which certificate a party of a payment network may hold. It reads nothing and keeps nothing.
//
// Everything in it is a pure function of its arguments: no I/O, no clock, no
// state. Time is passed in.
//
// # What to call first
//
// [ParseCSR] turns outside bytes into a [CSR] whose signature has been
// verified. [NewProfile] checks what an administrator wrote. [Decide] joins
// the two with a [Party] and the issuing CA, and answers with a [Decision],
// from which a certificate can be built without another question, or with
// [Violations], all of them.
//
// A relying party calls [Trust.Identify]: the one check that turns a presented
// chain into an [Identity].
//
// [Approval.Tally] says what the votes on a request come to, [SignVote] and [VerifyVote] make and check
// them; [NewEndpoints] says who may call what.
//
// # What is guaranteed
//
//   - Subject, OU and URI of a certificate are written from the registry. A
//     request can only choose among the DNS names and addresses of its party.
//   - A decision has exactly one URI SAN, whose host is the role of the party;
//     the certificates of OCSP signers have none.
//   - A certificate never outlives its issuer, and lasts N x 86400 seconds for
//     N days, the last second included (RFC 5280 section 4.1.2.5).
//   - A request is refused in time and memory bounded by [MaxCSR], whatever it holds.
//
// # What is refused
//
// Everything that is not exactly right, by a [*Violation] that says the rule, what was
// found and what would be right. The names of the rules are stable.
//
// # Standards
//
// PKCS #10 requests as in RFC 2986; names and extensions as in RFC 5280
// sections 4.1.2 and 4.2.1; OCSP signers as in RFC 6960 section 4.2.2.2;
// identities have the form of SPIFFE ids, with the role as trust domain; votes are JWS (RFC 7515, RFC 7518).
package policy
