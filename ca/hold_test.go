package ca_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestReleaseEndsAHoldAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	serial := c.Record.Serial
	var told []bool // whether it was revoked when somebody was told
	w.cfg.OnRevoke = func(issuer string, s ca.Serial) { told = append(told, w.status(issuer, s).Revocation != nil) }
	w.open()
	release := func() error {
		return w.ca.Release(t.Context(), ca.ReleaseRequest{Serial: serial, By: "local", From: "127.0.0.1"})
	}
	revoke := func(reason ca.Reason) {
		t.Helper()
		w.advance(time.Minute)
		if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: serial, Reason: reason, By: "local"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := release(); !errors.As(err, new(*ca.NotHeldError)) {
		t.Errorf("a good certificate: got %v, want *ca.NotHeldError", err)
	}
	told = nil
	revoke(ca.CertificateHold)
	w.advance(time.Minute)
	if err := release(); err != nil {
		t.Fatal(err)
	}
	if got := w.status(policy.MerchantCA, serial); got.Revocation != nil || !got.Issued || !got.Released.Equal(w.now()) {
		t.Errorf("released: got %+v, want good since %v", got, w.now())
	}
	revoke(ca.CertificateHold)
	revoke(ca.KeyCompromise)
	stands, refused := errors.AsType[*ca.RevokedError](release())
	if !refused || stands.Revocation.Reason != ca.KeyCompromise {
		t.Errorf("revoked for good: got %v, want *ca.RevokedError for keyCompromise", stands)
	}
	if want := []bool{true, false, true, true, true}; fmt.Sprint(told) != fmt.Sprint(want) {
		t.Errorf("told %v, want %v: after each change, and once more for the refusal", told, want)
	}
	events := w.events(audit.CertificateFreed)
	if len(events) != 1 || events[0].Serial != serial.String() || events[0].Party != "shop1" || events[0].From != "127.0.0.1" {
		t.Errorf("events %+v, want one", events)
	}
	if err := w.ca.Release(t.Context(), ca.ReleaseRequest{Serial: serial}); err == nil {
		t.Error("released on nobody's word")
	}
	if err := w.ca.Release(t.Context(), ca.ReleaseRequest{Serial: ca.Serial{1}, By: "local"}); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("an unknown serial: got %v, want %v", err, ca.ErrNotFound)
	}
}

// A renewal is refused while its certificate is on hold, and goes on afterwards.
func TestAHoldStopsRenewal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	c := w.issue("shop1", key)
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.CertificateHold, By: "local"}); err != nil {
		t.Fatal(err)
	}
	renew := func() error {
		_, err := w.ca.Renew(t.Context(), c.Leaf, ca.Request{CSR: csr(t, key), Requester: "test", Protocol: "renew"})
		return err
	}
	if err := renew(); policy.ViolationsOf(err) == nil {
		t.Errorf("on hold: got %v, want a violation", err)
	}
	if err := w.ca.Release(t.Context(), ca.ReleaseRequest{Serial: c.Record.Serial, By: "local"}); err != nil {
		t.Fatal(err)
	}
	if err := renew(); err != nil {
		t.Errorf("released: got %v", err)
	}
}

func TestDatesOfInvalidity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.advance(10 * 24 * time.Hour)
	begins := w.issue("shop1", newKey(t)).Leaf.NotBefore
	w.advance(time.Hour)
	for name, tt := range map[string]struct {
		at     time.Time
		reason ca.Reason
		ok     bool
	}{
		"none":                        {time.Time{}, ca.KeyCompromise, true},
		"between beginning and now":   {begins.Add(time.Minute), ca.KeyCompromise, true},
		"now":                         {w.now(), ca.Superseded, true},
		"the future":                  {w.now().Add(time.Second), ca.KeyCompromise, false},
		"before the certificate":      {begins.Add(-time.Hour), ca.KeyCompromise, false},
		"a hold, which says no such ": {w.now(), ca.CertificateHold, false},
	} {
		c := w.issue("shop1", newKey(t))
		w.advance(0)
		at := tt.at
		if name == "between beginning and now" {
			at = c.Leaf.NotBefore.Add(time.Second)
		}
		rev, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: tt.reason, By: "local", Invalidity: at})
		if (err == nil) != tt.ok || err == nil && !rev.Invalidity.Equal(at) {
			t.Errorf("%s: got %+v, %v, want %t", name, rev, err, tt.ok)
		}
		violation, ok := errors.AsType[*policy.Violation](err)
		if !tt.ok && (!ok || violation.Rule != "revoke-invalidity") {
			t.Errorf("%s: got %v, want the rule revoke-invalidity", name, err)
		}
	}
}

func TestCertificatesNameTheirShardForLife(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.issue("shop1", newKey(t))
	seen := map[int]int{}
	for _, shards := range []int{4, 16, 2} {
		w.cfg.Shards = map[string]int{policy.MerchantCA: shards}
		w.open()
		for range 60 {
			c := w.issue("shop1", newKey(t))
			shard := c.Record.Shard
			if shard < 1 || shard > shards {
				t.Fatalf("shard %d of %d", shard, shards)
			}
			seen[shard]++
			url := w.ca.CRLURL(policy.MerchantCA, shard)
			if want := fmt.Sprintf("%s/crl/merchant/%d.crl", statusURL, shard); url != want || len(c.Leaf.CRLDistributionPoints) != 1 || c.Leaf.CRLDistributionPoints[0] != want {
				t.Fatalf("got distribution points %q and URL %q, want %q", c.Leaf.CRLDistributionPoints, url, want)
			}
		}
	}
	if got := w.ca.Shards(policy.MerchantCA); got != 16 {
		t.Errorf("got %d shards, want the 16 that certificates may name", got)
	}
	if got := w.ca.Shards(policy.BankCA); got != 0 {
		t.Errorf("the bank CA has %d shards, want none", got)
	}
	if len(seen) < 9 {
		t.Errorf("certificates are in shards %v, want most of 16", seen)
	}
	if want := statusURL + "/crl/merchant.crl"; before.Record.Shard != 0 || before.Leaf.CRLDistributionPoints[0] != want {
		t.Errorf("without shards: got %d, %q, want %q", before.Record.Shard, before.Leaf.CRLDistributionPoints, want)
	}
	rev, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: before.Record.Serial, Reason: ca.Superseded, By: "local"})
	if err != nil || rev.Shard != 0 {
		t.Errorf("got %+v, %v, want shard 0", rev, err)
	}
	delegate, err := w.ca.IssueResponder(t.Context(), policy.MerchantCA, newKey(t))
	if err != nil || len(delegate.CRLDistributionPoints) != 0 {
		t.Errorf("an OCSP delegate: got %q, %v, want no distribution point", delegate.CRLDistributionPoints, err)
	}
	w.cfg.Shards = map[string]int{policy.MerchantCA: ca.MaxShards + 1}
	if _, err := ca.New(t.Context(), w.cfg); err == nil {
		t.Error("too many shards were accepted")
	}
}
