package notice_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/bulk"
	"github.com/payca/payca/ca/storetest"
	"github.com/payca/payca/cmd/internal/notice"
)

// BenchmarkScan looks at 20,000 certificates that end within the threshold and were told of before, as each hour does.
func BenchmarkScan(b *testing.B) {
	const certificates = 20_000
	store, err := boltstore.Open(b.Context(), boltstore.Config{Path: filepath.Join(b.TempDir(), "store"), Log: storetest.Log(b), NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = store.Close() })
	if err := bulk.Load(b.Context(), store, certificates, 512); err != nil {
		b.Fatal(err)
	}
	now := time.Date(2030, time.June, 1, 0, 0, 0, 0, time.UTC)
	n, err := notice.New(notice.Config{
		Store: store, Thresholds: []time.Duration{4 * 365 * day}, Now: func() time.Time { return now }, Targets: map[string]notice.Target{"webhook": &recorder{}},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := n.Scan(b.Context()); err != nil {
		b.Fatal(err)
	}
	found, start := 0, time.Now()
	for b.Loop() {
		if err := n.Scan(b.Context()); err != nil {
			b.Fatal(err)
		}
		found++
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/float64(found)/certificates, "µs/certificate")
}
