package boltstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
)

// recordAt reads the record at a log index, with its revocation.
func recordAt(tx *bbolt.Tx, index []byte) (ca.Record, error) {
	value := tx.Bucket(bucketCerts).Get(index)
	if value == nil {
		return ca.Record{}, ca.ErrNotFound
	}
	return withStatus(tx, index, value)
}

func withStatus(tx *bbolt.Tx, index, value []byte) (ca.Record, error) {
	record, err := parseRecord(value)
	if err != nil {
		return record, err
	}
	record.Index = binary.BigEndian.Uint64(index)
	var rev ca.Revocation
	err = getJSON(tx, bucketStatus, statusKey(record.Issuer, record.Serial), &rev)
	if errors.Is(err, ca.ErrNotFound) {
		return record, nil
	}
	record.Revocation = &rev
	return record, err
}

func recordBySerial(tx *bbolt.Tx, serial ca.Serial) (ca.Record, error) {
	return recordAt(tx, tx.Bucket(bucketSerials).Get(serial[:]))
}

// BySerial implements ca.Store.
func (s *Store) BySerial(_ context.Context, serial ca.Serial) (record ca.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		record, err = recordBySerial(tx, serial)
		return err
	})
	if errors.Is(err, ca.ErrNotFound) {
		err = fmt.Errorf("certificate %s: %w", serial, err)
	}
	return record, err
}

// ByThumbprint implements ca.Store.
func (s *Store) ByThumbprint(_ context.Context, thumbprint [32]byte) (record ca.Record, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		prefix := thumbprint[:8]
		cursor := tx.Bucket(bucketThumbs).Cursor()
		for key, _ := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
			if record, err = recordAt(tx, key[8:]); err != nil || sha256.Sum256(record.DER) == thumbprint {
				return err
			}
		}
		return fmt.Errorf("certificate with SHA-256 %x: %w", thumbprint, ca.ErrNotFound)
	})
	if err != nil {
		return ca.Record{}, err
	}
	return record, nil
}

// Certificates implements ca.Store. A party or a key is looked up in its
// index; everything else is read in order from the cursor on.
func (s *Store) Certificates(_ context.Context, f ca.Filter) iter.Seq2[ca.Record, error] {
	start := uint64(0)
	if f.From {
		if start = f.After + 1; start == 0 { // After is the greatest index
			return func(func(ca.Record, error) bool) {}
		}
	}
	bucket, prefix := bucketCerts, []byte(nil)
	switch {
	case f.SPKI != nil:
		bucket, prefix = bucketKeys, f.SPKI[:8]
	case f.Party != "":
		bucket, prefix = bucketByParty, partyPrefix(f.Party)
	}
	from := append(bytes.Clone(prefix), number(start)...)
	rows := pages(s.db, bucket, prefix, from, func(tx *bbolt.Tx, key, value []byte) (ca.Record, bool, error) {
		index := key[len(prefix):]
		if len(index) != 8 {
			return ca.Record{}, false, nil // a longer party id that begins alike
		}
		if prefix != nil {
			value = tx.Bucket(bucketCerts).Get(index)
		}
		record, err := withStatus(tx, index, value)
		return record, err == nil && matches(f, record), err
	})
	return limit(rows, f.Limit)
}

// matches says whether a record passes every member of the filter.
func matches(f ca.Filter, r ca.Record) bool {
	return (f.Party == "" || f.Party == r.Party) &&
		(f.Issuer == "" || f.Issuer == r.Issuer) &&
		(f.Profile == "" || f.Profile == r.Profile) &&
		(f.Role == "" || f.Role == r.Role) &&
		(f.SPKI == nil || *f.SPKI == r.SPKI) &&
		(f.Revoked == nil || *f.Revoked == (r.Revocation != nil)) &&
		(f.ExpiresBefore.IsZero() || r.NotAfter.Before(f.ExpiresBefore)) &&
		(f.ValidAt.IsZero() || !f.ValidAt.Before(r.NotBefore) && !f.ValidAt.After(r.NotAfter))
}

func limit[T any](rows iter.Seq2[T, error], n int) iter.Seq2[T, error] {
	if n <= 0 {
		return rows
	}
	return func(yield func(T, error) bool) {
		left := n
		for row, err := range rows {
			if left--; !yield(row, err) || left == 0 {
				return
			}
		}
	}
}
