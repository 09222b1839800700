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
//   - When [Service.Publish] returns, the CRL that is served holds every
//     revocation that was committed before the call.
//   - CRL numbers are recorded before the CRL is signed, so they never go back.
//   - The keys of the OCSP signers live in memory only: every start has new
//     delegates, issued through the same gate as any other certificate.
//
// # Paths
//
// The paths are written into certificates for life:
// /ocsp/ISSUER, /crl/ISSUER.crl, /crl/root.crl, /ca/ISSUER.crt, /ca/root.crt.
package status
