package boltstore

import (
	"context"
	"encoding/json"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp/feed"
)

// change adds a change of status to the list that relying parties follow: the hash of the list, then the change in JSON.
func change(tx *bbolt.Tx, rev ca.Revocation, state feed.State) error {
	epoch, hash, err := changeHead(tx)
	if err != nil {
		return err
	}
	c := feed.Change{Epoch: epoch + 1, Issuer: rev.Issuer, Serial: rev.Serial.Int().Text(16), State: state, Reason: int(rev.Reason), At: rev.At, Invalidity: rev.Invalidity}
	raw, err := json.Marshal(c)
	if err != nil {
		return err
	}
	hash = hash.Next(c)
	return tx.Bucket(bucketChanges).Put(number(c.Epoch), append(hash[:], raw...))
}

// changeHead is how many changes there are, and their hash.
func changeHead(tx *bbolt.Tx) (epoch uint64, hash feed.Hash, err error) {
	key, value := tx.Bucket(bucketChanges).Cursor().Last()
	if key == nil {
		return 0, hash, nil
	}
	c, err := decodeChange(value)
	if err != nil {
		return 0, hash, err
	}
	return c.Epoch, feed.Hash(value[:len(hash)]), nil
}

func decodeChange(value []byte) (c feed.Change, err error) {
	if len(value) < len(feed.Hash{}) {
		return c, fmt.Errorf("status change of %d octets, want hash and change", len(value))
	}
	return c, json.Unmarshal(value[len(feed.Hash{}):], &c)
}

// ChangeHead implements ca.Store.
func (s *Store) ChangeHead(context.Context) (epoch uint64, hash feed.Hash, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		epoch, hash, err = changeHead(tx)
		return err
	})
	return epoch, hash, err
}

// Changes implements ca.Store.
func (s *Store) Changes(_ context.Context, after uint64, limit int) (list []feed.Change, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketChanges).Cursor()
		for key, value := cursor.Seek(number(after + 1)); key != nil && len(list) < limit; key, value = cursor.Next() {
			c, err := decodeChange(value)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		return nil
	})
	return list, err
}
