package boltstore_test

import (
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
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
