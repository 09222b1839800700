// Package payment defines what consumer, merchant, gateway and banks say to each
// other, and who may read which part.
//
// # What to call first
//
// [Sign] makes an [Object] from one of the message types, such as [Offer] or [Dual]; [Open] reads one
// back and says who signed it. [Seal] and [Unseal] do the same for what only one
// party may read. [OIH] and [PIH] are the two digests that a dual signature joins.
//
// # Guarantees
//
//   - An object is kept and forwarded as the bytes that were signed; digests are over these
//     bytes, and nothing is ever serialised again.
//   - The dual signature names merchant, gateway, the gateway's encryption key, acquirer,
//     amount and expiry, so that an instruction cannot be taken to another gateway.
//   - The merchant sees the order and only the digest of the instruction; the banks see the
//     instruction and only the digest of the order. The clear instruction lives in
//     payment/account, which this package never imports.
//   - A payment moves only along the transitions of [State]; a final state never changes.
//
// # Refused
//
// Every refusal is a *[Refusal] with a stable code, what was found, and what would be right:
// headers that are not exactly ours, unknown, missing, doubled or mis-cased members, an
// issuer that is not the signer, a signer in the wrong role, readers who are not named,
// expired objects, clocks that differ by more than a minute.
//
// # Standards
//
// JWS compact serialization with ES256 (RFC 7515, RFC 7518 section 3.4), JWE with
// ECDH-ES and A256GCM (RFC 7516, RFC 7518 sections 4.6 and 5.3), certificate thumbprints
// (RFC 7515 section 4.1.8), I-JSON (RFC 7493), UUID version 7 (RFC 9562), the dual signature of
// SET (Book 1, 1997) with the names that it lacked, ISO 8583:1987 field names, ISO 4217.
package payment
