package status_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

func names(alarms []status.Alarm) (list []string) {
	for _, a := range alarms {
		list = append(list, a.Name+" "+a.About)
	}
	return list
}

// The root's CRL raises an alarm long before its end, and one from a new ceremony is taken over; one that forgets is not.
func TestTheRootsCRLIsRenewedByACeremony(t *testing.T) {
	t.Parallel()
	c := newClock()
	n := catest.Make(t, catest.Config{Now: c.now})
	run(t, n)
	if got := n.Status.Alarms(); got != nil {
		t.Errorf("got alarms %v, want none", got)
	}
	c.advance(310 * 24 * time.Hour)
	if got := names(n.Status.Alarms()); !slices.Contains(got, "root-crl root") {
		t.Errorf("got alarms %v, want root-crl", got)
	}
	renew := func(number uint64, revoked ...ocsp.Entry) {
		t.Helper()
		der, err := status.RootCRL(n.Ceremony, status.RootList{Number: number, Now: c.now(), Validity: 365 * 24 * time.Hour, Revoked: revoked})
		if err != nil {
			t.Fatal(err)
		}
		n.SetRootCRL(der)
	}
	served := func() *ocsp.List {
		_, der := get(t, http.MethodGet, n.StatusURL+"/crl/root.crl", "")
		l, err := ocsp.ParseCRL(der)
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	bank := ocsp.Entry{Serial: n.Issuer(t, policy.BankCA).Certificate.SerialNumber.Bytes(), At: c.now(), Reason: 2}
	renew(2, bank)
	wait(t, "the new CRL of the root", func() bool { return served().Number == 2 && served().Len() == 1 })
	wait(t, "the end of the alarm", func() bool { return !slices.Contains(names(n.Status.Alarms()), "root-crl root") })
	for name, bad := range map[string]func(){
		"a number that was there": func() { c.advance(time.Second); renew(2, bank) },
		"a lower number":          func() { renew(1, bank) },
		"one that forgets":        func() { renew(3) },
		"no list":                 func() { n.SetRootCRL([]byte("no list")) },
	} {
		bad()
		wait(t, "the alarm about "+name, func() bool { return slices.Contains(names(n.Status.Alarms()), "root-crl root") })
		if l := served(); l.Number != 2 || l.Len() != 1 {
			t.Errorf("%s: number %d with %d entries is served, want the one before", name, l.Number, l.Len())
		}
		renewed := func() bool { return !slices.Contains(names(n.Status.Alarms()), "root-crl root") }
		n.SetRootCRL(nil)
		_, der := get(t, http.MethodGet, n.StatusURL+"/crl/root.crl", "")
		n.SetRootCRL(der)
		wait(t, "the end of the alarm", renewed)
	}
	renew(4, bank)
	wait(t, "the next CRL of the root", func() bool { return served().Number == 4 })
}

// run runs the status service until the test ends.
func run(t *testing.T, n *catest.Network) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	service := n.Status
	go func() { done <- service.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func wait(t *testing.T, what string, until func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !until(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long for %s", what)
		}
	}
}

// A shard over its budget is published all the same, and raises an alarm.
func TestAShardOverItsBudgetRaisesAnAlarm(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	n.Enroll(t, "shop1", policy.Merchant)
	service, err := status.New(status.Config{
		Store: n.Store, Root: n.Root, RootCRL: func() ([]byte, error) {
			return status.RootCRL(n.Ceremony, status.RootList{Number: 1, Now: time.Now(), Validity: 300 * 24 * time.Hour})
		}, Dir: t.TempDir(), ShardBudget: 400,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), n.Authority); err != nil {
		t.Fatal(err)
	}
	if got := service.Alarms(); got != nil {
		t.Errorf("got alarms %v, want none", got)
	}
	for range 16 {
		leaf := n.Issue(t, "shop1").Leaf
		n.Revoke(t, leaf, ca.Superseded)
		serial, err := ca.SerialOf(leaf.SerialNumber)
		if err != nil {
			t.Fatal(err)
		}
		service.Revoked(policy.MerchantCA, serial)
	}
	if _, err := service.Publish(t.Context(), policy.MerchantCA); err != nil {
		t.Fatal(err)
	}
	entries := 0
	for _, l := range service.Lists() {
		if l.Issuer == policy.MerchantCA && l.Base == 0 && l.Path != "/crl/merchant.crl" {
			entries += l.Entries
		}
	}
	alarms := service.Alarms()
	if entries != 16 || len(alarms) == 0 || alarms[0].Name != "crl-budget" || !strings.Contains(alarms[0].Detail, "want at most 400: raise crl.shards") {
		t.Errorf("got %d entries on shards and alarms %v, want 16 and crl-budget", entries, alarms)
	}
}

// Where lists cannot be written the ones before are served on, the alarm says so, and afterwards nothing is missing.
func TestADiskThatFailsRaisesAnAlarm(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	n.Enroll(t, "shop1", policy.Merchant)
	dir := t.TempDir()
	rootCRL, err := status.RootCRL(n.Ceremony, status.RootList{Number: 1, Now: time.Now(), Validity: 300 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	service, err := status.New(status.Config{Store: n.Store, Root: n.Root, RootCRL: func() ([]byte, error) { return rootCRL, nil }, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := service.Start(t.Context(), n.Authority); err != nil {
		t.Fatal(err)
	}
	leaf := n.Issue(t, "shop1").Leaf
	n.Revoke(t, leaf, ca.Superseded)
	serial, err := ca.SerialOf(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	// A file in the place of the directory of the shards stops their publication, whoever the tests run as.
	shards, aside := filepath.Join(dir, "merchant"), filepath.Join(dir, "aside")
	if err := os.Rename(shards, aside); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(shards, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	service.Revoked(policy.MerchantCA, serial)
	if _, err := service.Publish(t.Context(), policy.MerchantCA); err == nil {
		t.Error("got no error without a place to write to")
	}
	if got := names(service.Alarms()); !slices.Contains(got, "crl-publish merchant") {
		t.Errorf("got alarms %v, want crl-publish", got)
	}
	if err := os.Remove(shards); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(aside, shards); err != nil {
		t.Fatal(err)
	}
	if _, err := service.Publish(t.Context(), policy.MerchantCA); err != nil {
		t.Error(err)
	}
	if got := names(service.Alarms()); len(got) != 0 {
		t.Errorf("got alarms %v, want none", got)
	}
	entries := 0
	for _, l := range service.Lists() {
		entries += l.Entries
	}
	if entries != 3 { // full list, delta and one shard
		t.Errorf("got %d entries on all lists, want 3", entries)
	}
}

// Lists have the caching headers of HTTP, and answer conditional requests.
func TestListsAreCachedAsTheyAllow(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	for _, p := range []string{"/crl/merchant.crl", "/crl/merchant/1.crl", "/crl/merchant/delta.crl", "/crl/root.crl"} {
		resp, body := get(t, http.MethodGet, n.StatusURL+p, "")
		l, err := ocsp.ParseCRL(body)
		if err != nil {
			t.Fatal(err)
		}
		expires, err := time.Parse(http.TimeFormat, resp.Header.Get("Expires"))
		if err != nil || expires.After(l.NextUpdate) || time.Until(expires) > 5*time.Minute {
			t.Errorf("%s: Expires %q, %v, want within five minutes", p, resp.Header.Get("Expires"), err)
		}
		if got := resp.Header.Get("Last-Modified"); got != l.ThisUpdate.Format(http.TimeFormat) {
			t.Errorf("%s: Last-Modified %q, want thisUpdate %v", p, got, l.ThisUpdate)
		}
		if resp.Header.Get("Content-Type") != "application/pkix-crl" || !strings.Contains(resp.Header.Get("Cache-Control"), "max-age=300") {
			t.Errorf("%s: headers %v", p, resp.Header)
		}
		if again, body := get(t, http.MethodGet, n.StatusURL+p, resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified || len(body) != 0 {
			t.Errorf("%s with its ETag: got %s, want 304", p, again.Status)
		}
	}
	for _, p := range []string{"/crl/merchant/5.crl", "/crl/merchant/0.crl", "/crl/merchant/01.crl", "/crl/merchant/full.crl", "/crl/root/1.crl", "/crl/merchant/../merchant.crl"} {
		if resp, _ := get(t, http.MethodGet, n.StatusURL+p, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %s, want 404", p, resp.Status)
		}
	}
}
