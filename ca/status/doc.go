// Package status serves what package ca knows of its certificates: OCSP
// answers, CRLs and the issuers' certificates, over plain HTTP. It is the one
// library package in which ca and ocsp meet; neither knows the other.
//
// Call [New] first, give [Service.Revoked] to ca.Config.OnRevoke, and then
// [Service.Start] with the authority.
//
// # Guarantees
//
//   - A serial that was never issued, or whose issuance did not commit, is never good.
//   - When [ca.Authority.Revoke] returns, no OCSP answer served afterwards says good.
//   - When [Service.Publish] returns, the shards and the delta list that are served hold every
//     revocation, hold and release that was committed before the call, and so does a full list of at most 20,000
//     entries; a longer one does within a minute.
//   - A CRL number is recorded before anything is signed with it, and a list whose number does not follow what was
//     published is refused, so numbers never go back.
//   - No list is served that was not read back and verified, and none from which a serial is missing that the list before had,
//     unless it was released, or had ended when it was listed.
//   - The keys of the OCSP signers live in memory only: every start has new
//     delegates, issued through the same gate as any other certificate.
//
// # Paths
//
// The paths are written into certificates for life:
// /ocsp/ISSUER, /crl/ISSUER.crl, /crl/ISSUER/SHARD.crl, /crl/root.crl, /ca/ISSUER.crt, /ca/root.crt. The delta list,
// /crl/ISSUER/delta.crl, is named by the full list.
package status
