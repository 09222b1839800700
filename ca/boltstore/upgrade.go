package boltstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltlog"
)

// The versions before this one. A file that is half-way says so, so that no older payca opens it.
const (
	schemaFirst     = "1"
	schemaUpgrading = "1 to 2"
	schemaJSON      = "2" // its records are read as they are
	schemaPlain     = "3" // and so are its
	schemaShards    = "4" // its records are of the form of today
	schemaEager     = "5" // its indexes by thumbprint and key are whole
)

// upgradeRows is how many rows one transaction of an upgrade gives their new keys.
const upgradeRows = 2000

// Where an upgrade is: the number of the bucket, then the last key that is done.
var (
	bucketFacts = []byte("facts")
	keyUpgrade  = []byte("upgraded")
)

// upgrade brings a file of an older version to this one. Version 5 wrote the indexes by thumbprint and key with each certificate; version 4 did not know which keys were compromised; version 3 had no shards in its records; version 2 had records in JSON, kinds without the use of the key and no index of messages; version 1 had those too, the
// serial and party indexes without values, and no index by kind, expiry, name, revocation or end of a token.
type upgrade struct{ logger *slog.Logger }

// upgraded are the buckets whose rows get new keys, in turn.
var upgraded = []struct {
	bucket []byte
	row    func(tx *bbolt.Tx, key, value []byte) error
}{
	{bucketCerts, upgradeRecord},
	{bucketTokens, upgradeToken},
}

// step is one transaction: it gives the next rows their keys. The rows stay as they are.
func (u *upgrade) step(tx *bbolt.Tx, from string) (string, error) {
	switch from {
	case schemaJSON, schemaPlain:
		if err := upgradeMessages(tx); err != nil {
			return "", err
		}
		return schema, errors.Join(upgradeStolen(tx), upgradeLate(tx))
	case schemaShards:
		return schema, errors.Join(upgradeStolen(tx), upgradeLate(tx))
	case schemaEager:
		return schema, upgradeLate(tx)
	}
	if from != schemaFirst && from != schemaUpgrading {
		return "", &boltlog.SchemaError{Got: from, Want: schema}
	}
	facts, err := tx.CreateBucketIfNotExists(bucketFacts)
	if err != nil {
		return "", err
	}
	at := []byte{0}
	if stands := facts.Get(keyUpgrade); len(stands) > 0 && int(stands[0]) < len(upgraded) {
		at = stands
	}
	part, last := upgraded[at[0]], at[1:]
	cursor := tx.Bucket(part.bucket).Cursor()
	key, value := cursor.Seek(last)
	if len(last) > 0 && bytes.Equal(key, last) {
		key, value = cursor.Next()
	}
	for rows := 0; key != nil && rows < upgradeRows; rows++ {
		if err := part.row(tx, key, value); err != nil {
			return "", fmt.Errorf("upgrading %s %x: %w", part.bucket, key, err)
		}
		last = bytes.Clone(key)
		key, value = cursor.Next()
	}
	if key != nil {
		end, _ := cursor.Last()
		u.logger.LogAttrs(context.Background(), slog.LevelInfo, "upgrading the store",
			slog.String("bucket", string(part.bucket)), slog.String("done", fmt.Sprintf("%x", last)), slog.String("last", fmt.Sprintf("%x", end)))
		return schemaUpgrading, facts.Put(keyUpgrade, append([]byte{at[0]}, last...))
	}
	if next := at[0] + 1; int(next) < len(upgraded) {
		return schemaUpgrading, facts.Put(keyUpgrade, []byte{next})
	}
	return schema, errors.Join(upgradeLate(tx), tx.DeleteBucket(bucketFacts))
}

// upgradeLate says that the indexes that are written late are whole.
func upgradeLate(tx *bbolt.Tx) error {
	below, err := nextIndex(tx)
	if err != nil {
		return err
	}
	for _, t := range new(Store).lates() {
		if err := tx.Bucket(bucketLate).Put(t.name, number(below)); err != nil {
			return err
		}
	}
	return nil
}

// upgradeMessages finds messages by their state; there are few.
func upgradeMessages(tx *bbolt.Tx) error {
	return tx.Bucket(bucketOutbox).ForEach(func(_, value []byte) error {
		var m ca.Message
		if err := json.Unmarshal(value, &m); err != nil {
			return err
		}
		return tx.Bucket(bucketStates).Put(stateKey(m), number(seconds(m.Changed)))
	})
}

// upgradeStolen finds the keys that were compromised by the revocations for it, which are few.
func upgradeStolen(tx *bbolt.Tx) error {
	return tx.Bucket(bucketStatus).ForEach(func(_, value []byte) error {
		var rev ca.Revocation
		if err := json.Unmarshal(value, &rev); err != nil || rev.Reason != ca.KeyCompromise {
			return err
		}
		record, err := recordBySerial(tx, rev.Serial)
		if errors.Is(err, ca.ErrNotFound) {
			return nil // a closed intent
		}
		if err != nil {
			return err
		}
		return putStolen(tx, record, rev)
	})
}

func upgradeToken(tx *bbolt.Tx, _, value []byte) error {
	token, err := parseToken(value)
	if err != nil {
		return err
	}
	return tx.Bucket(bucketEnds).Put(tokenEnd(token), nil)
}

func upgradeRecord(tx *bbolt.Tx, index, value []byte) error {
	record, err := withStatus(tx, index, value)
	if err != nil {
		return err
	}
	keys, err := keysOf(record)
	if err != nil {
		return err
	}
	if err := putIndexes(tx, record, keys); err != nil || record.Revocation == nil {
		return err
	}
	if err := putStolen(tx, record, *record.Revocation); err != nil {
		return err
	}
	return tx.Bucket(bucketRevoked).Put(number(record.Index), number(seconds(record.NotAfter)))
}
