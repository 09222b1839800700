package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"net/netip"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/policy"
)

const (
	network   = "pay.example"
	statusURL = "http://localhost:8080"
)

var start = time.Date(2026, 11, 23, 1, 25, 2, 0, time.UTC)

// A world is a network with a party of every role, named after it, and a clock that a test moves.
type world struct {
	t        testing.TB
	ceremony *ca.Ceremony
	store    *memStore
	cfg      ca.Config
	ca       *ca.Authority
	clock    atomic.Int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, store: newMemStore()}
	w.clock.Store(start.Unix())
	var err error
	w.ceremony, err = ca.Create(ca.CeremonyConfig{Network: network, StatusURL: statusURL, Now: w.now})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = ca.Config{
		Network: network, Root: w.ceremony.Root, Issuers: w.ceremony.Issuers, Profiles: profiles(t),
		Store: w.store, Linter: w.lint, StatusURL: statusURL, Now: w.now,
	}
	for _, role := range policy.Roles() {
		w.addParty(policy.Party{ID: string(role), Role: role, Name: "Acme " + string(role), State: policy.Active})
	}
	w.addParty(policy.Party{
		ID: "shop1", Role: policy.Merchant, Name: "Acme Computers", State: policy.Active,
		DNSNames: []string{"shop.example.test"}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")},
	})
	w.open()
	return w
}

// lint is the linter of the profiles that the test has chosen.
func (w *world) lint(c *x509.Certificate) error {
	linter, err := lint.New(lint.Config{Network: network, StatusURL: statusURL, Issuers: w.ceremony.Issuers, Profiles: w.cfg.Profiles})
	if err != nil {
		return err
	}
	return linter(c)
}

func profiles(t testing.TB) []*policy.Profile {
	t.Helper()
	var checked []*policy.Profile
	for _, cfg := range policy.DefaultProfiles() {
		p, err := policy.NewProfile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		checked = append(checked, p)
	}
	return checked
}

// open starts the authority, as a process does that starts anew on the same store.
func (w *world) open() {
	w.t.Helper()
	var err error
	if w.ca, err = ca.New(w.t.Context(), w.cfg); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) now() time.Time          { return time.Unix(w.clock.Load(), 0) }
func (w *world) advance(d time.Duration) { w.clock.Add(int64(d / time.Second)) }

func (w *world) addParty(p policy.Party) {
	w.t.Helper()
	if err := w.store.AddParty(context.Background(), p, audit.Event{Kind: audit.PartyAdded, Party: p.ID}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) addToken(t ca.Token) {
	w.t.Helper()
	if err := w.store.AddToken(context.Background(), t, audit.Event{Kind: audit.TokenCreated, Party: t.Party}); err != nil {
		w.t.Fatal(err)
	}
}

// issue issues for a party, or ends the test.
func (w *world) issue(party string, key crypto.Signer) *ca.Certificate {
	w.t.Helper()
	c, err := w.ca.Issue(context.Background(), request(w.t, party, key))
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

func (w *world) status(issuer string, s ca.Serial) ca.Status {
	w.t.Helper()
	status, err := w.store.Status(context.Background(), issuer, s)
	if err != nil {
		w.t.Fatal(err)
	}
	return status
}

// events returns the recorded events of a kind.
func (w *world) events(kind audit.Kind) []audit.Event {
	w.t.Helper()
	w.store.mu.Lock()
	defer w.store.mu.Unlock()
	var events []audit.Event
	for _, leaf := range w.store.leaves {
		if bytes.ContainsAny(leaf, "\r\n") {
			w.t.Errorf("leaf of more than one line: %q", leaf)
		}
		var e audit.Event
		if err := json.Unmarshal(leaf, &e); err != nil {
			w.t.Fatal(err)
		}
		if e.Kind == kind {
			events = append(events, e)
		}
	}
	return events
}

func request(t testing.TB, party string, key crypto.Signer) ca.Request {
	t.Helper()
	return ca.Request{Party: party, CSR: csr(t, key), Requester: "local", Protocol: "local", From: "127.0.0.1"}
}

func csr(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// wantRule says that err refuses by that rule.
func wantRule(t testing.TB, err error, rule string) {
	t.Helper()
	vs := policy.ViolationsOf(err)
	if !slices.ContainsFunc(vs, func(v *policy.Violation) bool { return v.Rule == rule }) {
		t.Errorf("error %v, want a violation of rule %q", err, rule)
	}
}

// needTool returns the path of a program, or skips the test.
func needTool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed", name)
	}
	return path
}
