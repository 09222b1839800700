package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

// Key implements ca.Store.
func (s *Store) Key(_ context.Context, key ca.KeyHash) (known ca.Key, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		known, err = keyIn(tx, key)
		return err
	})
	return known, err
}

// keyIn reads the newest certificate of the key, and one that was revoked for keyCompromise; however many there are.
func keyIn(tx *bbolt.Tx, key ca.KeyHash) (known ca.Key, err error) {
	if raw := tx.Bucket(bucketBlocked).Get(key[:]); raw != nil {
		known.Blocked = new(ca.BlockedKey)
		if err := json.Unmarshal(raw, known.Blocked); err != nil {
			return known, err
		}
	}
	if index := tx.Bucket(bucketStolen).Get(key[:]); index != nil {
		record, err := recordAt(tx, index)
		if err != nil {
			return known, err
		}
		known.Compromised = record.Revocation
	}
	err = withKey(tx, key, func(record ca.Record) bool {
		known.Newest = &record
		return false
	})
	return known, err
}

// withKey visits the certificates of the key, the newest first, until visit says false.
func withKey(tx *bbolt.Tx, key ca.KeyHash, visit func(ca.Record) bool) error {
	prefix := key[:8]
	cursor := tx.Bucket(bucketKeys).Cursor()
	// The greatest key of the prefix is before what an index beyond all others would be.
	at, _ := cursor.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 8)...))
	if at == nil {
		at, _ = cursor.Last()
	} else if !bytes.HasPrefix(at, prefix) {
		at, _ = cursor.Prev()
	}
	for ; at != nil && bytes.HasPrefix(at, prefix); at, _ = cursor.Prev() {
		record, err := recordAt(tx, at[8:])
		if err != nil {
			return err
		}
		if record.SPKI == key && !visit(record) {
			return nil
		}
	}
	return nil
}

// ChangeKey implements ca.Store.
func (s *Store) ChangeKey(ctx context.Context, c ca.KeyChange) ([]ca.Revocation, error) {
	var written []ca.Revocation // the writer's, until it says that it committed
	err := s.db.Write(ctx, func(tx *bbolt.Tx) error {
		changes, err := decideKey(tx, c)
		if err != nil {
			return err
		}
		var steps []func() error
		switch stands := tx.Bucket(bucketBlocked).Get(c.Key[:]) != nil; {
		case c.Block != nil && stands && len(changes) == 0:
			return ca.ErrExists
		case c.Block != nil && !stands:
			steps = append(steps, func() error { return putJSON(tx, bucketBlocked, c.Key[:], c.Block) }, s.appends(tx, c.Event))
		}
		written = nil
		for _, change := range changes {
			steps = append(steps, s.revokes(tx, change.Revocation), s.appends(tx, change.Event))
			written = append(written, change.Revocation)
		}
		return boltlog.Writing(steps...)
	})
	if err != nil {
		return nil, err
	}
	return written, nil
}

// decideKey asks what is to be revoked of the key's certificates, the oldest first.
func decideKey(tx *bbolt.Tx, c ca.KeyChange) (changes []ca.KeyRevocation, err error) {
	if c.Decide == nil {
		return nil, nil
	}
	var records []ca.Record
	err = withKey(tx, c.Key, func(record ca.Record) bool {
		records = append(records, record)
		return true
	})
	if err != nil {
		return nil, err
	}
	for i := len(records) - 1; i >= 0; i-- {
		change, err := c.Decide(records[i])
		if err != nil {
			return nil, err
		}
		if change == nil {
			continue
		}
		if err := ca.CheckRevocation(records[i].Revocation, change.Revocation); err != nil {
			return nil, err
		}
		changes = append(changes, *change)
	}
	return changes, nil
}

// UnblockKey implements ca.Store.
func (s *Store) UnblockKey(ctx context.Context, key ca.KeyHash, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		if err := wantKey(tx, bucketBlocked, string(key[:]), true); err != nil {
			return fmt.Errorf("blocked key %s: %w", key, err)
		}
		return boltlog.Writing(func() error { return tx.Bucket(bucketBlocked).Delete(key[:]) }, s.appends(tx, event))
	})
}

// BlockedKeys implements ca.Store.
func (s *Store) BlockedKeys(_ context.Context, after ca.KeyHash) iter.Seq2[ca.BlockedKey, error] {
	return pages(s.db, bucketBlocked, nil, following(after[:]), func(_ *bbolt.Tx, _, value []byte) (b ca.BlockedKey, keep bool, err error) {
		return b, true, json.Unmarshal(value, &b)
	})
}

// following is the least key after a cursor, the first one after a cursor of zeros.
func following(cursor []byte) []byte {
	if bytes.Count(cursor, []byte{0}) == len(cursor) {
		return nil
	}
	return append(bytes.Clone(cursor), 0)
}
