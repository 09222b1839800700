package boltlog_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

var bucket = []byte("things")

func open(t *testing.T, path string, beforeCommit func() error) *boltlog.DB {
	t.Helper()
	log, err := audit.New(audit.Config{Origin: "test/log", Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	db, err := boltlog.Open(boltlog.Config{Path: path, Schema: "1", Buckets: [][]byte{bucket}, Log: log, BeforeCommit: beforeCommit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// put writes a thing and a leaf; fail is returned after both.
func put(db *boltlog.DB, name string, fail error) error {
	return db.Write(context.Background(), func(tx *bbolt.Tx) error {
		if err := tx.Bucket(bucket).Put([]byte(name), []byte("x")); err != nil {
			return boltlog.Undo(err)
		}
		if _, err := db.Append(tx, audit.Event{Time: time.Unix(1, 0), Kind: "test.put", Party: name}); err != nil {
			return boltlog.Undo(err)
		}
		return boltlog.Undo(fail)
	})
}

func count(t *testing.T, db *boltlog.DB) (things, leaves int) {
	t.Helper()
	err := db.View(func(tx *bbolt.Tx) error {
		things = tx.Bucket(bucket).Stats().KeyN
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	all, err := db.Log().Leaves(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return things, len(all)
}

func TestAnOperationThatFailsAfterItWroteIsTakenOut(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "a.db"), nil)
	refusal := errors.New("refused late")
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			var want error
			if i%3 == 0 {
				want = refusal
			}
			if err := put(db, fmt.Sprint(i), want); !errors.Is(err, want) {
				t.Errorf("operation %d: got %v, want %v", i, err, want)
			}
		})
	}
	wg.Wait()
	if things, leaves := count(t, db); things != 40 || leaves != 40 {
		t.Errorf("got %d things and %d leaves, want 40 of each", things, leaves)
	}
	if err := db.Check(nil); err != nil {
		t.Error(err)
	}
}

func TestACommitThatFailsLosesRecordAndLeafAlike(t *testing.T) {
	t.Parallel()
	full := errors.New("disk full")
	var fail error
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path, func() error { return fail })
	if err := put(db, "one", nil); err != nil {
		t.Fatal(err)
	}
	fail = full
	if err := put(db, "two", nil); !errors.Is(err, full) {
		t.Errorf("got %v, want %v", err, full)
	}
	fail = nil
	if err := put(db, "three", nil); err != nil {
		t.Errorf("after the fault: %v", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if things, leaves := count(t, open(t, path, nil)); things != 2 || leaves != 2 {
		t.Errorf("got %d things and %d leaves after reopening, want 2 of each", things, leaves)
	}
}

func TestASecondOpenerIsToldWhoHasTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	db := open(t, path, nil)
	var locked *boltlog.LockedError
	if _, err := boltlog.OpenReadOnly(path, "1"); !errors.As(err, &locked) || locked.Owner == 0 {
		t.Errorf("got %v, want *LockedError with the owner", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := put(db, "late", nil); err == nil {
		t.Error("a write after Close was done, want an error")
	}
	if _, err := boltlog.OpenReadOnly(path, "2"); err == nil {
		t.Error("a file of another schema was opened, want an error")
	}
	again, err := boltlog.OpenReadOnly(path, "1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = again.Close() }()
	if err := put(again, "x", nil); err == nil {
		t.Error("a write to what is open for reading was done, want an error")
	}
}
