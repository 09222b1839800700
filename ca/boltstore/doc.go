// Package boltstore keeps a CA's store in one bbolt file: [ca.Store] for one
// machine and one process.
//
// # Writing
//
// One goroutine writes. Callers queue what they want done and wait; a
// commit takes whatever was queued while the one before it reached the disk, so
// concurrent callers share an fsync and a lone caller waits for nothing. Each
// operation checks everything before it writes anything, so one that is refused leaves no
// trace in the commit that the others share. The head of the audit log is
// signed once a commit.
//
// # Layout
//
// A certificate's primary key is the index of its issuance in the audit log, which only grows.
// Secondary keys are short: the serial, eight octets of the certificate's and the key's
// hash, the party with the index. The status bucket holds only what is revoked.
//
// # Faults
//
// A commit that fails, as on a full disk, fails every caller in it and leaves
// the file as it was; reading goes on and the next commit may succeed. A second
// process is refused with *[LockedError].
package boltstore
