package boltstore

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/bulk"
)

// lateStore is a store whose commits can be made to fail.
type lateStore struct {
	*Store
	path string
	fail atomic.Pointer[func() error]
}

func openLate(t *testing.T, path string) *lateStore {
	t.Helper()
	log, err := audit.New(audit.Config{Origin: "late.test/ca", Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	l := &lateStore{path: path}
	l.Store, err = Open(t.Context(), Config{Path: path, Log: log, NoSync: true, BeforeCommit: func() error {
		if fail := l.fail.Load(); fail != nil {
			return (*fail)()
		}
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// look finds every certificate by its thumbprint, and returns how many there are, and how many entries wait in each index.
func (l *lateStore) look(t *testing.T) (certificates, waiting int) {
	t.Helper()
	for r, err := range l.Certificates(t.Context(), ca.Filter{}) {
		if err != nil {
			t.Fatal(err)
		}
		found, err := l.ByThumbprint(t.Context(), sha256.Sum256(r.DER))
		if err != nil || found.Index != r.Index {
			t.Fatalf("certificate %d by its thumbprint: got %d, %v", r.Index, found.Index, err)
		}
		known, err := l.Key(t.Context(), r.SPKI)
		if err != nil || known.Newest == nil || known.Newest.Index != r.Index {
			t.Fatalf("certificate %d by its key: got %+v, %v", r.Index, known.Newest, err)
		}
		n := 0
		for same, err := range l.Certificates(t.Context(), ca.Filter{SPKI: &r.SPKI}) {
			if n++; err != nil || same.Index != r.Index {
				t.Fatalf("certificates with the key of %d: got %d, %v", r.Index, same.Index, err)
			}
		}
		if n != 1 {
			t.Fatalf("%d certificates with the key of %d, want 1", n, r.Index)
		}
		certificates++
	}
	if _, err := l.ByThumbprint(t.Context(), [32]byte{1}); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("no certificate: got %v, want ErrNotFound", err)
	}
	return certificates, (len(l.thumbs.list()) + len(l.keys.list()) + 1) / 2
}

// writeAll writes what waits, of both indexes.
func (l *lateStore) writeAll(ctx context.Context) error {
	if err := l.write(ctx, &l.thumbs); err != nil {
		return err
	}
	return l.write(ctx, &l.keys)
}

// rows counts the entries in the file.
func (l *lateStore) rows(t *testing.T) (n int) {
	t.Helper()
	if err := l.db.View(func(tx *bbolt.Tx) error { n = tx.Bucket(bucketThumbs).Stats().KeyN; return nil }); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestIndexesWaitAndAreWrittenInTheEnd(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "ca.db")
	l := openLate(t, path)
	const n = settleRows + 500
	load := func() {
		t.Helper()
		if err := bulk.Load(t.Context(), l.Store, n, 64); err != nil {
			t.Fatal(err)
		}
	}
	load()
	if c, w := l.look(t); c != n || w != n || l.rows(t) != 0 {
		t.Errorf("%d certificates, %d wait, %d rows; want %d, all waiting", c, w, l.rows(t), n)
	}
	if err := errors.Join(l.Close()); err != nil {
		t.Fatal(err)
	}
	l = openLate(t, path)
	if c, w := l.look(t); c != n || w != n {
		t.Errorf("opened again: %d certificates, %d wait; want %d", c, w, n)
	}

	// The second part of them cannot be written: nothing is lost, and nothing believed that is not so.
	commits, full := 0, errors.New("disk full")
	fail := func() error {
		if commits++; commits == 3 { // the first finds what waits
			return full
		}
		return nil
	}
	l.fail.Store(&fail)
	if err := l.writeAll(t.Context()); !errors.Is(err, full) {
		t.Fatalf("got %v, want %v", err, full)
	}
	l.fail.Store(nil)
	if c, w := l.look(t); c != n || w != n || l.rows(t) != settleRows {
		t.Errorf("cut off: %d certificates, %d wait, %d rows; want all waiting and %d rows", c, w, l.rows(t), settleRows)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLate(t, path)
	if c, w := l.look(t); c != n || w != n {
		t.Errorf("opened after that: %d certificates, %d wait; want %d", c, w, n)
	}
	if err := l.writeAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, w := l.look(t); c != n || w != 0 || l.rows(t) != n {
		t.Errorf("written: %d certificates, %d wait, %d rows; want %d, none waiting", c, w, l.rows(t), n)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = openLate(t, path)
	if c, w := l.look(t); c != n || w != 0 {
		t.Errorf("opened in the end: %d certificates, %d wait; want %d, none waiting", c, w, n)
	}
}

func TestACertificateIsFoundAtEveryMoment(t *testing.T) {
	t.Parallel()
	l := openLate(t, filepath.Join(t.TempDir(), "ca.db"))
	if err := bulk.Load(t.Context(), l.Store, 100, 64); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					l.look(t)
				}
			}
		})
	}
	for i := range 10 {
		for j := range 10 {
			issue(t, l.Store, i*10+j)
		}
		if err := l.writeAll(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	group.Wait()
	if c, w := l.look(t); c != 200 || w != 0 {
		t.Errorf("%d certificates, %d wait; want 200 and none", c, w)
	}
}

// issue writes a certificate of its own.
func issue(t *testing.T, s *Store, n int) {
	t.Helper()
	serial := ca.Serial{0x11, 18: byte(n >> 8), 19: byte(n)}
	r := ca.Record{Serial: serial, Issuer: "late", Profile: "late", Party: "late", Role: "merchant", DER: append([]byte("certificate"), serial[:]...)}
	r.SPKI = sha256.Sum256(serial[:])
	r.NotBefore, r.NotAfter = bulk.Epoch, bulk.Epoch.AddDate(1, 0, 0)
	if err := s.Reserve(t.Context(), ca.Intent{Serial: serial, Issuer: "late", At: bulk.Epoch}); err != nil {
		t.Error(err)
	}
	if _, err := s.Issue(t.Context(), ca.Issuance{Record: r, Event: audit.Event{Time: bulk.Epoch, Kind: audit.CertificateIssued}}); err != nil {
		t.Error(err)
	}
}
