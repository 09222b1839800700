// Package ocsp answers whether a certificate is good, revoked or unknown.
//
// # What to call first
//
// The answering side is a [Responder], an http.Handler over a [Source] with one
// delegated [Signer] for each issuer, and [CRL], which writes a revocation list, full, shard or
// delta, as a stream for somebody else to sign. The asking side is a [Checker]: the change feed, a stapled
// answer, its memory, OCSP, then the CRL and its delta; [Checker.As] gives operations that bear more or less than others a [Mode] of their own. [ParseRequest], [ParseResponse],
// [ParseCRL], [ScanCRL] and [VerifyResponse] are the parts that both stand on. An [Index] before
// the Source holds the statuses of millions of certificates in memory, and
// [Responder.Run] renews answers before anybody has to wait for a signature.
//
// # Guarantees
//
// A serial never issued is never good. A status that cannot be read is never
// good. Once [Responder.Drop] has returned, and [Index.Drop] before it, no request begun
// later sees an answer signed before it. A clock that goes back by more than a minute ends
// signing. An answer is believed only when the issuer's key, or a
// delegate certified directly by that key for OCSP signing, signed it, for this very
// certificate, within its time. Revoked is remembered until the certificate expires, a
// hold for as long as the answer that told it is valid. A check takes no longer than its Budget, and what a file kept
// over a restart is verified again before it is used.
//
// # What is refused
//
// Requests over 8 KiB or 32 certificates, nonces outside 1 to 128 octets,
// unknown critical extensions, SHA-1 signatures, answers without nextUpdate,
// delegates without id-pkix-ocsp-nocheck, indirect CRLs, CRLs for some reasons, a shard
// that the certificate does not name byte for byte, a delta without its base, reason code 7, and reason code 0 in writing.
//
// # Standards
//
// RFC 6960 (OCSP), RFC 5019 (lightweight profile: GET, HTTP headers), RFC 9654
// (nonce), RFC 5280 section 5 (CRLs).
package ocsp
