// Package ocsp answers whether a certificate is good, revoked or unknown.
//
// Servers call [NewResponder] over a [Source]; relying parties call
// [NewChecker], and [VerifyResponse] where they fetched an answer themselves.
// [CRL] writes certificate revocation lists and [ParseCRL] reads them. The
// package knows no CA: it is handed statuses and signers.
//
// # Guarantees
//
//   - A serial never issued is never good; an error of the source is tryLater, never good.
//   - After [Responder.Drop] returned, no request that begins gets an answer made before it.
//   - An answer without a nonce is signed once, however many ask for it at the same time.
//   - A checker says revoked in every mode, and remembers it.
//
// # Refused
//
// Requests over 8 KiB or with more than 32 certificates, nonces of 0 or more
// than 128 octets, unknown critical extensions; answers that are stale, from
// the future, without nextUpdate, of another certificate, or signed by anyone
// but the issuer or its delegate.
//
// # Standards
//
// RFC 6960 (OCSP), RFC 5019 (lightweight profile), RFC 9654 (nonce), RFC 5280
// sections 5 and 6.3 (CRLs). docs/standards.md lists the deviations.
package ocsp
