// Package catest gives tests a certificate authority: a whole network with
// store, OCSP and CRLs that lives as long as the test.
//
// Call [New], or [Make] for a network that differs from the usual one. When the test ends, every certificate that was issued must
// verify, no serial may have been issued twice, and the audit log must prove itself.
package catest
