// Package boltlog keeps records and the audit log that accounts for them in one
// bbolt file, and commits both together. The CA's store and every payment agent's are built on it.
//
// # Writing
//
// One goroutine writes. Callers of [DB.Write] queue what they want done and wait; a
// commit takes whatever was queued while the one before it reached the disk, so
// concurrent callers share an fsync and a lone caller waits for nothing. The head of the
// audit log is signed once a commit, if the commit added to the log.
//
// An operation that is refused before it wrote anything returns its error as it
// is, and leaves no trace in the commit that the others share. One that fails after it began
// to write says so with [Undo] or [Writing]: the commit then starts again without it.
//
// # Upgrades
//
// A file says which version its owner's layout has. One of an older version is changed when it is opened,
// in transactions of bounded size; one that the owner does not know is refused with *[SchemaError].
//
// # Faults
//
// A commit that fails, as on a full disk, fails every caller in it and leaves
// the file as it was; reading goes on and the next commit may succeed. A second
// process is refused with *[LockedError].
package boltlog
