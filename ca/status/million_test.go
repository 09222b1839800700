package status_test

import (
	"context"
	"encoding/binary"
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/policy"
)

// A crowdedStore lists a million revocations of the merchant CA beside those that it has.
type crowdedStore struct{ ca.Store }

const crowd = 1_000_000

func crowdSerial(i int) (s ca.Serial) {
	binary.BigEndian.PutUint32(s[16:], uint32(i+1))
	return s
}

func (s crowdedStore) revocation(i int) ca.Revocation {
	at := time.Unix(1_700_000_000, 0)
	return ca.Revocation{Serial: crowdSerial(i), Issuer: policy.MerchantCA, Reason: ca.Superseded, At: at, NotAfter: time.Now().Add(1000 * time.Hour), Shard: i%4 + 1}
}

func (s crowdedStore) Revocations(ctx context.Context, issuer string) iter.Seq2[ca.Revocation, error] {
	return func(yield func(ca.Revocation, error) bool) {
		for i := 0; i < crowd && issuer == policy.MerchantCA; i++ {
			if !yield(s.revocation(i), nil) {
				return
			}
		}
		for rev, err := range s.Store.Revocations(ctx, issuer) {
			if !yield(rev, err) {
				return
			}
		}
	}
}

// Case 50: with a million entries the service needs little more than their records, revokes as fast as with none, and
// raises the alarm about its shards.
func TestAMillionRevocations(t *testing.T) {
	if testing.Short() {
		t.Skip("lists of a million entries")
	}
	n := catest.Make(t, catest.Config{Wrap: func(s ca.Store) ca.Store { return crowdedStore{s} }, Coalesce: time.Millisecond})
	n.Enroll(t, "shop1", policy.Merchant)
	var peak atomic.Uint64
	stop := make(chan struct{})
	defer close(stop)
	runtime.GC()
	var begun runtime.MemStats
	runtime.ReadMemStats(&begun)
	go func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak.Store(max(peak.Load(), m.HeapAlloc))
			}
		}
	}()
	var slowest time.Duration
	for range 5 {
		leaf := n.Issue(t, "shop1").Leaf
		start := time.Now()
		n.Revoke(t, leaf, ca.KeyCompromise)
		slowest = max(slowest, time.Since(start))
	}
	publish(t, n)
	over := 0
	for _, alarm := range n.Status.Alarms() {
		if alarm.Name == "crl-budget" {
			over++
		}
	}
	full := n.Status.Lists()
	entries := 0
	for _, l := range full {
		if l.Path == "/crl/merchant.crl" {
			entries = l.Entries
		}
	}
	t.Logf("slowest revocation %v; heap at most %d MB, %d MB when it began", slowest, peak.Load()>>20, begun.HeapAlloc>>20)
	if entries != crowd || over != 4 {
		t.Errorf("got %d entries on the full list and %d shards over their budget, want %d and 4", entries, over, crowd)
	}
	if slowest > time.Second {
		t.Errorf("a revocation took %v with a million entries, want it not to wait for lists", slowest)
	}
	if limit := begun.HeapAlloc + 64<<20; peak.Load() > limit {
		t.Errorf("the heap grew to %d octets, want at most %d", peak.Load(), limit)
	}
}
