package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// recheck walks over the inventory, or ends the test.
func (w *world) recheck() ca.Recheck {
	w.t.Helper()
	r, err := w.ca.Recheck(w.t.Context(), ca.RecheckConfig{})
	if err != nil {
		w.t.Fatal(err)
	}
	if r.Finished.IsZero() || len(w.store.found) != r.Found {
		w.t.Errorf("walk %+v with %d findings kept, want it finished and as many found", r, len(w.store.found))
	}
	return r
}

func TestRecheckFindsWhatTheRulesOfTodayRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, rule string
		change     func(w *world, c *ca.Certificate)
	}{
		{"nothing", "", func(*world, *ca.Certificate) {}},
		{"a lint of today", "odd", func(w *world, _ *ca.Certificate) {
			w.cfg.Linter = func(*x509.Certificate) error { return oneFault{"odd", "the serial is even"} }
		}},
		{"a key that was blocked", "key-blocked", func(w *world, c *ca.Certificate) {
			if _, err := w.ca.BlockKey(w.t.Context(), ca.KeyBlock{Key: c.Record.SPKI, Reason: "leaked", By: "local"}); err != nil {
				w.t.Fatal(err)
			}
		}},
		{"a profile that is gone", "profile-known", func(w *world, _ *ca.Certificate) { w.cfg.Profiles = w.cfg.Profiles[:1] }},
		{"a key of a kind that is refused now", "key-kind", func(w *world, _ *ca.Certificate) {
			p, err := policy.NewProfile(policy.ProfileConfig{
				Name: "merchant", Role: policy.Merchant, KeyUsage: "digitalSignature", ExtKeyUsage: []string{"serverAuth", "clientAuth"},
				Validity: policy.Duration(24 * time.Hour), Keys: []string{policy.KeyRSA},
			})
			if err != nil {
				w.t.Fatal(err)
			}
			w.cfg.Profiles = []*policy.Profile{p}
		}},
		{"a party that is not registered", "party-known", func(w *world, _ *ca.Certificate) { delete(w.store.parties, "shop1") }},
		{"a party of another role", "party-known", func(w *world, _ *ca.Certificate) {
			w.addParty(policy.Party{ID: "shop1", Role: policy.Gateway, State: policy.Active})
		}},
		{"a record of another validity", "record", func(w *world, _ *ca.Certificate) {
			w.store.records[0].NotAfter = w.store.records[0].NotAfter.Add(time.Hour)
		}},
		{"a record of another serial", "record", func(w *world, _ *ca.Certificate) { w.store.records[0].Serial[19] ^= 1 }},
		{"a record of another key", "record", func(w *world, _ *ca.Certificate) { w.store.records[0].SPKI[0] ^= 1 }},
		{"a record of another issuer", "record", func(w *world, _ *ca.Certificate) { w.store.records[0].Issuer = policy.BankCA }},
		{"a changed signature", "record", func(w *world, _ *ca.Certificate) { w.store.records[0].DER[len(w.store.records[0].DER)-1] ^= 1 }},
		{"no certificate", "record", func(w *world, _ *ca.Certificate) { w.store.records[0].DER = []byte("x") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.issue("shop1", newKey(t))
			w.store.records[0].DER = append([]byte(nil), c.Leaf.Raw...)
			tt.change(w, c)
			w.open()
			r := w.recheck()
			if tt.rule == "" {
				if r.Found != 0 || r.Checked != 1 {
					t.Errorf("walk %+v with %+v, want one certificate without a finding", r, w.store.found)
				}
				return
			}
			f := w.store.found[w.store.records[0].Serial]
			if r.Found != 1 || len(f.Faults) == 0 || f.Faults[0].Rule != tt.rule || f.Faults[0].Detail == "" {
				t.Errorf("walk %+v found %+v, want %s", r, f, tt.rule)
			}
			if e := w.events(audit.CertificateFinding); len(e) != 1 || e[0].Serial != f.Serial.String() || e[0].Actor != "payca" {
				t.Errorf("events %+v, want one of the finding", e)
			}
		})
	}
}

type oneFault ca.Fault

func (f oneFault) Error() string      { return f.Rule }
func (f oneFault) Faults() []ca.Fault { return []ca.Fault{ca.Fault(f)} }

func TestFindingsOfARecheckStandUntilTheyAreCleared(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	w.issue("gateway", newKey(t))
	block := ca.KeyBlock{Key: c.Record.SPKI, Reason: "leaked", By: "local"}
	if _, err := w.ca.BlockKey(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	first := w.recheck()
	w.advance(24 * time.Hour)
	if second := w.recheck(); second.Found != 1 || second.New != 0 || second.Previous == nil || !second.Previous.Equal(first.Finished) {
		t.Errorf("second walk %+v, want the same finding, not new", second)
	}
	if f := w.store.found[c.Record.Serial]; !f.Since.Equal(first.Started) || len(w.events(audit.CertificateFinding)) != 1 {
		t.Errorf("finding %+v, want it since the first walk and one event", f)
	}
	if err := w.ca.UnblockKey(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	if third := w.recheck(); third.Found != 0 || third.Cleared != 1 { // within the second of the walk before
		t.Errorf("third walk %+v, want the finding cleared", third)
	}
	if _, err := w.ca.BlockKey(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	w.clock.Store(c.Leaf.NotAfter.Unix() + 1)
	if last := w.recheck(); last.Found != 0 {
		t.Errorf("walk %+v, want none against what has expired", last)
	}
	ends := w.events(audit.StoreRechecked)
	if len(ends) != 4 || ends[2].Attrs["cleared"] != "1" || ends[0].Attrs["checked"] != "2" {
		t.Errorf("events %+v, want the end of each walk with its counts", ends)
	}
}

func TestARecheckThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 600
	key := newKey(t)
	for range n {
		w.issue("shop1", key)
	}
	if _, err := w.ca.BlockKey(t.Context(), ca.KeyBlock{Key: hashOf(t, key), Reason: "leaked", By: "local"}); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("the process ends")
	_, err := w.ca.Recheck(t.Context(), ca.RecheckConfig{Pause: func(context.Context, time.Duration) error { return stop }})
	if !errors.Is(err, stop) || w.store.recheck.Checked != 256 || !w.store.recheck.Finished.IsZero() {
		t.Fatalf("error %v at %+v, want %v after one page", err, w.store.recheck, stop)
	}
	w.advance(time.Hour)
	pauses := 0
	r, err := w.ca.Recheck(t.Context(), ca.RecheckConfig{Pause: func(context.Context, time.Duration) error { pauses++; return nil }})
	if err != nil || r.Checked != n || r.Found != n || r.New != n || pauses != 1 || !r.Started.Equal(start) {
		t.Errorf("walk %+v, %v with %d pauses, want all %d, begun where it was cut off", r, err, pauses, n)
	}
	if e := w.events(audit.CertificateFinding); len(e) != n {
		t.Errorf("%d events, want %d", len(e), n)
	}
}
