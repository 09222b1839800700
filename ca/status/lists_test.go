package status_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A clock is moved by a test.
type clock struct{ atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.Store(time.Date(2026, 11, 23, 1, 25, 2, 0, time.UTC).Unix())
	return c
}

func (c *clock) now() time.Time          { return time.Unix(c.Load(), 0) }
func (c *clock) advance(d time.Duration) { c.Add(int64(d.Seconds())) }

// fetch reads and verifies a list of the merchant CA.
func fetch(t *testing.T, n *catest.Network, path string) *ocsp.List {
	t.Helper()
	resp, der := get(t, http.MethodGet, n.StatusURL+path, "")
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", path, resp.Status)
	}
	l, err := ocsp.ParseCRL(der)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.CheckSignatureFrom(n.Issuer(t, policy.MerchantCA).Certificate); err != nil {
		t.Fatal(err)
	}
	return l
}

func serialOf(t *testing.T, n *catest.Network, party string) (ca.Serial, []byte) {
	t.Helper()
	leaf := n.Issue(t, party).Leaf
	serial, err := ca.SerialOf(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	return serial, leaf.SerialNumber.Bytes()
}

// reasonOn is the reason for which a list names a serial, -1 if it does not.
func reasonOn(l *ocsp.List, serial []byte) int {
	if e, ok := l.Lookup(serial); ok {
		return e.Reason
	}
	return -1
}

// Case 44: hold, release, hold, keyCompromise, on the full list, the shard and the delta; and over a start of the program.
func TestHoldReleaseHoldCompromise(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	n.Enroll(t, "shop1", policy.Merchant)
	leaf := n.Issue(t, "shop1").Leaf
	serial, err := ca.SerialOf(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	raw := leaf.SerialNumber.Bytes()
	const none, hold, compromise, off = -1, 6, 1, 8
	want := func(step string, listed, delta int) {
		t.Helper()
		number := publish(t, n)
		full, shard, change := fetch(t, n, "/crl/merchant.crl"), fetch(t, n, path(n, leaf)), fetch(t, n, "/crl/merchant/delta.crl")
		if full.Number != number || change.Number != number || shard.Number != number {
			t.Errorf("%s: numbers %d, %d and %d, want %d", step, full.Number, shard.Number, change.Number, number)
		}
		if a, b, c := reasonOn(full, raw), reasonOn(shard, raw), reasonOn(change, raw); a != listed || b != listed || c != delta {
			t.Errorf("%s: full list %d, shard %d, delta %d, want %d, %d, %d", step, a, b, c, listed, listed, delta)
		}
	}
	release := func() error {
		return n.Authority.Release(t.Context(), ca.ReleaseRequest{Serial: serial, By: "test"})
	}
	n.Revoke(t, leaf, ca.CertificateHold)
	want("hold", hold, hold)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	want("release", none, off)
	n.Revoke(t, leaf, ca.CertificateHold)
	want("hold again", hold, hold)
	if err := n.Restart(t, 0); err != nil { // the delta has a new base
		t.Fatal(err)
	}
	want("started anew", hold, none)
	n.Revoke(t, leaf, ca.KeyCompromise)
	want("keyCompromise", compromise, compromise)
	if err := release(); !errors.As(err, new(*ca.RevokedError)) {
		t.Errorf("release after a final revocation: got %v, want *ca.RevokedError", err)
	}
}

// Case 48: an entry leaves after a list past the end of its certificate named it, also when no list was made for long.
func TestEntriesLeaveAfterOneListPastTheirEnd(t *testing.T) {
	t.Parallel()
	c := newClock()
	n := catest.Make(t, catest.Config{Now: c.now})
	n.Enroll(t, "shop1", policy.Merchant)
	leaf := n.Issue(t, "shop1").Leaf
	raw := leaf.SerialNumber.Bytes()
	n.Revoke(t, leaf, ca.Superseded)
	publish(t, n)
	lists := []string{"/crl/merchant.crl", path(n, leaf)}
	want := func(step string, listed bool) {
		t.Helper()
		publish(t, n)
		for _, p := range lists {
			l := fetch(t, n, p)
			if _, got := l.Lookup(raw); got != listed {
				t.Errorf("%s: %s of %v names it: %t, want %t", step, p, l.ThisUpdate, got, listed)
			}
		}
	}
	c.Store(leaf.NotAfter.Unix() - 1)
	want("a second before its end", true)
	c.advance(100 * 24 * time.Hour)
	if err := n.Restart(t, 0); err != nil { // as after a long outage
		t.Fatal(err)
	}
	want("the first list past its end", true)
	c.advance(13 * time.Hour)
	want("the next", false)
	if err := n.Restart(t, 0); err != nil {
		t.Fatal(err)
	}
	want("after a start", false)

	late := n.Issue(t, "shop1").Leaf
	c.Store(late.NotAfter.Unix() + 100)
	publish(t, n)
	n.Revoke(t, late, ca.KeyCompromise)
	c.advance(2 * time.Second)
	raw, lists = late.SerialNumber.Bytes(), []string{"/crl/merchant.crl", path(n, late)}
	want("revoked after its end", true)
	c.advance(13 * time.Hour)
	want("and one list later", false)
}

// Case 46: numbers grow over starts, and a store that is older than what was published is refused.
func TestNumbersGrowOverStartsAndAnOlderStoreIsRefused(t *testing.T) {
	t.Parallel()
	var back atomic.Uint64
	n := catest.Make(t, catest.Config{Wrap: func(s ca.Store) ca.Store { return &olderStore{Store: s, back: &back} }})
	var last uint64
	for range 3 {
		if err := n.Restart(t, 0); err != nil {
			t.Fatal(err)
		}
		for _, p := range []string{"/crl/merchant.crl", "/crl/merchant/delta.crl", "/crl/merchant/1.crl"} {
			if got := fetch(t, n, p).Number; got <= last && p == "/crl/merchant.crl" || got < last {
				t.Errorf("%s: number %d after %d", p, got, last)
			} else if p == "/crl/merchant.crl" {
				last = got
			}
		}
	}
	back.Store(2)
	err := n.Restart(t, 0)
	var older *status.NumberError
	if !errors.As(err, &older) || older.Published == 0 || older.Got > older.Published {
		t.Errorf("with an older store: got %v, want *status.NumberError", err)
	}
}

// An olderStore gives numbers that were given before.
type olderStore struct {
	ca.Store
	back *atomic.Uint64
}

func (s *olderStore) NextCRLNumber(ctx context.Context, issuer string, event audit.Event) (uint64, error) {
	n, err := s.Store.NextCRLNumber(ctx, issuer, event)
	return n - s.back.Load(), err
}

// A list that lost a serial is not published, and raises an alarm; the list before is served on.
func TestAListThatLostASerialIsNotPublished(t *testing.T) {
	t.Parallel()
	var lose atomic.Bool
	n := catest.Make(t, catest.Config{Wrap: func(s ca.Store) ca.Store { return &lossyStore{Store: s, lose: &lose} }})
	n.Enroll(t, "shop1", policy.Merchant)
	leaf := n.Issue(t, "shop1").Leaf
	n.Revoke(t, leaf, ca.Superseded)
	publish(t, n)
	lose.Store(true)
	if err := n.Restart(t, 0); err == nil || !strings.Contains(err.Error(), "was listed before and is missing") {
		t.Errorf("got %v, want a serial that is missing", err)
	}
	lose.Store(false)
	if err := n.Restart(t, 0); err != nil {
		t.Fatal(err)
	}
	if got := reasonOn(fetch(t, n, "/crl/merchant.crl"), leaf.SerialNumber.Bytes()); got != 4 {
		t.Errorf("got reason %d, want 4", got)
	}
	if alarms := n.Status.Alarms(); len(alarms) != 0 {
		t.Errorf("got alarms %v, want none", alarms)
	}
}

// A lossyStore forgets revocations when it lists them.
type lossyStore struct {
	ca.Store
	lose *atomic.Bool
}

func (s *lossyStore) Revocations(ctx context.Context, issuer string) iter.Seq2[ca.Revocation, error] {
	if s.lose.Load() {
		return func(func(ca.Revocation, error) bool) {}
	}
	return s.Store.Revocations(ctx, issuer)
}

// Shards and full list agree, over a growing number of shards; what a certificate names stays where it is.
func TestShardsAgreeWithTheFullListAndMayGrow(t *testing.T) {
	t.Parallel()
	n := catest.Make(t, catest.Config{Shards: -1})
	n.Enroll(t, "shop1", policy.Merchant)
	var leaves []string // distribution points
	var raw [][]byte
	for _, shards := range []int{-1, 3, 8, 2} {
		if err := n.Restart(t, shards); err != nil {
			t.Fatal(err)
		}
		for range 12 {
			leaf := n.Issue(t, "shop1").Leaf
			leaves, raw = append(leaves, path(n, leaf)), append(raw, leaf.SerialNumber.Bytes())
			n.Revoke(t, leaf, ca.CessationOfOperation)
		}
	}
	publish(t, n)
	if got := n.Authority.Shards(policy.MerchantCA); got != 8 {
		t.Errorf("got %d shards, want 8", got)
	}
	full := fetch(t, n, "/crl/merchant.crl")
	inShards := 0
	for shard := 1; shard <= 8; shard++ {
		p := fmt.Sprintf("/crl/merchant/%d.crl", shard)
		l := fetch(t, n, p)
		inShards += l.Len()
		if !slices.Equal(l.URIs, []string{n.StatusURL + p}) || !l.OnlyUser {
			t.Errorf("%s: scope %q, only user certificates %t", p, l.URIs, l.OnlyUser)
		}
	}
	if full.Len() != 48 || inShards != 36 {
		t.Errorf("got %d entries on the full list and %d on shards, want 48 and 36", full.Len(), inShards)
	}
	for i, p := range leaves {
		if reasonOn(fetch(t, n, p), raw[i]) != 5 || reasonOn(full, raw[i]) != 5 {
			t.Errorf("certificate %d is not on %s and the full list", i, p)
		}
	}
}

// Many revocations at once share few lists, and every caller finds its own on the list whose number it gets.
func TestManyRevocationsShareFewLists(t *testing.T) {
	t.Parallel()
	n := catest.Make(t, catest.Config{Coalesce: time.Second})
	n.Enroll(t, "shop1", policy.Merchant)
	before := publish(t, n)
	var all sync.WaitGroup
	for range 40 {
		serial, raw := serialOf(t, n, "shop1")
		all.Go(func() {
			if _, err := n.Authority.Revoke(t.Context(), ca.RevokeRequest{Serial: serial, Reason: ca.Superseded, By: "test"}); err != nil {
				t.Error(err)
				return
			}
			number, err := n.Status.Publish(t.Context(), policy.MerchantCA)
			if l := fetch(t, n, "/crl/merchant.crl"); err != nil || l.Number < number || reasonOn(l, raw) != 4 {
				t.Errorf("number %d, %v: list %d has reason %d", number, err, l.Number, reasonOn(l, raw))
			}
		})
	}
	all.Wait()
	if got := publish(t, n) - before; got > 4 {
		t.Errorf("got %d numbers for 40 revocations, want few", got)
	}
	if again := publish(t, n); again != publish(t, n) {
		t.Error("a list was made though nothing had changed")
	}
}
