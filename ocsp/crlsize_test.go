package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"iter"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// million yields n entries without holding them.
func million(n int) iter.Seq2[ocsp.Entry, error] {
	reasons, start := []int{0, 1, 4, 5}, epoch.Unix()
	return func(yield func(ocsp.Entry, error) bool) {
		serial := slices.Repeat([]byte{0x7f}, 20)
		for i := range n {
			serial[17], serial[18], serial[19] = byte(i>>16), byte(i>>8), byte(i)
			if !yield(ocsp.Entry{Serial: serial, At: time.Unix(start-int64(i), 0), Reason: reasons[i%4]}, nil) {
				return
			}
		}
	}
}

// digest signs with P-256 what it hashes, as an authority does.
func (a *authority) digest(tbs func(io.Writer) error) ([]byte, error) {
	h := sha256.New()
	if err := tbs(h); err != nil {
		return nil, err
	}
	return a.key.Sign(rand.Reader, h.Sum(nil), crypto.SHA256)
}

// Case 50: a list of a million entries is written, and read back, in little memory.
func TestAMillionEntriesInLittleMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("a list of 40 MB")
	}
	const n, limit = 1_000_000, 16 << 20
	ca := newAuthority(t, "ca", "P-256")
	f, err := os.Create(filepath.Join(t.TempDir(), "million.crl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	allocated := func(do func() error) uint64 {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := do(); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	if got := allocated(func() error { return ca.crl(1).Write(f, million(n), ca.digest) }); got > limit {
		t.Errorf("writing allocated %d octets in all, want at most %d", got, limit)
	}
	entries := 0
	got := allocated(func() error {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := ocsp.ScanCRL(f, ca.cert, func(ocsp.Entry) error { entries++; return nil })
		return err
	})
	if got > limit || entries != n {
		t.Errorf("reading %d entries allocated %d octets in all, want %d entries and at most %d", entries, got, n, limit)
	}
}

// FuzzScanCRL reads lists as a stream and at once: both must say the same.
func FuzzScanCRL(f *testing.F) {
	ca := newAuthority(f, "ca", "P-256")
	shard, delta := ca.crl(3), ca.crl(4)
	shard.Shard, delta.Base = "http://a/1.crl", 3
	f.Add(ca.signCRL(f, ca.crl(1)))
	f.Add(ca.signCRL(f, ca.crl(2), manyEntries(12)...))
	f.Add(ca.signCRL(f, shard, manyEntries(2)...))
	f.Add(ca.signCRL(f, delta, ocsp.Entry{Serial: []byte{1}, At: epoch, Reason: 8, Invalidity: epoch}))
	f.Fuzz(func(t *testing.T, der []byte) {
		l, err := ocsp.ParseCRL(der)
		n := 0
		info, scanErr := ocsp.ScanCRL(fewOctets{bytes.NewReader(der)}, ca.cert, func(ocsp.Entry) error { n++; return nil })
		if err != nil {
			if scanErr == nil {
				t.Fatalf("refused at once (%v), read as a stream", err)
			}
			return
		}
		if verified := l.CheckSignatureFrom(ca.cert) == nil; verified != (scanErr == nil) {
			t.Fatalf("verified at once: %t; as a stream: %v", verified, scanErr)
		}
		if scanErr == nil && (info.Number != l.Number || n != l.Len() || info.Delta != l.Delta || !slices.Equal(info.URIs, l.URIs)) {
			t.Fatalf("got %+v with %d entries, want %+v with %d", info, n, l.ListInfo, l.Len())
		}
	})
}

// fewOctets gives a few octets at a time.
type fewOctets struct{ r io.Reader }

func (o fewOctets) Read(p []byte) (int, error) { return o.r.Read(p[:min(len(p), 7)]) }
