package boltstore_test

import (
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
)

// open opens the store at the path with the suite's log; change may be nil.
func open(t testing.TB, path string, change func(*boltstore.Config)) *boltstore.Store {
	t.Helper()
	cfg := boltstore.Config{Path: path, Log: storetest.Log(t)}
	if change != nil {
		change(&cfg)
	}
	store, err := boltstore.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

// noSync is for what no power cut is part of.
func noSync(cfg *boltstore.Config) { cfg.NoSync = true }

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T) ca.Store { return open(t, t.TempDir()+"/ca.db", noSync) })
}

func TestStoreIsDurable(t *testing.T) {
	t.Parallel()
	storetest.RunDurable(t, func(t *testing.T, path string) ca.Store { return open(t, path, nil) })
}

func TestStoreUnderFaults(t *testing.T) {
	t.Parallel()
	storetest.RunFaults(t, func(t *testing.T, path string, f *storetest.Faults) ca.Store {
		return open(t, path, func(cfg *boltstore.Config) {
			cfg.NoSync, cfg.BeforeCommit, cfg.AfterCommit = true, f.BeforeCommit, f.AfterCommit
		})
	})
}
