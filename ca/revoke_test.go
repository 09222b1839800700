package ca_test

import (
	"errors"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestRevokeIsDurableBeforeItIsAnnounced(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	var told []string
	w.cfg.OnRevoke = func(issuer string, s ca.Serial) {
		if w.status(issuer, s).Revocation == nil {
			t.Error("announced before it is durable")
		}
		told = append(told, issuer+" "+s.String())
	}
	w.open()
	w.advance(time.Hour)
	rev, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.CessationOfOperation, By: "local", From: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	want := ca.Revocation{
		Serial: c.Record.Serial, Issuer: policy.MerchantCA, Reason: ca.CessationOfOperation,
		At: start.Add(time.Hour), NotAfter: c.Record.NotAfter, By: "local",
	}
	if rev != want || *w.status(policy.MerchantCA, rev.Serial).Revocation != want {
		t.Errorf("revocation %+v, want %+v", rev, want)
	}
	if len(told) != 1 || told[0] != "merchant "+rev.Serial.String() {
		t.Errorf("told %v, want once", told)
	}
	events := w.events(audit.CertificateRevoked)
	if len(events) != 1 || events[0].Reason != "cessationOfOperation" || events[0].Party != "shop1" || events[0].From != "127.0.0.1" {
		t.Errorf("events %+v, want one", events)
	}
}

func TestRevocationOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		steps  []ca.Reason // all but the last are accepted
		refuse bool
	}{
		{"hold may become final", []ca.Reason{ca.CertificateHold, ca.Superseded}, false},
		{"hold twice is refused", []ca.Reason{ca.CertificateHold, ca.CertificateHold}, true},
		{"final stays", []ca.Reason{ca.Superseded, ca.CessationOfOperation}, true},
		{"final does not become a hold", []ca.Reason{ca.Superseded, ca.CertificateHold}, true},
		{"keyCompromise may replace a final one", []ca.Reason{ca.Superseded, ca.KeyCompromise}, false},
		{"keyCompromise stays", []ca.Reason{ca.KeyCompromise, ca.KeyCompromise}, true},
		{"hold, final, keyCompromise", []ca.Reason{ca.CertificateHold, ca.Superseded, ca.KeyCompromise}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.issue("shop1", newKey(t))
			for i, reason := range tt.steps {
				_, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: reason, By: "local"})
				_, stands := errors.AsType[*ca.RevokedError](err)
				if want := tt.refuse && i == len(tt.steps)-1; stands != want || (err != nil) != want {
					t.Errorf("step %d: error %v, want refusal %t", i, err, want)
				}
			}
		})
	}
}

func TestRevokeRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	for name, req := range map[string]ca.RevokeRequest{
		"reason for CAs only":     {Serial: c.Record.Serial, Reason: ca.CACompromise, By: "local"},
		"reason for attributes":   {Serial: c.Record.Serial, Reason: ca.AACompromise, By: "local"},
		"reason 7":                {Serial: c.Record.Serial, Reason: 7, By: "local"},
		"removeFromCRL, reason 8": {Serial: c.Record.Serial, Reason: 8, By: "local"},
		"nobody's word":           {Serial: c.Record.Serial, Reason: ca.Superseded},
		"unknown serial":          {Serial: ca.Serial{1}, Reason: ca.Superseded, By: "local"},
	} {
		if _, err := w.ca.Revoke(t.Context(), req); err == nil {
			t.Errorf("%s: accepted", name)
		} else if name == "unknown serial" && !errors.Is(err, ca.ErrNotFound) {
			t.Errorf("%s: error %v, want %v", name, err, ca.ErrNotFound)
		}
	}
	if w.status(policy.MerchantCA, c.Record.Serial).Revocation != nil || len(w.events(audit.CertificateRevoked)) != 0 {
		t.Error("something was revoked")
	}
}

func TestUpgradeAfterTheClockWentBackKeepsTheDate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	first, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"})
	if err != nil {
		t.Fatal(err)
	}
	w.advance(-time.Hour)
	second, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.KeyCompromise, By: "local"})
	if err != nil || !second.At.Equal(first.At) {
		t.Errorf("revoked at %v (%v), want %v", second.At, err, first.At)
	}
}

func TestKeyCompromiseRevokesWhatElseTheKeyHas(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	expired := w.issue("shop1", key)
	w.clock.Store(expired.Leaf.NotAfter.Unix() + 1)
	first, onHold, other := w.issue("shop1", key), w.issue("shop1", key), w.issue("shop1", newKey(t))
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: onHold.Record.Serial, Reason: ca.CertificateHold, By: "local"}); err != nil {
		t.Fatal(err)
	}
	told := 0
	w.cfg.OnRevoke = func(string, ca.Serial) { told++ }
	w.open()
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: first.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		c       *ca.Certificate
		revoked bool
	}{"the one": {first, true}, "another one, on hold": {onHold, true}, "another key": {other, false}, "expired": {expired, false}} {
		r := w.status(tt.c.Record.Issuer, tt.c.Record.Serial).Revocation
		if got := r != nil && r.Reason == ca.KeyCompromise; got != tt.revoked {
			t.Errorf("%s: revocation %+v, want compromised %t", name, r, tt.revoked)
		}
	}
	if told != 2 {
		t.Errorf("told of %d, want 2", told)
	}
	if e := w.events(audit.CertificateRevoked); e[len(e)-1].Attrs["same_key_as"] != first.Record.Serial.String() {
		t.Errorf("event %+v, want the serial that was reported", e[len(e)-1])
	}
}

func TestACompromiseRevokesAllOrNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	first, second := w.issue("shop1", key), w.issue("shop1", key)
	w.store.failChange = errDisk
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: first.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v", err, errDisk)
	}
	for _, c := range []*ca.Certificate{first, second} {
		if r := w.status(policy.MerchantCA, c.Record.Serial).Revocation; r != nil {
			t.Errorf("revocation %+v, want none", r)
		}
	}
	w.store.failChange = nil
	revoked, err := w.ca.RevokeAll(t.Context(), ca.RevokeRequest{Serial: second.Record.Serial, Reason: ca.KeyCompromise, By: "local"})
	if err != nil || len(revoked) != 2 || revoked[0].Serial != second.Record.Serial || revoked[1].Serial != first.Record.Serial {
		t.Errorf("revoked %+v (%v), want both, the one that was named first", revoked, err)
	}
}

func TestRepeatedKeyCompromiseFinishesWhatACrashCutShort(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	first, second := w.issue("shop1", key), w.issue("shop1", key)
	// The crash came after the first certificate.
	cut := ca.Revocation{Serial: first.Record.Serial, Issuer: policy.MerchantCA, Reason: ca.KeyCompromise, At: start, By: "local"}
	if err := w.store.Revoke(t.Context(), cut, audit.Event{Kind: audit.CertificateRevoked}); err != nil {
		t.Fatal(err)
	}
	_, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: first.Record.Serial, Reason: ca.KeyCompromise, By: "local"})
	if _, stands := errors.AsType[*ca.RevokedError](err); !stands {
		t.Errorf("error %v, want a *RevokedError", err)
	}
	if r := w.status(policy.MerchantCA, second.Record.Serial).Revocation; r == nil || r.Reason != ca.KeyCompromise {
		t.Errorf("the other certificate stands at %+v, want keyCompromise", r)
	}
}

func TestReasonsReadAsRFC5280WritesThem(t *testing.T) {
	t.Parallel()
	for _, r := range []ca.Reason{ca.Unspecified, ca.KeyCompromise, ca.CertificateHold, ca.PrivilegeWithdrawn} {
		if got, err := ca.ParseReason(r.String()); err != nil || got != r {
			t.Errorf("%s reads as %s (%v)", r, got, err)
		}
	}
	for _, text := range []string{"", "KeyCompromise", "1", "reason(7)", "removeFromCRL"} {
		if got, err := ca.ParseReason(text); err == nil {
			t.Errorf("%q reads as %s, want an error", text, got)
		}
	}
}
