package boltstore_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
)

// A copy that is taken while others write is a store of its own, and holds what the snapshot says.
func TestACopyOfAStoreThatIsWrittenIsSound(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	store, err := boltstore.Open(t.Context(), boltstore.Config{Path: filepath.Join(dir, "store.db"), Log: storetest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	var writer sync.WaitGroup
	writer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			_, err := store.NextCRLNumber(t.Context(), "bank", audit.Event{Kind: audit.CRLSigned, Issuer: "bank"})
			if err != nil {
				t.Error(err)
				return
			}
		}
	})
	for i := range 5 {
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", i))
		copied, err := copyTo(store, path)
		if err != nil {
			t.Fatal(err)
		}
		again, err := boltstore.Open(t.Context(), boltstore.Config{Path: path, Log: storetest.Log(t)})
		if err != nil {
			t.Fatal(err)
		}
		newest, err := again.Newest()
		if err = errors.Join(err, again.Check(t.Context())); err != nil {
			t.Errorf("copy %d: %v", i, err)
		}
		if newest.LogSize != copied.LogSize || newest.LogRoot != copied.LogRoot || newest.CRLNumbers["bank"] != copied.LogSize || copied.CRLNumbers["bank"] != copied.LogSize {
			t.Errorf("copy %d: got %+v, want %+v", i, newest, copied)
		}
		if err := again.Close(); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	writer.Wait()
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func copyTo(store *boltstore.Store, path string) (of boltstore.Snapshot, err error) {
	f, err := os.Create(path)
	if err != nil {
		return of, err
	}
	err = store.Copy(func(s boltstore.Snapshot) (io.Writer, error) {
		of = s
		return f, nil
	})
	info, statErr := f.Stat()
	if err == nil && info.Size() != of.Octets {
		err = fmt.Errorf("got %d octets, want %d", info.Size(), of.Octets)
	}
	return of, errors.Join(err, statErr, f.Close())
}

func TestACopyThatCannotBeWrittenIsAnError(t *testing.T) {
	t.Parallel()
	store, err := boltstore.Open(t.Context(), boltstore.Config{Path: filepath.Join(t.TempDir(), "store.db"), Log: storetest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = store.Close() }()
	full := errors.New("no space left on device")
	for name, begin := range map[string]func(boltstore.Snapshot) (io.Writer, error){
		"refused":    func(boltstore.Snapshot) (io.Writer, error) { return nil, full },
		"broken off": func(boltstore.Snapshot) (io.Writer, error) { return broken{full}, nil },
	} {
		if err := store.Copy(begin); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}

// A broken writer takes nothing.
type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }
