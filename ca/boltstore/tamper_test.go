package boltstore_test

import (
	"bytes"
	"errors"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
)

func TestVerifyNamesTheEntryThatWasTamperedWith(t *testing.T) {
	t.Parallel()
	const size = 23
	change := func(tx *bbolt.Tx, index uint64) error {
		leaf := bytes.Clone(tx.Bucket(bucketLog).Get(number(index)))
		leaf[len(leaf)/2] ^= 1
		return tx.Bucket(bucketLog).Put(number(index), leaf)
	}
	remove := func(tx *bbolt.Tx, index uint64) error { return tx.Bucket(bucketLog).Delete(number(index)) }
	for _, tt := range []struct {
		name string
		edit func(tx *bbolt.Tx) error
		want uint64
	}{
		{"one octet of the first entry", func(tx *bbolt.Tx) error { return change(tx, 0) }, 0},
		{"one octet of an entry", func(tx *bbolt.Tx) error { return change(tx, 11) }, 11},
		{"one octet of the last entry", func(tx *bbolt.Tx) error { return change(tx, size-1) }, size - 1},
		{"the first entry deleted", func(tx *bbolt.Tx) error { return remove(tx, 0) }, 0},
		{"an entry deleted", func(tx *bbolt.Tx) error { return remove(tx, 9) }, 9},
		{"the last entry deleted", func(tx *bbolt.Tx) error { return remove(tx, size-1) }, size - 1},
		{"an entry changed and a later one deleted", func(tx *bbolt.Tx) error { return errors.Join(change(tx, 4), remove(tx, 9)) }, 4},
		{"two entries swapped", func(tx *bbolt.Tx) error {
			log := tx.Bucket(bucketLog)
			a, b := bytes.Clone(log.Get(number(5))), bytes.Clone(log.Get(number(17)))
			return errors.Join(log.Put(number(5), b), log.Put(number(17), a))
		}, 5},
		{"the tail cut with its hashes", func(tx *bbolt.Tx) error {
			for index := uint64(19); index < size; index++ {
				if err := remove(tx, index); err != nil {
					return err
				}
			}
			for at := tlog.StoredHashIndex(0, 19); at < tlog.StoredHashCount(size); at++ {
				if err := tx.Bucket(bucketHash).Delete(number(uint64(at))); err != nil {
					return err
				}
			}
			return nil
		}, 19},
		{"everything cut", func(tx *bbolt.Tx) error {
			for _, name := range [][]byte{bucketLog, bucketHash} {
				deleted := tx.DeleteBucket(name)
				_, created := tx.CreateBucket(name)
				if err := errors.Join(deleted, created); err != nil {
					return err
				}
			}
			return nil
		}, 0},
		{"an entry changed with its hash", func(tx *bbolt.Tx) error {
			if err := change(tx, 11); err != nil {
				return err
			}
			hash := tlog.RecordHash(tx.Bucket(bucketLog).Get(number(11)))
			return tx.Bucket(bucketHash).Put(number(uint64(tlog.StoredHashIndex(0, 11))), hash[:])
		}, size},
		{"the hash of an entry deleted", func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketHash).Delete(number(uint64(tlog.StoredHashIndex(0, 11))))
		}, 11},
		{"an entry under a key that is no index", func(tx *bbolt.Tx) error { return tx.Bucket(bucketLog).Put([]byte("end"), []byte("{}")) }, size},
		{"an entry too many", func(tx *bbolt.Tx) error { return tx.Bucket(bucketLog).Put(number(size), []byte("{}")) }, size},
		{"the head deleted", func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("head")) }, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ca.db")
			store := open(t, path, nil)
			for i := range size {
				wantOK(t, store.Append(t.Context(), audit.Event{Time: epoch, Kind: audit.Started, Actor: string(rune('a' + i))}))
			}
			wantSound(t, store)
			wantOK(t, store.Close())
			edit(t, path, tt.edit)

			reader, err := boltstore.OpenReadOnly(path)
			wantOK(t, err)
			report, err := audit.Verify(t.Context(), reader.Log(), storetest.Log(t).VerifierKey())
			if bad := (*audit.Corruption)(nil); !errors.As(err, &bad) || bad.Index != tt.want {
				t.Errorf("got %+v, %v, want entry %d", report, err, tt.want)
			}
			wantOK(t, reader.Close())
		})
	}
}
