package audit

import (
	"context"

	"golang.org/x/mod/sumdb/tlog"
)

// A Tx is the transaction of the log's host store. What is put becomes durable
// with the transaction, or not at all. One goroutine uses it.
type Tx interface {
	tlog.HashReader
	// Size returns the number of leaves.
	Size() (uint64, error)
	// Put adds the leaf with the next index, and the tlog hashes it completes
	// (tlog.StoredHashes), whose first has index tlog.StoredHashIndex(0, index).
	Put(index uint64, leaf []byte, hashes []tlog.Hash) error
	// SetHead replaces the signed head.
	SetHead(head []byte) error
}

// A Reader reads a log: a store's, or a server's over HTTP.
type Reader interface {
	// Head returns the newest signed head, nil for an empty log.
	Head(ctx context.Context) ([]byte, error)
	// Leaves returns up to limit leaves from index from on.
	Leaves(ctx context.Context, from uint64, limit int) ([][]byte, error)
	// Hashes returns stored tlog hashes by their storage index.
	Hashes(ctx context.Context, indexes []int64) ([]tlog.Hash, error)
}
