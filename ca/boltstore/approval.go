package boltstore

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

// AddRequest implements ca.Store.
func (s *Store) AddRequest(ctx context.Context, r ca.ApprovalRequest, event audit.Event) (ca.ApprovalRequest, error) {
	var added ca.ApprovalRequest // the writer's, until it says that it committed
	err := s.db.Write(ctx, func(tx *bbolt.Tx) error {
		added = r
		if err := wantKey(tx, bucketAsked, r.ID, false); err != nil {
			return fmt.Errorf("request %q: %w", r.ID, err)
		}
		token, err := redeem(tx, r.Token, ca.TokenUse{Party: r.Party, From: r.From, At: r.Created, Request: r.ID})
		if err != nil {
			return err
		}
		return boltlog.Writing(
			func() (err error) { added.Number, err = tx.Bucket(bucketFiled).NextSequence(); return err },
			func() error { return tx.Bucket(bucketFiled).Put(number(added.Number), []byte(r.ID)) },
			func() error { return putRequest(tx, &added) },
			func() error { return putToken(tx, token) },
			s.appends(tx, event),
		)
	})
	if err != nil {
		return ca.ApprovalRequest{}, err
	}
	return added, nil
}

// putRequest writes a request, nil for none, and keeps the index of those that are pending.
func putRequest(tx *bbolt.Tx, r *ca.ApprovalRequest) error {
	if r == nil {
		return nil
	}
	if err := putJSON(tx, bucketAsked, []byte(r.ID), r); err != nil {
		return err
	}
	if r.State == ca.RequestPending {
		return tx.Bucket(bucketWaiting).Put(number(r.Number), []byte(r.ID))
	}
	return tx.Bucket(bucketWaiting).Delete(number(r.Number))
}

// pendingIn reads a request that must be pending.
func pendingIn(tx *bbolt.Tx, id string) (*ca.ApprovalRequest, error) {
	r := new(ca.ApprovalRequest)
	if err := getJSON(tx, bucketAsked, []byte(id), r); err != nil {
		return nil, fmt.Errorf("request %q: %w", id, err)
	}
	if r.State != ca.RequestPending {
		return nil, &ca.RequestSettledError{ID: r.ID, State: r.State}
	}
	return r, nil
}

// fulfil returns the request that an issuance settles, as it leaves it; nil if it names none.
func fulfil(tx *bbolt.Tx, is ca.Issuance) (*ca.ApprovalRequest, error) {
	if is.Request == "" {
		return nil, nil
	}
	r, err := pendingIn(tx, is.Request)
	if err != nil {
		return nil, err
	}
	serial := is.Record.Serial
	r.State, r.Settled, r.Serial = ca.RequestDone, is.Event.Time, &serial
	return r, nil
}

// ApprovalRequest implements ca.Store.
func (s *Store) ApprovalRequest(_ context.Context, id string) (r ca.ApprovalRequest, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { return getJSON(tx, bucketAsked, []byte(id), &r) })
	if err != nil {
		err = fmt.Errorf("request %q: %w", id, err)
	}
	return r, err
}

// ApprovalRequests implements ca.Store.
func (s *Store) ApprovalRequests(_ context.Context, f ca.RequestFilter) iter.Seq2[ca.ApprovalRequest, error] {
	bucket := bucketFiled
	if f.State == ca.RequestPending {
		bucket = bucketWaiting
	}
	return pages(s.db, bucket, nil, number(f.After+1), func(tx *bbolt.Tx, _, id []byte) (r ca.ApprovalRequest, keep bool, err error) {
		err = getJSON(tx, bucketAsked, id, &r)
		return r, f.State == "" || r.State == f.State, err
	})
}

// ChangeRequest implements ca.Store.
func (s *Store) ChangeRequest(ctx context.Context, id string, change func(r *ca.ApprovalRequest) ([]audit.Event, error)) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		r, err := pendingIn(tx, id)
		if err != nil {
			return err
		}
		number := r.Number
		events, err := change(r)
		if err != nil {
			return err
		}
		r.ID, r.Number = id, number
		return boltlog.Writing(func() error { return putRequest(tx, r) }, s.appends(tx, events...))
	})
}

// Pin implements ca.Store.
func (s *Store) Pin(_ context.Context, kind string) (pin ca.Pin, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error { return getJSON(tx, bucketPins, []byte(kind), &pin) })
	if err != nil {
		err = fmt.Errorf("%s in force: %w", kind, err)
	}
	return pin, err
}

// SetPin implements ca.Store.
func (s *Store) SetPin(ctx context.Context, pin ca.Pin, event audit.Event) error {
	raw, err := json.Marshal(pin)
	if err != nil {
		return err
	}
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		return boltlog.Writing(
			func() error { return tx.Bucket(bucketPins).Put([]byte(pin.Kind), raw) },
			s.appends(tx, event),
		)
	})
}
