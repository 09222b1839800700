package boltstore_test

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/bulk"
)

// envMillion asks for the measurement of a large store: how many certificates.
const envMillion = "PAYCA_TEST_CERTIFICATES"

// envFile names a file that is loaded once and kept.
const envFile = "PAYCA_TEST_STORE_FILE"

// loaded opens a store with as many certificates as the environment asks for.
func loaded(b *testing.B) (path string, n int) {
	n, err := strconv.Atoi(os.Getenv(envMillion))
	if err != nil {
		b.Skip("set " + envMillion + "=1000000 to measure")
	}
	if path = os.Getenv(envFile); path == "" {
		path = filepath.Join(b.TempDir(), "ca.db")
	}
	if _, err := os.Stat(path); err == nil {
		return path, n
	}
	start := time.Now()
	store := open(b, path, noSync)
	wantOK(b, bulk.Load(b.Context(), store, n, 512))
	count := 0
	var wait sync.WaitGroup
	for r, err := range store.Certificates(b.Context(), ca.Filter{}) {
		wantOK(b, err)
		if count++; count%100 != 0 {
			continue
		}
		wait.Go(func() {
			rev := revocation(r.Serial)
			rev.Issuer = r.Issuer
			if err := store.Revoke(b.Context(), rev, audit.Event{Time: epoch, Kind: audit.CertificateRevoked}); err != nil {
				b.Error(err)
			}
		})
	}
	wait.Wait()
	wantOK(b, store.Close())
	b.Logf("loaded %d certificates in %s", n, time.Since(start).Round(time.Second))
	return path, n
}

// BenchmarkIssueIntoMillion issues certificates with names of their own into the large store, 16 callers at a time,
// and counts what that writes to the disk. It changes the file.
func BenchmarkIssueIntoMillion(b *testing.B) {
	path, _ := loaded(b)
	store := open(b, path, nil)
	before := written()
	b.ResetTimer()
	wantOK(b, bulk.Load(b.Context(), store, b.N, 16))
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "certificates/s")
	b.ReportMetric(float64(written()-before)/float64(b.N)/1024, "KiB-written/certificate")
	wantOK(b, store.Close())
}

// written is what the process sent to the disk, in octets; 0 where the system does not tell.
func written() (n int) {
	raw, err := os.ReadFile("/proc/self/io")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "write_bytes:"); ok {
			n, _ = strconv.Atoi(strings.TrimSpace(rest))
		}
	}
	return n
}
