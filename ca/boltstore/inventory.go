package boltstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"

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

// issuedAs finds the index and the issuer of a certificate without reading its record.
func issuedAs(tx *bbolt.Tx, serial ca.Serial) (index, issuer []byte, ok bool) {
	value := tx.Bucket(bucketSerials).Get(serial[:])
	if len(value) < 8 { // unknown, or closedIntent
		return nil, nil, false
	}
	return value[:8], value[8:], true
}

func recordBySerial(tx *bbolt.Tx, serial ca.Serial) (ca.Record, error) {
	index, _, ok := issuedAs(tx, serial)
	if !ok {
		return ca.Record{}, ca.ErrNotFound
	}
	return recordAt(tx, index)
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

// recordByThumb finds a certificate in the thumbprint index of the file.
func recordByThumb(tx *bbolt.Tx, thumbprint [32]byte) (ca.Record, error) {
	prefix := thumbprint[:8]
	cursor := tx.Bucket(bucketThumbs).Cursor()
	for key, _ := cursor.Seek(prefix); key != nil && bytes.HasPrefix(key, prefix); key, _ = cursor.Next() {
		record, err := recordAt(tx, key[8:])
		if err == nil && sha256.Sum256(record.DER) == thumbprint {
			return record, nil
		}
		if err != nil && !errors.Is(err, ca.ErrNotFound) {
			return ca.Record{}, err
		}
	}
	return ca.Record{}, fmt.Errorf("certificate with SHA-256 %x: %w", thumbprint, ca.ErrNotFound)
}

// Certificates implements ca.Store. Index order walks the indexes that the filter names at once, the
// order of expiry that of every kind; see select.go.
func (s *Store) Certificates(_ context.Context, f ca.Filter) iter.Seq2[ca.Record, error] {
	return func(yield func(ca.Record, error) bool) {
		q := &query{filter: f, left: f.Limit, next: startOf(f)}
		if q.next.ended {
			return
		}
		if f.SPKI != nil {
			q.waiting = s.keys.find(*f.SPKI)
		}
		read := q.byIndex
		if f.ByExpiry {
			read = q.byExpiry
		}
		batches(s.db, read, yield)
	}
}

// matches says whether a record passes every member of the filter.
func matches(f ca.Filter, r ca.Record) bool {
	return (f.Party == "" || f.Party == r.Party) &&
		(f.Issuer == "" || f.Issuer == r.Issuer) &&
		(f.Profile == "" || f.Profile == r.Profile) &&
		(f.Role == "" || f.Role == r.Role) &&
		(f.Kind == "" || f.Kind == ca.CertificateKind(r.DER)) &&
		(f.SPKI == nil || *f.SPKI == r.SPKI) &&
		(f.SAN == "" || slices.Contains(ca.AlternativeNames(r.DER), f.SAN)) &&
		(f.Revoked == nil || *f.Revoked == (r.Revocation != nil)) &&
		(f.ExpiresFrom.IsZero() || !r.NotAfter.Before(f.ExpiresFrom)) &&
		(f.ExpiresBefore.IsZero() || r.NotAfter.Before(f.ExpiresBefore)) &&
		(f.ValidAt.IsZero() || !f.ValidAt.Before(r.NotBefore) && !f.ValidAt.After(r.NotAfter))
}
