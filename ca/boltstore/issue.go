package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/policy"
)

// Reserve implements ca.Store.
func (s *Store) Reserve(ctx context.Context, intents ...ca.Intent) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		if err := wantFree(tx, intents); err != nil {
			return err
		}
		return boltlog.Writing(reserves(tx, intents))
	})
}

// wantFree refuses serials that are none, or that were used or reserved before.
func wantFree(tx *bbolt.Tx, intents []ca.Intent) error {
	seen := make(map[ca.Serial]bool, len(intents))
	for _, in := range intents {
		if in.Serial == (ca.Serial{}) || in.Serial[0] > 0x7f {
			return fmt.Errorf("reserving serial %x: want a positive integer of at most 20 octets", in.Serial[:])
		}
		if seen[in.Serial] || tx.Bucket(bucketIntents).Get(in.Serial[:]) != nil || tx.Bucket(bucketSerials).Get(in.Serial[:]) != nil {
			return ca.ErrSerialUsed
		}
		seen[in.Serial] = true
	}
	return nil
}

// reserves is the step that writes intents.
func reserves(tx *bbolt.Tx, intents []ca.Intent) func() error {
	return func() error {
		for _, in := range intents {
			if err := putJSON(tx, bucketIntents, in.Serial[:], in); err != nil {
				return err
			}
		}
		return nil
	}
}

// Unreserve implements ca.Store.
func (s *Store) Unreserve(ctx context.Context, serials ...ca.Serial) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		return boltlog.Writing(func() error {
			for _, serial := range serials {
				if err := tx.Bucket(bucketIntents).Delete(serial[:]); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Issue implements ca.Store.
func (s *Store) Issue(ctx context.Context, is ca.Issuance) (ca.Record, error) {
	var issued ca.Record // the writer's, until it says that it committed
	keys, err := keysOf(is.Record)
	if err != nil {
		return ca.Record{}, err
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error {
		record := is.Record
		record.Revocation = nil
		serial := record.Serial[:]
		if tx.Bucket(bucketIntents).Get(serial) == nil {
			return ca.ErrNoIntent
		}
		token, err := redeem(tx, is.Token, is.Use)
		if err != nil {
			return err
		}
		if err := s.wantActive(tx, record.Party); err != nil {
			return err
		}
		request, err := fulfil(tx, is)
		if err != nil {
			return err
		}
		if err := s.admit(tx, is); err != nil {
			return err
		}
		if err := wantFree(tx, is.Ahead); err != nil {
			return err
		}
		return boltlog.Writing(
			func() (err error) { record.Index, err = s.db.Append(tx, is.Event); return err },
			func() error { return putRecord(tx, record, keys) },
			func() error { s.index(&record, keys); return nil },
			func() error { return tx.Bucket(bucketIntents).Delete(serial) },
			reserves(tx, is.Ahead),
			func() error { issued = record; return putToken(tx, token) },
			func() error { return putRequest(tx, request) },
		)
	})
	if err != nil {
		return ca.Record{}, err
	}
	s.settle(&s.thumbs)
	s.settle(&s.keys)
	return issued, nil
}

// index enters a certificate into the indexes that are written late.
func (s *Store) index(record *ca.Record, keys recordKeys) {
	s.thumbs.add(lateEntry{keys.thumb, record.Index})
	s.keys.add(lateEntry{short(record.SPKI[:8]), record.Index})
}

// admit asks whether the key may be certified, as it stands now.
func (s *Store) admit(tx *bbolt.Tx, is ca.Issuance) error {
	if is.Admit == nil {
		return nil
	}
	known, err := keyIn(tx, is.Record.SPKI, s.keys.find(is.Record.SPKI))
	if err != nil {
		return err
	}
	return is.Admit(known)
}

// redeem returns the token of that id as the use leaves it, nil for the id "".
func redeem(tx *bbolt.Tx, id string, use ca.TokenUse) (*ca.Token, error) {
	if id == "" {
		return nil, nil
	}
	token, err := tokenIn(tx, id)
	if err != nil {
		return nil, fmt.Errorf("redeeming token %s: %w", id, err)
	}
	if err := token.Spent(); err != nil {
		return nil, err
	}
	token.Used = &use
	return &token, nil
}

// wantActive refuses a party that is registered and not active.
func (s *Store) wantActive(tx *bbolt.Tx, id string) error {
	party, err := s.parties.in(tx, id)
	if errors.Is(err, ca.ErrNotFound) {
		return nil
	}
	if err == nil && party.State != policy.Active {
		err = ca.ErrInactive
	}
	if err != nil {
		return fmt.Errorf("party %q: %w", id, err)
	}
	return nil
}

// putRecord writes a certificate and its indexes, but for those that are written late.
func putRecord(tx *bbolt.Tx, record ca.Record, keys recordKeys) error {
	value, err := encodeRecord(record)
	if err != nil {
		return err
	}
	index := number(record.Index)
	certificates := tx.Bucket(bucketCerts)
	certificates.FillPercent = 0.9 // keys only grow
	return errors.Join(
		certificates.Put(index, value),
		putIndexes(tx, record, keys),
	)
}

// Intents implements ca.Store.
func (s *Store) Intents(context.Context) (intents []ca.Intent, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketIntents).ForEach(func(_, raw []byte) error {
			var intent ca.Intent
			if err := json.Unmarshal(raw, &intent); err != nil {
				return err
			}
			intents = append(intents, intent)
			return nil
		})
	})
	slices.SortFunc(intents, func(a, b ca.Intent) int {
		return cmp.Or(a.At.Compare(b.At), bytes.Compare(a.Serial[:], b.Serial[:]))
	})
	return intents, err
}

// closedIntent stands in the serial index where a certificate's log index
// would: the serial was used, but there is no certificate.
var closedIntent = []byte{}

// CloseIntent implements ca.Store.
func (s *Store) CloseIntent(ctx context.Context, rev ca.Revocation, event audit.Event) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		var intent ca.Intent
		if err := getJSON(tx, bucketIntents, rev.Serial[:], &intent); errors.Is(err, ca.ErrNotFound) || err == nil && intent.Issuer != rev.Issuer {
			return ca.ErrNoIntent
		} else if err != nil {
			return err
		}
		return boltlog.Writing(
			func() error { return tx.Bucket(bucketIntents).Delete(rev.Serial[:]) },
			func() error { return tx.Bucket(bucketSerials).Put(rev.Serial[:], closedIntent) },
			func() error { return putJSON(tx, bucketStatus, statusKey(rev.Issuer, rev.Serial), rev) },
			s.appends(tx, event),
		)
	})
}
