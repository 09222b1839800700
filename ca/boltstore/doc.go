// Package boltstore keeps a CA's store in one bbolt file: [ca.Store] for one
// machine and one process.
//
// Records and audit log commit together and in groups, as package boltlog says. Each
// operation checks everything before it writes anything.
//
// # Layout
//
// A certificate's primary key is the index of its issuance in the audit log, which only grows.
// Secondary keys are short: the serial, eight octets of the certificate's and the key's
// hash, the party with the index. The status bucket holds only what is revoked.
package boltstore
