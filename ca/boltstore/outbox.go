package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"iter"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltlog"
)

func noticedKey(m ca.Message, serial ca.Serial) []byte {
	return append([]byte(m.Target+"\x00"+m.Topic+"\x00"), serial[:]...)
}

// AddMessage implements ca.Store.
func (s *Store) AddMessage(ctx context.Context, m ca.Message) (added ca.Message, err error) {
	m.ID = 0
	err = s.db.View(func(tx *bbolt.Tx) error {
		added = m
		added.Items = untold(tx, m)
		return nil
	})
	if err != nil || len(added.Items) == 0 {
		return added, err // no commit for nothing
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error {
		added = m
		if added.Items = untold(tx, m); len(added.Items) == 0 {
			return nil
		}
		return boltlog.Writing(func() (err error) {
			if added.ID, err = tx.Bucket(bucketOutbox).NextSequence(); err != nil {
				return err
			}
			for _, item := range added.Items {
				if err := tx.Bucket(bucketNoticed).Put(noticedKey(m, item.Serial), number(seconds(item.NotAfter))); err != nil {
					return err
				}
			}
			return putMessage(tx, added)
		})
	})
	return added, err
}

// untold is the certificates of a message that none like it told of, each once.
func untold(tx *bbolt.Tx, m ca.Message) (items []ca.MessageItem) {
	seen := map[ca.Serial]bool{}
	for _, item := range m.Items {
		if !seen[item.Serial] && tx.Bucket(bucketNoticed).Get(noticedKey(m, item.Serial)) == nil {
			items = append(items, item)
		}
		seen[item.Serial] = true
	}
	return items
}

func stateKey(m ca.Message) []byte { return append([]byte(m.State+"\x00"), number(m.ID)...) }

func putMessage(tx *bbolt.Tx, m ca.Message) error {
	if err := tx.Bucket(bucketStates).Put(stateKey(m), number(seconds(m.Changed))); err != nil {
		return err
	}
	return putJSON(tx, bucketOutbox, number(m.ID), m)
}

// SetMessage implements ca.Store.
func (s *Store) SetMessage(ctx context.Context, m ca.Message) error {
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		var stands ca.Message
		if err := getJSON(tx, bucketOutbox, number(m.ID), &stands); err != nil {
			return fmt.Errorf("message %d: %w", m.ID, err)
		}
		return boltlog.Writing(
			func() error { return tx.Bucket(bucketStates).Delete(stateKey(stands)) },
			func() error { return putMessage(tx, m) },
		)
	})
}

// Messages implements ca.Store.
func (s *Store) Messages(_ context.Context, state string) iter.Seq2[ca.Message, error] {
	if state == "" {
		return pages(s.db, bucketOutbox, nil, nil, func(_ *bbolt.Tx, _, value []byte) (m ca.Message, keep bool, err error) {
			return m, true, json.Unmarshal(value, &m)
		})
	}
	prefix := []byte(state + "\x00")
	return pages(s.db, bucketStates, prefix, prefix, func(tx *bbolt.Tx, key, _ []byte) (m ca.Message, keep bool, err error) {
		return m, true, getJSON(tx, bucketOutbox, key[len(prefix):], &m)
	})
}

// CountMessages implements ca.Store.
func (s *Store) CountMessages(context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := s.db.View(func(tx *bbolt.Tx) error {
		return tx.Bucket(bucketStates).ForEach(func(key, _ []byte) error {
			state, _, _ := bytes.Cut(key, []byte{0})
			counts[string(state)]++
			return nil
		})
	})
	return counts, err
}

// ForgetMessages implements ca.Store.
func (s *Store) ForgetMessages(ctx context.Context, before time.Time, limit int) (int, error) {
	var states, messages, notes [][]byte
	err := s.db.View(func(tx *bbolt.Tx) error {
		room := func() bool { return len(messages)+len(notes) < limit }
		for key, since := range keys(tx, bucketStates, room) {
			state, id, _ := bytes.Cut(key, []byte{0})
			if (ca.Message{State: string(state)}).Settled() && isBefore(since, before) {
				states, messages = append(states, bytes.Clone(key)), append(messages, bytes.Clone(id))
			}
		}
		for key, end := range keys(tx, bucketNoticed, room) {
			if isBefore(end, before) {
				notes = append(notes, bytes.Clone(key))
			}
		}
		return nil
	})
	if err != nil || len(messages)+len(notes) == 0 {
		return 0, err // no commit for nothing
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error {
		return boltlog.Writing(
			func() error { return deleteAll(tx.Bucket(bucketStates), states) },
			func() error { return deleteAll(tx.Bucket(bucketOutbox), messages) },
			func() error { return deleteAll(tx.Bucket(bucketNoticed), notes) },
		)
	})
	if err != nil {
		return 0, err
	}
	return len(messages) + len(notes), nil
}

func isBefore(value []byte, t time.Time) bool {
	return len(value) == 8 && binary.BigEndian.Uint64(value) < seconds(t)
}

// keys goes through a bucket while there is room.
func keys(tx *bbolt.Tx, bucket []byte, room func() bool) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		cursor := tx.Bucket(bucket).Cursor()
		for key, value := cursor.First(); key != nil && room(); key, value = cursor.Next() {
			if !yield(key, value) {
				return
			}
		}
	}
}

func deleteAll(bucket *bbolt.Bucket, keys [][]byte) error {
	for _, key := range keys {
		if err := bucket.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
