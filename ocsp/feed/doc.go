// Package feed tells relying parties of revocations as they happen.
//
// # What to call first
//
// The status service numbers each change of a status, its epoch, and signs a [Checkpoint]: an epoch, the hash of the
// list of changes up to it, and until when it holds. [Sign] and [ParseCheckpoint] are its two ends, [Handler] serves both. A
// relying party runs a [Client] and asks [Client.Lookup] before it believes what it learned of a certificate earlier.
//
// # Guarantees
//
// A client that is live knows every change that its newest checkpoint counts, in order: the hash of the list that
// it was sent is that of the checkpoint. It takes no checkpoint that expired, that counts less than one it has, or that another
// key signed. When its checkpoint has expired it is not live, and says so.
//
// # Standards
//
// The checkpoint is a C2SP tlog-checkpoint note, signed with Ed25519, with one more line: the time until which it
// holds, in seconds since 1970.
package feed
