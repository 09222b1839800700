package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/policy"
)

// AddParty implements ca.Store.
func (s *Store) AddParty(ctx context.Context, p policy.Party, event audit.Event) error {
	return s.putParty(ctx, p, event, false)
}

// UpdateParty implements ca.Store.
func (s *Store) UpdateParty(ctx context.Context, p policy.Party, event audit.Event) error {
	return s.putParty(ctx, p, event, true)
}

func (s *Store) putParty(ctx context.Context, p policy.Party, event audit.Event, exists bool) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		if err := wantKey(tx, bucketParties, p.ID, exists); err != nil {
			return fmt.Errorf("party %q: %w", p.ID, err)
		}
		return boltlog.Writing(func() error { return putJSON(tx, bucketParties, []byte(p.ID), p) }, s.appends(tx, event))
	})
}

// wantKey checks that a key is there, or that it is not.
func wantKey(tx *bbolt.Tx, bucket []byte, id string, exists bool) error {
	found := tx.Bucket(bucket).Get([]byte(id)) != nil
	switch {
	case id == "":
		return ca.ErrNotFound
	case found && !exists:
		return ca.ErrExists
	case !found && exists:
		return ca.ErrNotFound
	}
	return nil
}

// Party implements ca.Store.
func (s *Store) Party(_ context.Context, id string) (party policy.Party, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { party, err = s.parties.in(tx, id); return err })
	if err != nil {
		err = fmt.Errorf("party %q: %w", id, err)
	}
	return party, err
}

// Parties implements ca.Store.
func (s *Store) Parties(_ context.Context, after string) iter.Seq2[policy.Party, error] {
	from := []byte(after)
	if after != "" {
		from = append(from, 0) // the least key after it
	}
	return pages(s.db, bucketParties, nil, from, func(_ *bbolt.Tx, _, value []byte) (party policy.Party, keep bool, err error) {
		return party, true, json.Unmarshal(value, &party)
	})
}

// AddToken implements ca.Store.
func (s *Store) AddToken(ctx context.Context, t ca.Token, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		if err := wantKey(tx, bucketTokens, t.ID, false); err != nil {
			return fmt.Errorf("token %q: %w", t.ID, err)
		}
		return boltlog.Writing(
			func() error { return putToken(tx, &t) },
			func() error { return tx.Bucket(bucketEnds).Put(tokenEnd(t), nil) },
			s.appends(tx, event),
		)
	})
}

func tokenEnd(t ca.Token) []byte { return append(number(seconds(t.NotAfter)), t.ID...) }

// Collect implements ca.Store.
func (s *Store) Collect(ctx context.Context, before time.Time, limit int) (n int, err error) {
	if limit < 1 {
		return 0, fmt.Errorf("collecting expired tokens: limit is %d, want at least 1", limit)
	}
	var ends [][]byte
	err = s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketEnds).Cursor()
		for key, _ := cursor.First(); len(key) > 8 && binary.BigEndian.Uint64(key) < seconds(before) && len(ends) < limit; key, _ = cursor.Next() {
			ends = append(ends, bytes.Clone(key))
		}
		return nil
	})
	if err != nil || len(ends) == 0 {
		return 0, err // no commit for nothing
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error {
		return boltlog.Writing(func() error {
			n = 0
			for _, key := range ends {
				if tx.Bucket(bucketEnds).Get(key) == nil {
					continue // another Collect was first
				}
				if err := errors.Join(tx.Bucket(bucketEnds).Delete(key), tx.Bucket(bucketTokens).Delete(key[8:])); err != nil {
					return err
				}
				n++
			}
			return nil
		})
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Tokens implements ca.Store.
func (s *Store) Tokens(_ context.Context, after string) iter.Seq2[ca.Token, error] {
	from := []byte(after)
	if after != "" {
		from = append(from, 0) // the least key after it
	}
	return pages(s.db, bucketTokens, nil, from, func(_ *bbolt.Tx, _, value []byte) (token ca.Token, keep bool, err error) {
		token, err = parseToken(value)
		return token, true, err
	})
}

// CancelToken implements ca.Store.
func (s *Store) CancelToken(ctx context.Context, id string, c ca.TokenCancellation, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		token, err := tokenIn(tx, id)
		if err != nil {
			return fmt.Errorf("token %q: %w", id, err)
		}
		if err := token.Spent(); err != nil {
			return err
		}
		token.Cancelled = &c
		return boltlog.Writing(func() error { return putToken(tx, &token) }, s.appends(tx, event))
	})
}

// Token implements ca.Store.
func (s *Store) Token(_ context.Context, id string) (token ca.Token, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { token, err = tokenIn(tx, id); return err })
	if err != nil {
		err = fmt.Errorf("token %q: %w", id, err)
	}
	return token, err
}
