package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strconv"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/ocsp/feed"
)

func statusKey(issuer string, serial ca.Serial) []byte {
	return append(append([]byte(issuer), 0), serial[:]...)
}

// Status implements ca.Store.
func (s *Store) Status(_ context.Context, issuer string, serial ca.Serial) (status ca.Status, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		status, err = statusIn(tx, issuer, serial)
		return err
	})
	return status, err
}

// statusIn reads no record: two keys say whether a serial is good.
func statusIn(tx *bbolt.Tx, issuer string, serial ca.Serial) (ca.Status, error) {
	if raw := tx.Bucket(bucketStatus).Get(statusKey(issuer, serial)); raw != nil {
		rev := new(ca.Revocation)
		return ca.Status{Issued: true, Revocation: rev}, json.Unmarshal(raw, rev)
	}
	_, by, ok := issuedAs(tx, serial)
	status := ca.Status{Issued: ok && string(by) == issuer}
	if holds := tx.Bucket(bucketHolds); holds != nil { // nil in an older file that is only read
		if raw := holds.Get(statusKey(issuer, serial)); len(raw) == 8 {
			status.Released = time.Unix(int64(binary.BigEndian.Uint64(raw)), 0).UTC()
		}
	}
	return status, nil
}

// Revoke implements ca.Store.
func (s *Store) Revoke(ctx context.Context, rev ca.Revocation, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		status, err := statusIn(tx, rev.Issuer, rev.Serial)
		if err != nil {
			return err
		}
		if !status.Issued {
			return fmt.Errorf("serial %s of the %s CA: %w", rev.Serial, rev.Issuer, ca.ErrNotFound)
		}
		if err := ca.CheckRevocation(status.Revocation, rev); err != nil {
			return err
		}
		return boltlog.Writing(
			s.revokes(tx, rev),
			s.appends(tx, event),
		)
	})
}

// revokes is the step that writes a revocation which was allowed.
func (s *Store) revokes(tx *bbolt.Tx, rev ca.Revocation) func() error {
	return func() error {
		return boltlog.Writing(
			func() error { return putJSON(tx, bucketStatus, statusKey(rev.Issuer, rev.Serial), rev) },
			func() error { return tx.Bucket(bucketHolds).Delete(statusKey(rev.Issuer, rev.Serial)) },
			func() error { return change(tx, rev, stateOf(rev)) },
			func() error {
				record, err := recordBySerial(tx, rev.Serial)
				if errors.Is(err, ca.ErrNotFound) {
					return nil // a closed intent
				}
				if err != nil {
					return err
				}
				return boltlog.Writing(
					func() error {
						return tx.Bucket(bucketRevoked).Put(number(record.Index), number(seconds(record.NotAfter)))
					},
					func() error { return putStolen(tx, record, rev) },
				)
			},
		)
	}
}

// putStolen remembers that the record's key was compromised, if that is why it is revoked: the first of its certificates that was.
func putStolen(tx *bbolt.Tx, record ca.Record, rev ca.Revocation) error {
	if rev.Reason != ca.KeyCompromise || tx.Bucket(bucketStolen).Get(record.SPKI[:]) != nil {
		return nil
	}
	return tx.Bucket(bucketStolen).Put(record.SPKI[:], number(record.Index))
}

// Release implements ca.Store.
func (s *Store) Release(ctx context.Context, issuer string, serial ca.Serial, at time.Time, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		status, err := statusIn(tx, issuer, serial)
		if err != nil {
			return err
		}
		if !status.Issued {
			return fmt.Errorf("serial %s of the %s CA: %w", serial, issuer, ca.ErrNotFound)
		}
		if err := ca.CheckRelease(serial, status.Revocation); err != nil {
			return err
		}
		key := statusKey(issuer, serial)
		return boltlog.Writing(
			func() error { return tx.Bucket(bucketStatus).Delete(key) },
			func() error { return change(tx, ca.Revocation{Issuer: issuer, Serial: serial, At: at}, feed.Released) },
			func() error { return tx.Bucket(bucketHolds).Put(key, number(uint64(at.Unix()))) },
			func() error {
				index, _, ok := issuedAs(tx, serial)
				if !ok {
					return nil // a closed intent
				}
				return tx.Bucket(bucketRevoked).Delete(bytes.Clone(index))
			},
			s.appends(tx, event),
		)
	})
}

