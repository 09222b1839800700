// Package boltstore keeps a CA's store in one bbolt file: [ca.Store] for one
// machine and one process.
//
// Records and audit log commit together and in groups, as package boltlog says. Each
// operation checks everything before it writes anything.
//
// # Layout
//
// A certificate's primary key is the index of its issuance in the audit log, which only grows.
// Secondary keys are short, and end with that index: eight octets of the hash of the certificate, the key or
// an alternative name; the party; the kind, which numbers issuer, profile and role together; the kind and the end of validity.
// Party, kind and revoked have the end of validity as value, the serial has the issuer, so that neither a
// list nor a status reads a record that it does not return. The status bucket and its index hold only what is revoked.
//
// A list in the order of the log walks all indexes that its filter names side by side and skips in each
// to where the others are. One in the order of expiry merges the kinds.
//
// The indexes by thumbprint and by key are written late: up to 65,536 entries of each wait in memory, to be written in their
// order, many to a page. They are made again from the certificates when the file is opened.
//
// # Versions
//
// The layout has version 6. A file of version 1 is given its new keys when it is opened, 2,000 certificates
// in a transaction; one that was cut off goes on where it was, and until it is done no older payca opens the file.
package boltstore
