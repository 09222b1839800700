package ca_test

import (
	"context"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestNewRefusesHalfAConfiguration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other, err := ca.Create(ca.CeremonyConfig{Network: network, StatusURL: statusURL, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, want string
		change     func(cfg *ca.Config)
	}{
		{"no network", "network", func(c *ca.Config) { c.Network = "" }},
		{"no root", "root is missing", func(c *ca.Config) { c.Root = nil }},
		{"root that is not self-signed", "self-signed", func(c *ca.Config) { c.Root = c.Issuers[0].Certificate }},
		{"no issuers", "issuers are missing", func(c *ca.Config) { c.Issuers = nil }},
		{"issuer without a key", "key is missing", func(c *ca.Config) { c.Issuers[0].Signer = nil }},
		{"issuer with the key of another", "does not match", func(c *ca.Config) { c.Issuers[0].Signer = c.Issuers[1].Signer }},
		{"issuer of another root", "not signed by the root", func(c *ca.Config) { c.Issuers[0] = other.Issuers[0] }},
		{"issuer with an unknown name", `"shop", want one of consumer`, func(c *ca.Config) { c.Issuers[0].Name = "shop" }},
		{"issuer twice", "twice", func(c *ca.Config) { c.Issuers[1] = c.Issuers[0] }},
		{"no profiles", "profiles are missing", func(c *ca.Config) { c.Profiles = nil }},
		{"nil profile", "is nil", func(c *ca.Config) { c.Profiles[0] = nil }},
		{"profile twice", "twice", func(c *ca.Config) { c.Profiles[1] = c.Profiles[0] }},
		{"no store", "store is missing", func(c *ca.Config) { c.Store = nil }},
		{"no linter", "linter is missing", func(c *ca.Config) { c.Linter = nil }},
		{"no status URL", "status URL", func(c *ca.Config) { c.StatusURL = "" }},
		{"status URL with https", "want http://", func(c *ca.Config) { c.StatusURL = "https://ca.example" }},
		{"status URL with a slash at the end", "without a slash", func(c *ca.Config) { c.StatusURL += "/" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := w.cfg
			cfg.Issuers = append([]ca.Issuer(nil), cfg.Issuers...)
			cfg.Profiles = append([]*policy.Profile(nil), cfg.Profiles...)
			tt.change(&cfg)
			a, err := ca.New(t.Context(), cfg)
			if a != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestNewAsksTheStoreWhetherItIsSound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.failCheck = errors.New("head of the log is behind")
	if _, err := ca.New(t.Context(), w.cfg); !errors.Is(err, w.store.failCheck) {
		t.Errorf("error %v, want %v", err, w.store.failCheck)
	}
}

func TestNothingIsSignedIfTheSerialCannotBeReserved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	signer := &countingSigner{Signer: w.cfg.Issuers[1].Signer}
	w.cfg.Issuers[1].Signer = signer
	w.open()
	w.store.failReserve = errDisk
	if c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t))); c != nil || !errors.Is(err, errDisk) {
		t.Errorf("certificate %v, error %v, want none and %v", c, err, errDisk)
	}
	if n := signer.calls.Load(); n != 0 {
		t.Errorf("%d signatures, want 0", n)
	}
	w.store.failReserve = nil
	w.issue("shop1", newKey(t)) // resumes
}

func TestCrashBeforeTheCommitIsClosedAtTheNextStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.failIssue = errDisk
	c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	if c != nil || !errors.Is(err, errDisk) {
		t.Errorf("certificate %v, error %v, want none and %v", c, err, errDisk)
	}
	if len(w.store.intents) != 1 {
		t.Fatalf("%d open intents, want 1", len(w.store.intents))
	}
	serial := w.store.intents[0].Serial
	if s := w.status(policy.MerchantCA, serial); s.Issued && s.Revocation == nil {
		t.Error("the serial is good before the restart")
	}
	w.store.failIssue = nil
	w.open()
	s := w.status(policy.MerchantCA, serial)
	if !s.Issued || s.Revocation == nil || s.Revocation.Reason != ca.Unspecified || !s.Revocation.At.Equal(start) {
		t.Errorf("status %+v after the restart, want revoked now without a reason", s)
	}
	closed := w.events(audit.IntentClosed)
	if len(closed) != 1 || closed[0].Serial != serial.String() || closed[0].Party != "shop1" {
		t.Errorf("events %+v, want one for serial %s", closed, serial)
	}
	w.open()
	if got := len(w.events(audit.IntentClosed)); got != 1 {
		t.Errorf("closed %d times, want once", got)
	}
}

func TestTokenSurvivesAFailedCommit(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addToken(ca.Token{ID: "t", Party: "shop1", Profile: "merchant", NotAfter: start.AddDate(0, 0, 1)})
	req := request(t, "shop1", newKey(t))
	req.Token = "t"
	w.store.failIssue = errDisk
	if _, err := w.ca.Issue(t.Context(), req); !errors.Is(err, errDisk) {
		t.Fatalf("error %v, want %v", err, errDisk)
	}
	w.store.failIssue = nil
	if _, err := w.ca.Issue(t.Context(), req); err != nil {
		t.Errorf("the token is lost: %v", err)
	}
}

func TestRefusalThatCannotBeRecordedIsStillARefusal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.failAppend = errDisk
	_, err := w.ca.Issue(t.Context(), request(t, "nobody", newKey(t)))
	wantRule(t, err, "party-known")
	if !errors.Is(err, errDisk) {
		t.Errorf("error %v, want %v too", err, errDisk)
	}
}

func TestCancelledRequestLeavesNoOpenIntent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.ca.Issue(before, request(t, "shop1", newKey(t))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	during, cancel := context.WithCancel(t.Context())
	linter := w.cfg.Linter
	w.cfg.Linter = func(c *x509.Certificate) error { cancel(); return linter(c) }
	w.open()
	if _, err := w.ca.Issue(during, request(t, "shop1", newKey(t))); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want %v", err, context.Canceled)
	}
	if len(w.store.intents) != 0 || len(w.store.closed) != 1 || len(w.store.records) != 0 {
		t.Errorf("%d open, %d closed, %d records, want 0, 1, 0", len(w.store.intents), len(w.store.closed), len(w.store.records))
	}
	// Once it is signed, it is finished.
	after, cancel := context.WithCancel(t.Context())
	w.cfg.Linter = linter
	w.open()
	w.store.onIssue = cancel
	if _, err := w.ca.Issue(after, request(t, "shop1", newKey(t))); err != nil {
		t.Error(err)
	}
}

func TestAccessorsNameTheIssuers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := strings.Join(w.ca.Issuers(), " "); got != strings.Join(policy.CAs(), " ") {
		t.Errorf("issuers %s, want %s", got, policy.CAs())
	}
	if _, err := w.ca.Issuer("shop"); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("error %v, want %v", err, ca.ErrNotFound)
	}
	if w.ca.Network() != network {
		t.Errorf("network %q, want %q", w.ca.Network(), network)
	}
}