// RaiseShards implements ca.Store.
func (s *Store) RaiseShards(ctx context.Context, issuer string, atLeast int, event audit.Event) (n int, err error) {
	read := func(tx *bbolt.Tx) int {
		if raw := tx.Bucket(bucketShards).Get([]byte(issuer)); len(raw) == 8 {
			return int(binary.BigEndian.Uint64(raw))
		}
		return 0
	}
	err = s.db.View(func(tx *bbolt.Tx) error {
		n = read(tx)
		return nil
	})
	if err != nil || n >= atLeast {
		return n, err
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error {
		if n = read(tx); n >= atLeast {
			return nil
		}
		n = atLeast
		return boltlog.Writing(
			func() error { return tx.Bucket(bucketShards).Put([]byte(issuer), number(uint64(atLeast))) },
			s.appends(tx, event),
		)
	})
	return n, err
}

// stateOf is what a revocation makes of a certificate.
func stateOf(rev ca.Revocation) feed.State {
	if rev.Reason == ca.CertificateHold {
		return feed.Held
	}
	return feed.Revoked
}

// Revocations implements ca.Store.
func (s *Store) Revocations(_ context.Context, issuer string) iter.Seq2[ca.Revocation, error] {
	prefix := append([]byte(issuer), 0)
	return pages(s.db, bucketStatus, prefix, prefix, func(_ *bbolt.Tx, _, value []byte) (rev ca.Revocation, keep bool, err error) {
		return rev, true, json.Unmarshal(value, &rev)
	})
}

// NextCRLNumber implements ca.Store.
func (s *Store) NextCRLNumber(ctx context.Context, issuer string, event audit.Event) (uint64, error) {
	var next uint64 // the writer's, until it says that it committed
	err := s.db.Write(ctx, func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(bucketCRL)
		next = 1
		if raw := bucket.Get([]byte(issuer)); len(raw) == 8 {
			next = binary.BigEndian.Uint64(raw) + 1
		}
		event.Attrs = maps.Clone(event.Attrs)
		if event.Attrs == nil {
			event.Attrs = map[string]string{}
		}
		event.Attrs["number"] = strconv.FormatUint(next, 10)
		return boltlog.Writing(func() error { return bucket.Put([]byte(issuer), number(next)) }, s.appends(tx, event))
	})
	if err != nil {
		return 0, err
	}
	return next, nil
}

// pageSize is how many rows an iterator reads in one transaction, so that a slow
// consumer holds none open.
const pageSize = 256

// pages iterates over the keys with the prefix, from the given key on. read turns
// a row into a value, or leaves it out.
func pages[T any](db *boltlog.DB, bucket, prefix, from []byte, read func(tx *bbolt.Tx, key, value []byte) (T, bool, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		next := from
		batches(db, func(tx *bbolt.Tx) (page []T, more bool, err error) {
			cursor := tx.Bucket(bucket).Cursor()
			rows := 0
			for key, value := cursor.Seek(next); key != nil && bytes.HasPrefix(key, prefix); key, value = cursor.Next() {
				if rows++; rows > pageSize {
					next = bytes.Clone(key)
					return page, true, nil
				}
				item, keep, err := read(tx, key, value)
				if err != nil {
					return page, false, err
				}
				if keep {
					page = append(page, item)
				}
			}
			return page, false, nil
		}, yield)
	}
}

// batches yields what read returns, called in one transaction after another while it says that there is more.
func batches[T any](db *boltlog.DB, read func(tx *bbolt.Tx) (page []T, more bool, err error), yield func(T, error) bool) {
	for more := true; more; {
		var page []T
		err := db.View(func(tx *bbolt.Tx) (err error) {
			page, more, err = read(tx)
			return err
		})
		for _, item := range page {
			if !yield(item, nil) {
				return
			}
		}
		if err != nil {
			var zero T
			yield(zero, err)
			return
		}
	}
}
