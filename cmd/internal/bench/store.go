package bench

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/bulk"
	"github.com/payca/payca/policy"
)

// benchLog is the log of the large store, under a key that everybody knows.
func benchLog() (*audit.Log, error) {
	return audit.New(audit.Config{Origin: "bench.example/ca", Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
}

// largeStore measures a store with many certificates.
func largeStore(ctx context.Context, r *runner) (err error) {
	dir := r.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "payca-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	path := filepath.Join(dir, fmt.Sprintf("store-%d.db", r.Certificates))
	log, err := benchLog()
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); err != nil {
		r.Progress("  loading %d certificates into %s", r.Certificates, path)
		if err := fill(ctx, path, log, r.Certificates); err != nil {
			return err
		}
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	r.add("file, of each certificate", float64(info.Size())/float64(r.Certificates), "octets", 2000)
	start := time.Now()
	store, err := boltstore.Open(ctx, boltstore.Config{Path: path, Log: log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	r.add("opening", millis(time.Since(start)), "ms", 1000)
	if err := r.finding(ctx, store); err != nil {
		return err
	}
	if err := r.listing(ctx, store); err != nil {
		return err
	}
	r.add("anonymous memory after a collection", float64(anonymous())/1e6, "MB", 100)
	start = time.Now()
	if _, err := audit.Verify(ctx, store.Log(), log.VerifierKey()); err != nil {
		return err
	}
	r.add("verifying the log", time.Since(start).Seconds(), "s", 30*float64(r.Certificates)/1e6)
	return nil
}

// fill loads a store, under another name until it is whole.
func fill(ctx context.Context, path string, log *audit.Log, n int) error {
	building := path + ".loading"
	if err := os.Remove(building); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	store, err := boltstore.Open(ctx, boltstore.Config{Path: building, Log: log, NoSync: true})
	if err != nil {
		return err
	}
	if err := errors.Join(bulk.Load(ctx, store, n, 512), store.Close()); err != nil {
		return errors.Join(err, os.Remove(building))
	}
	return os.Rename(building, path)
}

// finding measures looking certificates up by serial.
func (r *runner) finding(ctx context.Context, store ca.Store) error {
	var some []ca.Record
	for range r.n(1000) {
		filter := ca.Filter{From: true, After: uint64(rand.IntN(r.Certificates)), Limit: 1} //nolint:gosec // a sample
		for record, err := range store.Certificates(ctx, filter) {
			if err != nil {
				return err
			}
			some = append(some, record)
		}
	}
	if len(some) == 0 {
		return errors.New("the store is empty")
	}
	find, err := slowest(len(some), 0.99, func(i int) error { _, err := store.BySerial(ctx, some[i].Serial); return err })
	if err != nil {
		return err
	}
	status, err := slowest(len(some), 0.99, func(i int) error { _, err := store.Status(ctx, some[i].Issuer, some[i].Serial); return err })
	r.add("finding by serial, 99th percentile", millis(find), "ms", 1)
	r.add("status by serial, 99th percentile", millis(status), "ms", 0)
	return err
}

// listing measures the first page of each filter.
func (r *runner) listing(ctx context.Context, store ca.Store) error {
	var one ca.Record
	for record, err := range store.Certificates(ctx, ca.Filter{From: true, After: uint64(r.Certificates / 2), Limit: 1}) {
		if err != nil {
			return err
		}
		one = record
	}
	yes, no, now := true, false, bulk.Epoch.AddDate(1, 0, 0)
	for _, f := range []struct {
		name   string
		filter ca.Filter
	}{
		{"all", ca.Filter{}},
		{"party", ca.Filter{Party: one.Party}},
		{"role", ca.Filter{Role: policy.Gateway}},
		{"kind", ca.Filter{Kind: ca.KindServer}},
		{"kind of which there is none", ca.Filter{Kind: ca.KindOCSPSigner}},
		{"valid of a kind", ca.Filter{Kind: ca.KindServer, Revoked: &no, ValidAt: now, ByExpiry: true}},
		{"issuer and profile", ca.Filter{Issuer: one.Issuer, Profile: one.Profile}},
		{"key", ca.Filter{SPKI: &one.SPKI}},
		{"name", ca.Filter{SAN: ca.AlternativeNames(one.DER)[0]}},
		{"revoked", ca.Filter{Revoked: &yes}},
		{"valid", ca.Filter{Revoked: &no, ValidAt: now, ByExpiry: true}},
		{"expired", ca.Filter{Revoked: &no, ExpiresBefore: now, ByExpiry: true}},
		{"expiring", ca.Filter{ExpiresFrom: now, ExpiresBefore: now.AddDate(0, 0, 30), ByExpiry: true}},
	} {
		f.filter.Limit = 100
		took, err := slowest(10, 0.5, func(int) error {
			for _, err := range store.Certificates(ctx, f.filter) {
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.add("first page, "+f.name, millis(took), "ms", 10)
	}
	return nil
}

// slowest does something n times and returns how long the slowest of that part took.
func slowest(n int, part float64, do func(i int) error) (time.Duration, error) {
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if err := do(i); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[min(n-1, int(part*float64(n)))], nil
}

// anonymous is the memory of the process that no file backs, in octets; 0 where the system does not tell.
func anonymous() (size int) {
	debug.FreeOSMemory() // a collection; what the loader used is given back
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
