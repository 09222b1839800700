package boltstore_test

import (
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/storetest"
	"github.com/payca/payca/policy"
)

// envMillion asks for the measurement of a large store: how many certificates.
const envMillion = "PAYCA_TEST_CERTIFICATES"

// envFile names a file that BenchmarkMillion loads once and keeps.
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
	wantOK(b, storetest.Load(b.Context(), store, n))
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

// BenchmarkMillion measures a store with many certificates: opening it, finding
// by serial, the first page of each filter, and what a certificate takes on the disk.
func BenchmarkMillion(b *testing.B) {
	path, n := loaded(b)
	info, err := os.Stat(path)
	wantOK(b, err)
	b.ReportMetric(float64(info.Size())/float64(n), "octets/certificate")
	start := time.Now()
	store := open(b, path, nil)
	b.ReportMetric(float64(time.Since(start).Microseconds())/1e3, "ms/open")
	some := sample(b, store, 2000)

	_, find := each(some, func(r ca.Record) { _, err := store.BySerial(b.Context(), r.Serial); wantOK(b, err) })
	_, status := each(some, func(r ca.Record) { _, err := store.Status(b.Context(), r.Issuer, r.Serial); wantOK(b, err) })
	b.ReportMetric(find, "µs/find-p99")
	b.ReportMetric(status, "µs/status-p99")
	for _, f := range filters(some[0]) {
		var rows int
		median, slowest := each(make([]ca.Record, 20), func(ca.Record) { rows = page(b, store, f.filter) })
		b.Logf("%-22s %3d rows: %.2f ms, slowest of 20 %.2f", f.name, rows, median/1e3, slowest/1e3)
	}
	b.ReportMetric(float64(anonymous())/(1<<20), "MiB-anonymous")
	wantOK(b, store.Close())
}

type named struct {
	name   string
	filter ca.Filter
}

// filters is one of each kind, and those of them together that a list is asked for.
func filters(r ca.Record) []named {
	yes, no := true, false
	now := epoch.AddDate(1, 0, 0)
	return []named{
		{"none", ca.Filter{}},
		{"cursor", ca.Filter{From: true, After: r.Index}},
		{"party", ca.Filter{Party: r.Party}},
		{"role", ca.Filter{Role: policy.Gateway}},
		{"issuer", ca.Filter{Issuer: r.Issuer}},
		{"issuer and profile", ca.Filter{Issuer: r.Issuer, Profile: r.Profile}},
		{"key", ca.Filter{SPKI: &r.SPKI}},
		{"name", ca.Filter{SAN: ca.AlternativeNames(r.DER)[0]}},
		{"revoked", ca.Filter{Revoked: &yes}},
		{"valid", ca.Filter{Revoked: &no, ValidAt: now, ByExpiry: true}},
		{"expired", ca.Filter{Revoked: &no, ExpiresBefore: now, ByExpiry: true}},
		{"expiring", ca.Filter{ExpiresFrom: now, ExpiresBefore: now.AddDate(0, 0, 30), ByExpiry: true}},
		{"expiring gateways", ca.Filter{Role: policy.Gateway, ExpiresFrom: now, ExpiresBefore: now.AddDate(0, 0, 30), ByExpiry: true}},
		{"valid of a party", ca.Filter{Party: r.Party, Revoked: &no, ValidAt: now}},
		{"revoked gateways", ca.Filter{Role: policy.Gateway, Revoked: &yes}},
		{"revoked and expiring", ca.Filter{Revoked: &yes, ExpiresFrom: now, ExpiresBefore: now.AddDate(0, 0, 30)}},
		{"nothing", ca.Filter{Party: "nobody"}},
	}
}

// page reads the first hundred.
func page(b *testing.B, store ca.Store, f ca.Filter) (rows int) {
	f.Limit = 100
	for _, err := range store.Certificates(b.Context(), f) {
		wantOK(b, err)
		rows++
	}
	return rows
}

// sample reads n records from all over the store.
func sample(b *testing.B, store ca.Store, n int) (some []ca.Record) {
	size := 0
	for r, err := range store.Certificates(b.Context(), ca.Filter{ByExpiry: true, ExpiresFrom: epoch.AddDate(1, 11, 0)}) {
		wantOK(b, err)
		size = max(size, int(r.Index))
	}
	for range n {
		for r, err := range store.Certificates(b.Context(), ca.Filter{From: true, After: uint64(rand.IntN(size)), Limit: 1}) {
			wantOK(b, err)
			some = append(some, r)
		}
	}
	return some
}

// each measures f on every record and returns the median and the 99th percentile in microseconds.
func each(records []ca.Record, f func(ca.Record)) (median, p99 float64) {
	took := make([]time.Duration, len(records))
	for i, r := range records {
		start := time.Now()
		f(r)
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	of := func(i int) float64 { return float64(took[i].Nanoseconds()) / 1e3 }
	return of(len(took) / 2), of(len(took) * 99 / 100)
}

// anonymous is the memory of the process that no file backs, in octets; 0 where the system does not tell.
func anonymous() (size int) {
	runtime.GC()
	raw, err := os.ReadFile("/proc/self/smaps_rollup")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "Anonymous:"); ok {
			size, _ = strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
		}
	}
	return size << 10
}

// BenchmarkIssueIntoMillion issues into a copy of a large store, 16 callers at a time.
func BenchmarkIssueIntoMillion(b *testing.B) {
	path, _ := loaded(b)
	store := open(b, path, nil)
	var last int64
	var mu sync.Mutex
	seed := rand.Int64()
	b.SetParallelism(max(1, 16/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			mu.Lock()
			last++
			sum := sha256.Sum256(strconv.AppendInt(strconv.AppendInt(nil, seed, 10), last, 10))
			mu.Unlock()
			var s ca.Serial
			copy(s[:], sum[:])
			s[0] = s[0]&0x3f | 0x40
			if _, err := issue(b.Context(), store, s); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(last)/b.Elapsed().Seconds(), "certificates/s")
	wantOK(b, errors.Join(store.Close()))
}
