package agent

import (
	"bytes"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca/boltlog"
)

// The versions before this one. A file that is half-way says so, so that no older payca opens it.
const (
	schemaFirst     = "payment-1"
	schemaUpgrading = "payment-1 to 2"
)

// upgradeRows is how many rows one transaction of an upgrade moves.
const upgradeRows = 2000

// moved are the buckets of the first version, and where a row of each belongs now. The bucket of states is one of this
// version, too: it keeps the rows that are no payment's.
var moved = []struct {
	from []byte
	to   func(key []byte) (bucket, moved []byte)
}{
	{[]byte("objects"), func(key []byte) (bucket, moved []byte) {
		id, number := key[:len(key)-2], key[len(key)-2:]
		return bucketPayments, append(objectPrefix(string(id)), number...)
	}},
	{[]byte("operations"), func(key []byte) (bucket, moved []byte) { return bucketPayments, operationKey(string(key)) }},
	{[]byte("jobs"), func(key []byte) (bucket, moved []byte) {
		name, id, _ := bytes.Cut(key, []byte{0})
		return bucketJobs, jobKey(string(name), string(id))
	}},
	{bucketState, func(key []byte) (bucket, moved []byte) { return stateKey(string(key)) }},
}

// upgrade brings a store of the first version to this one, which keeps together what belongs to a payment. It moves so many
// rows in one transaction.
func upgrade(tx *bbolt.Tx, from string) (string, error) {
	if from != schemaFirst && from != schemaUpgrading {
		return "", &boltlog.SchemaError{Got: from, Want: schema}
	}
	left := upgradeRows
	for _, m := range moved {
		bucket := tx.Bucket(m.from)
		if bucket == nil {
			continue
		}
		done, err := move(tx, bucket, m.to, left)
		if err != nil {
			return "", fmt.Errorf("upgrading %s: %w", m.from, err)
		}
		if left -= done; left == 0 {
			return schemaUpgrading, nil
		}
		if first, _ := bucket.Cursor().First(); first == nil && !bytes.Equal(m.from, bucketState) {
			if err := tx.DeleteBucket(m.from); err != nil {
				return "", err
			}
		}
	}
	return schema, nil
}

// move moves at most so many rows of a bucket to where they belong now, and returns how many it moved.
func move(tx *bbolt.Tx, bucket *bbolt.Bucket, to func(key []byte) (bucket, moved []byte), most int) (done int, err error) {
	var rows [][2][]byte
	cursor := bucket.Cursor()
	for key, value := cursor.First(); key != nil && len(rows) < most; key, value = cursor.Next() {
		if name, _ := to(key); !bytes.Equal(name, bucketState) { // else it stays
			rows = append(rows, [2][]byte{bytes.Clone(key), bytes.Clone(value)})
		}
	}
	for _, row := range rows {
		name, at := to(row[0])
		if err := tx.Bucket(name).Put(at, row[1]); err != nil {
			return 0, err
		}
		if err := bucket.Delete(row[0]); err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}
