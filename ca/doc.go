// Package ca issues and revokes certificates, and can prove afterwards every decision it made.
//
// Call [New] first; it needs the certificates and keys of the issuing CAs (made once by [Create], kept
// in files by a [Keyring], opened by [OpenKey]), the checked profiles, a [Store] and a [Linter] (package
// ca/lint has one). Then [Authority.Issue], [Authority.Renew], [Authority.Revoke] and [Authority.Release].
// [Authority.SetState] suspends, resumes and closes a party.
//
// # Guarantees
//
// Every certificate passes one gate, and nothing else reaches a CA key:
//
//  1. The request is decided by package policy; a refusal names every broken rule and is recorded.
//  2. A serial is reserved: the store keeps the intent before anything is signed.
//  3. The to-be-signed certificate is built, and linted under a signature that is none.
//  4. The very bytes that were linted are signed with the issuer's key, and the signature is verified.
//  5. Certificate, inventory, redeemed token and audit entry become durable in one commit.
//  6. Only then does the requester get it.
//
// If the gate is cut between 2 and 5, the intent proves what may exist. [New] closes such intents:
// their serials are revoked for good, and that is recorded. No store ever calls them good.
//
// CRLs are signed by [Authority.BeginCRL], which records the number first and signs only what parses as
// the list of that issuer with that number, so that no certificate can be signed this way.
//
// What needs approval is filed as an [ApprovalRequest], named by the hash of what it asks. [Authority.Vote] takes what approvers
// signed; [Authority.Fulfil], [Authority.Approved] and [Authority.PutInForce] count the votes as things are then, and go on
// only when they are enough.
//
// # Refused
//
// A key that was revoked for keyCompromise, whoever asks; the CA's own keys as subject keys; a token of
// another party or profile, a used or an expired one; renewal of a certificate that is not in the
// inventory, has expired or is revoked.
//
// # Invariants
//
// One Authority works on a store at a time: a second one would close the intents of the first.
// An Authority is safe for concurrent use. Times in certificates and records are UTC, whole seconds.
//
// # Standards
//
// RFC 5280 sections 4.1, 4.2 (certificates), 5.1 (CRLs), 5.3.1 (reasons); RFC 6960 sections 4.2.2.2 and
// 4.2.2.2.1 (OCSP delegates, id-pkix-ocsp-nocheck); RFC 7093 method 1 (key identifiers); RFC 5958 and
// RFC 8018 section 6.2 (key files).
package ca
