package boltstore_test

import (
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/bulk"
)

// BenchmarkIssue reserves and issues certificates with 16 concurrent callers, two durable writes each.
func BenchmarkIssue(b *testing.B) {
	const callers = 16
	store := open(b, filepath.Join(b.TempDir(), "ca.db"), nil)
	var last atomic.Int64
	b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := issue(b.Context(), store, serial(last.Add(1))); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(last.Load())/b.Elapsed().Seconds(), "certificates/s")
	if err := store.Close(); err != nil {
		b.Error(err)
	}
}

// BenchmarkStatus asks for the status of good serials of a store with 2,000 certificates.
func BenchmarkStatus(b *testing.B) {
	store := open(b, filepath.Join(b.TempDir(), "ca.db"), noSync)
	wantOK(b, bulk.Load(b.Context(), store, 2000, 512))
	var good []ca.Record
	for r, err := range store.Certificates(b.Context(), ca.Filter{}) {
		wantOK(b, err)
		good = append(good, r)
	}
	i := 0
	for b.Loop() {
		r := good[i%len(good)]
		i++
		if status, err := store.Status(b.Context(), r.Issuer, r.Serial); err != nil || !status.Issued || status.Revocation != nil {
			b.Fatal(status, err)
		}
	}
	wantOK(b, store.Close())
}
