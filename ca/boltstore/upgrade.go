package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca/boltlog"
)

// The versions before this one. A file that is half-way says so, so that no older payca opens it.
const (
	schemaFirst     = "1"
	schemaUpgrading = "1 to 2"
)

// upgradeRows is how many certificates one transaction of an upgrade gives their new keys.
const upgradeRows = 2000

// keyUpgrade, in the bucket of this store's own facts, is the last index that the upgrade has done.
var (
	bucketFacts = []byte("facts")
	keyUpgrade  = []byte("upgraded")
)

// upgrade brings a file of version 1 to this one. Version 1 had the same records, the
// serial and party indexes without values, and no index by kind, expiry, name or revocation.
type upgrade struct{ logger *slog.Logger }

// step is one transaction: it gives the next records their keys. Certificates stay as they are.
func (u *upgrade) step(tx *bbolt.Tx, from string) (string, error) {
	if from != schemaFirst && from != schemaUpgrading {
		return "", &boltlog.SchemaError{Got: from, Want: schema}
	}
	facts, err := tx.CreateBucketIfNotExists(bucketFacts)
	if err != nil {
		return "", err
	}
	cursor := tx.Bucket(bucketCerts).Cursor()
	key, value := cursor.First()
	if last := facts.Get(keyUpgrade); last != nil {
		if key, value = cursor.Seek(last); bytes.Equal(key, last) {
			key, value = cursor.Next()
		}
	}
	var done []byte
	for rows := 0; key != nil && rows < upgradeRows; rows++ {
		if err := upgradeRecord(tx, key, value); err != nil {
			return "", fmt.Errorf("upgrading the certificate at log index %x: %w", key, err)
		}
		done = bytes.Clone(key)
		key, value = cursor.Next()
	}
	if key == nil {
		return schema, tx.DeleteBucket(bucketFacts)
	}
	end, _ := cursor.Last()
	u.logger.LogAttrs(context.Background(), slog.LevelInfo, "upgrading the store",
		slog.Uint64("index", binary.BigEndian.Uint64(done)), slog.Uint64("last", binary.BigEndian.Uint64(end)))
	return schemaUpgrading, facts.Put(keyUpgrade, done)
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
	return tx.Bucket(bucketRevoked).Put(number(record.Index), nil)
}
