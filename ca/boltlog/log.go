package boltlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

// logTx is the audit log inside a transaction.
type logTx struct{ tx *bbolt.Tx }

// Size implements audit.Tx.
func (l logTx) Size() (uint64, error) {
	last, _ := l.tx.Bucket(bucketLeaves).Cursor().Last()
	if last == nil {
		return 0, nil
	}
	if len(last) != 8 {
		return 0, fmt.Errorf("audit log has key %x, want 8 octets", last)
	}
	return binary.BigEndian.Uint64(last) + 1, nil
}

// ReadHashes implements tlog.HashReader.
func (l logTx) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	bucket := l.tx.Bucket(bucketHashes)
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		raw := bucket.Get(number(uint64(index)))
		if len(raw) != tlog.HashSize {
			level, n := tlog.SplitStoredHashIndex(index)
			return nil, &audit.Corruption{Index: uint64(n) << level, What: fmt.Sprintf("stored hash %d has %d octets, want %d", index, len(raw), tlog.HashSize)}
		}
		hashes[i] = tlog.Hash(raw)
	}
	return hashes, nil
}

// Put implements audit.Tx.
func (l logTx) Put(index uint64, leaf []byte, hashes []tlog.Hash) error {
	leaves, bucket := l.tx.Bucket(bucketLeaves), l.tx.Bucket(bucketHashes)
	leaves.FillPercent, bucket.FillPercent = 0.9, 0.9 // keys only grow
	if err := leaves.Put(number(index), leaf); err != nil {
		return err
	}
	first := uint64(tlog.StoredHashIndex(0, int64(index)))
	for i := range hashes {
		if err := bucket.Put(number(first+uint64(i)), hashes[i][:]); err != nil {
			return err
		}
	}
	return nil
}

// SetHead implements audit.Tx.
func (l logTx) SetHead(head []byte) error { return l.tx.Bucket(bucketMeta).Put(keyHead, head) }

// Append adds events to the log inside a transaction of [DB.Write] and returns the
// index of the first. After an error the operation must be undone.
func (d *DB) Append(tx *bbolt.Tx, events ...audit.Event) (uint64, error) {
	return d.cfg.Log.Append(logTx{tx}, events...)
}

// A Snapshot is what a copy of the file holds.
type Snapshot struct {
	Octets  int64     // size of the file
	LogSize uint64    // number of leaves of the log
	LogRoot tlog.Hash // root over them
}

// Newest says what a copy of the file would hold now. look, in the same transaction, may look further.
func (d *DB) Newest(look func(tx *bbolt.Tx, s Snapshot) error) error {
	return d.db.View(func(tx *bbolt.Tx) error {
		s := Snapshot{Octets: tx.Size()}
		var err error
		if s.LogSize, err = (logTx{tx}).Size(); err != nil {
			return err
		}
		if s.LogRoot, err = tlog.TreeHash(int64(s.LogSize), logTx{tx}); err != nil {
			return fmt.Errorf("reading the root of the audit log: %w", err)
		}
		return look(tx, s)
	})
}

// Copy writes the file as it is at one moment, while writing goes on. begin is called once, before the
// first octet and in the transaction of that moment, and says where to. Until Copy returns
// no page of that moment is written over, and a commit that needs the file to grow waits: so write to something quick.
func (d *DB) Copy(begin func(tx *bbolt.Tx, s Snapshot) (io.Writer, error)) error {
	return d.Newest(func(tx *bbolt.Tx, s Snapshot) error {
		w, err := begin(tx, s)
		if err != nil {
			return err
		}
		_, err = tx.WriteTo(w)
		return err
	})
}

// Log reads the log.
func (d *DB) Log() audit.Reader { return reader{d.db} }

// reader reads the log, each call in a transaction of its own.
type reader struct{ db *bbolt.DB }

// Head implements audit.Reader.
func (r reader) Head(context.Context) (head []byte, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		head = bytes.Clone(tx.Bucket(bucketMeta).Get(keyHead))
		return nil
	})
	return head, err
}

// Leaves implements audit.Reader. It returns what stands at the positions from
// on; that a leaf is where it belongs is for audit.Verify to say.
func (r reader) Leaves(_ context.Context, from uint64, limit int) (leaves [][]byte, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketLeaves).Cursor()
		for key, leaf := cursor.Seek(number(from)); key != nil && len(leaves) < limit; key, leaf = cursor.Next() {
			if want := from + uint64(len(leaves)); !bytes.Equal(key, number(want)) {
				if len(leaves) > 0 {
					return nil // what stands before the gap is read first
				}
				return &audit.Corruption{Index: want, What: "is missing"}
			}
			leaves = append(leaves, bytes.Clone(leaf))
		}
		return nil
	})
	return leaves, err
}

// Hashes implements audit.Reader.
func (r reader) Hashes(_ context.Context, indexes []int64) (hashes []tlog.Hash, err error) {
	err = r.db.View(func(tx *bbolt.Tx) error {
		hashes, err = logTx{tx}.ReadHashes(indexes)
		return err
	})
	return hashes, err
}
