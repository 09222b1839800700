package boltstore

import (
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

// keyRecheck is where the one ca.Recheck is kept, in a bucket of its own.
var keyRecheck = []byte("last")

// Recheck implements ca.Store.
func (s *Store) Recheck(context.Context) (r ca.Recheck, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { return getJSON(tx, bucketRecheck, keyRecheck, &r) })
	if errors.Is(err, ca.ErrNotFound) {
		err = nil
	}
	return r, err
}

// SaveRecheck implements ca.Store.
func (s *Store) SaveRecheck(ctx context.Context, r ca.Recheck, found []ca.Finding, cleared []ca.Serial, events ...audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		steps := []func() error{func() error { return putJSON(tx, bucketRecheck, keyRecheck, r) }}
		for _, f := range found {
			steps = append(steps, func() error { return putJSON(tx, bucketFindings, f.Serial[:], f) })
		}
		for _, serial := range cleared {
			steps = append(steps, func() error { return tx.Bucket(bucketFindings).Delete(serial[:]) })
		}
		if len(events) > 0 {
			steps = append(steps, s.appends(tx, events...))
		}
		return boltlog.Writing(steps...)
	})
}

// Finding implements ca.Store.
func (s *Store) Finding(_ context.Context, serial ca.Serial) (f ca.Finding, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { return getJSON(tx, bucketFindings, serial[:], &f) })
	if err != nil {
		err = fmt.Errorf("finding against %s: %w", serial, err)
	}
	return f, err
}

// Findings implements ca.Store.
func (s *Store) Findings(_ context.Context, after ca.Serial) iter.Seq2[ca.Finding, error] {
	return pages(s.db, bucketFindings, nil, following(after[:]), func(_ *bbolt.Tx, _, value []byte) (f ca.Finding, keep bool, err error) {
		return f, true, json.Unmarshal(value, &f)
	})
}
