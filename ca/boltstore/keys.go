package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

// Key implements ca.Store.
func (s *Store) Key(_ context.Context, key ca.KeyHash) (known ca.Key, err error) {
	waiting := s.keys.find(key)
	err = s.db.View(func(tx *bbolt.Tx) error {
		known, err = keyIn(tx, key, waiting)
		return err
	})
	return known, err
}

// keyIn reads the newest certificate of the key, and one that was revoked for keyCompromise; however many there are. waiting is
// where there may be more than the file's index has.
func keyIn(tx *bbolt.Tx, key ca.KeyHash, waiting []uint64) (known ca.Key, err error) {
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
	err = withKey(tx, key, waiting, func(record ca.Record) bool {
		known.Newest = &record
		return false
	})
	return known, err
}

// withKey visits the certificates of the key, the newest first, until visit says false.
func withKey(tx *bbolt.Tx, key ca.KeyHash, waiting []uint64, visit func(ca.Record) bool) error {
	prefix := key[:8]
	cursor := tx.Bucket(bucketKeys).Cursor()
	// The greatest key of the prefix is before what an index beyond all others would be.
	at, _ := cursor.Seek(append(bytes.Clone(prefix), bytes.Repeat([]byte{0xff}, 8)...))
	if at == nil {
		at, _ = cursor.Last()
	} else if !bytes.HasPrefix(at, prefix) {
		at, _ = cursor.Prev()
	}
	for {
		var index []byte
		if bytes.HasPrefix(at, prefix) {
			index = at[8:]
		}
		if last := len(waiting) - 1; last >= 0 && bytes.Compare(number(waiting[last]), index) >= 0 { // no index is before all
			index, waiting = number(waiting[last]), waiting[:last]
		}
		if index == nil {
			return nil
		}
		if bytes.HasPrefix(at, prefix) && bytes.Equal(at[8:], index) {
			at, _ = cursor.Prev()
		}
		record, err := recordAt(tx, index)
		if err != nil && !errors.Is(err, ca.ErrNotFound) {
			return err
		}
		if err == nil && record.SPKI == key && !visit(record) {
			return nil
		}
	}
}

// ChangeKey implements ca.Store.
func (s *Store) ChangeKey(ctx context.Context, c ca.KeyChange) ([]ca.Revocation, error) {
	var written []ca.Revocation // the writer's, until it says that it committed
	err := s.db.Write(ctx, func(tx *bbolt.Tx) error {
		changes, err := decideKey(tx, c, s.keys.find(c.Key))
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
func decideKey(tx *bbolt.Tx, c ca.KeyChange, waiting []uint64) (changes []ca.KeyRevocation, err error) {
	if c.Decide == nil {
		return nil, nil
	}
	var records []ca.Record
	err = withKey(tx, c.Key, waiting, func(record ca.Record) bool {
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
