package boltstore_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
)

func TestOpenRefusesHalfAConfiguration(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]boltstore.Config{
		"no path": {Log: storetest.Log(t)},
		"no log":  {Path: filepath.Join(t.TempDir(), "ca.db")},
	} {
		if store, err := boltstore.Open(t.Context(), cfg); err == nil {
			t.Errorf("%s: got %v, want an error", name, store)
		}
	}
}

func TestALockedFileNamesItsOwner(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.db")
	store := open(t, path, nil)
	_, writing := boltstore.Open(t.Context(), boltstore.Config{Path: path, Log: storetest.Log(t)})
	_, reading := boltstore.OpenReadOnly(path)
	for name, err := range map[string]error{"Open": writing, "OpenReadOnly": reading} {
		locked := (*boltstore.LockedError)(nil)
		if !errors.As(err, &locked) || locked.Owner != os.Getpid() || locked.Path != path ||
			!strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
			t.Errorf("%s: got %v, want *LockedError with process %d", name, err, os.Getpid())
		}
	}
	wantOK(t, store.Close())
	wantOK(t, open(t, path, nil).Close())
}

func TestAClosedStoreClosesAgain(t *testing.T) {
	t.Parallel()
	store := open(t, filepath.Join(t.TempDir(), "ca.db"), nil)
	wantOK(t, store.Close())
	wantOK(t, store.Close())
}

func TestOpenReadOnlySeesTheDataAndRefusesWrites(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.db")
	store := open(t, path, nil)
	fill(t, store)
	want := storetest.Dump(t, store, tokenID)
	wantOK(t, store.Close())

	reader, err := boltstore.OpenReadOnly(path)
	wantOK(t, err)
	second, err := boltstore.OpenReadOnly(path)
	wantOK(t, err)
	for _, w := range writes() {
		if err := w.write(t.Context(), reader); err == nil {
			t.Errorf("%s: got nil, want an error", w.name)
		}
	}
	if got := storetest.Dump(t, reader, tokenID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if report, err := audit.Verify(t.Context(), second.Log(), storetest.Log(t).VerifierKey()); err != nil || report.Size == 0 {
		t.Errorf("got %+v, %v, want the log verified", report, err)
	}
	wantOK(t, errors.Join(second.Close(), reader.Close()))
}

func TestOpenReadOnlyMakesNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := boltstore.OpenReadOnly(filepath.Join(dir, "ca.db")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want %v", err, os.ErrNotExist)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("got %v, %v, want no file", entries, err)
	}
}

func TestAFileThatIsNotThisStoreIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		make func(t *testing.T, path string)
		want string
	}{
		{"another version of the layout", func(t *testing.T, path string) {
			wantOK(t, open(t, path, nil).Close())
			edit(t, path, func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("7")) })
		}, "schema version 7, this payca reads 6"},
		{"no database", func(t *testing.T, path string) {
			wantOK(t, os.WriteFile(path, []byte(strings.Repeat("not a database\n", 4096)), 0o600))
		}, "invalid database"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ca.db")
			tt.make(t, path)
			before, err := os.ReadFile(path)
			wantOK(t, err)
			_, writing := boltstore.Open(t.Context(), boltstore.Config{Path: path, Log: storetest.Log(t)})
			_, reading := boltstore.OpenReadOnly(path)
			for name, err := range map[string]error{"Open": writing, "OpenReadOnly": reading} {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("%s: got %v, want %q", name, err, tt.want)
				}
			}
			if after, err := os.ReadFile(path); err != nil || len(after) != len(before) {
				t.Errorf("got %d octets, %v, want the file as it was, %d octets", len(after), err, len(before))
			}
		})
	}
}

func TestCheckFindsALogThatIsNotWhatItsHeadSays(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		edit func(tx *bbolt.Tx) error
		ok   bool
	}{
		{"a sound store", func(*bbolt.Tx) error { return nil }, true},
		{"the last entry cut", func(tx *bbolt.Tx) error {
			last, _ := tx.Bucket(bucketLog).Cursor().Last()
			return tx.Bucket(bucketLog).Delete(last)
		}, false},
		{"the whole log cut", func(tx *bbolt.Tx) error {
			deleted := tx.DeleteBucket(bucketLog)
			_, created := tx.CreateBucket(bucketLog)
			return errors.Join(deleted, created, tx.Bucket([]byte("meta")).Delete([]byte("head")))
		}, false},
		{"no head", func(tx *bbolt.Tx) error { return tx.Bucket([]byte("meta")).Delete([]byte("head")) }, false},
		{"a changed hash that the next entry would be added to", func(tx *bbolt.Tx) error {
			return tx.Bucket(bucketHash).Put(number(2), make([]byte, 32)) // of entries 0 and 1
		}, false},
		{"a head that no one signed", func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("head"), []byte("store.test/ca\n3\nAAAA\n"))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "ca.db")
			store := open(t, path, nil)
			fill(t, store)
			wantOK(t, store.Close())
			edit(t, path, tt.edit)
			store = open(t, path, nil)
			if err := store.Check(t.Context()); (err == nil) != tt.ok {
				t.Errorf("got %v, want it sound: %t", err, tt.ok)
			}
			wantOK(t, store.Close())
		})
	}
}

func TestCheckOfAStoreOpenForReadingSaysThatItCannot(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.db")
	store := open(t, path, nil)
	fill(t, store)
	wantOK(t, store.Close())
	reader, err := boltstore.OpenReadOnly(path)
	wantOK(t, err)
	if err := reader.Check(t.Context()); err == nil {
		t.Error("got nil, want an error")
	}
	wantOK(t, reader.Close())
}

func TestACancelledContextWritesNothing(t *testing.T) {
	t.Parallel()
	store := open(t, filepath.Join(t.TempDir(), "ca.db"), nil)
	fill(t, store)
	want := storetest.Dump(t, store, tokenID)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, w := range writes() {
		if err := w.write(ctx, store); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: got %v, want %v", w.name, err, context.Canceled)
		}
	}
	if got := storetest.Dump(t, store, tokenID); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	wantOK(t, store.Close())
}
