package ca_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func (w *world) setState(id string, state policy.State) (ca.StateChange, error) {
	return w.ca.SetState(w.t.Context(), ca.StateRequest{Party: id, State: state, Reason: "a reason", By: "spiffe://operator.pay.example/op1", From: "192.0.2.9:1"})
}

func (w *world) mustState(id string, state policy.State, changed int) {
	w.t.Helper()
	change, err := w.setState(id, state)
	if err != nil || change.Changed != changed || change.Party.State != state {
		w.t.Fatalf("%s: got %+v, %v, want %d certificates changed", state, change, err, changed)
	}
}

// wantStatus says that the certificate stands revoked for the reason, or is good.
func (w *world) wantStatus(what string, c *ca.Certificate, reason string) {
	w.t.Helper()
	got := "good"
	if r := w.status(c.Record.Issuer, c.Record.Serial).Revocation; r != nil {
		got = r.Reason.String()
	}
	if got != reason {
		w.t.Errorf("%s: got %s, want %s", what, got, reason)
	}
}

func TestAPartyIsSuspendedResumedAndClosed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	expired := w.issue("shop1", newKey(t))
	w.advance(31 * 24 * time.Hour)
	var certs []*ca.Certificate
	for range 3 {
		certs = append(certs, w.issue("shop1", key))
	}
	held, gone, others := w.issue("shop1", newKey(t)), w.issue("shop1", newKey(t)), w.issue("merchant", newKey(t))
	revoke(t, w, held.Record.Serial, ca.CertificateHold)
	revoke(t, w, gone.Record.Serial, ca.Superseded)

	w.mustState("shop1", policy.Suspended, 3)
	for _, c := range certs {
		w.wantStatus("suspended", c, "certificateHold")
	}
	_, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	wantRule(t, err, "party-active")
	_, err = w.ca.Renew(t.Context(), certs[0].Leaf, ca.Request{CSR: csr(t, key), Requester: "local", Protocol: "renew"})
	wantRule(t, err, "renew-revoked")
	w.mustState("shop1", policy.Suspended, 0)
	wantRule(t, w.ca.Release(t.Context(), ca.ReleaseRequest{Serial: certs[0].Record.Serial, By: "local"}), "release-suspended")
	w.wantStatus("suspended", certs[0], "certificateHold")

	w.mustState("shop1", policy.Active, 3)
	for what, want := range map[*ca.Certificate]string{
		certs[0]: "good", certs[2]: "good", held: "certificateHold", gone: "superseded", others: "good", expired: "good",
	} {
		w.wantStatus("resumed", what, want)
	}
	certs = append(certs, w.issue("shop1", newKey(t)))
	w.mustState("shop1", policy.Active, 0)

	w.mustState("shop1", policy.Suspended, 4)
	w.mustState("shop1", policy.Closed, 5) // with the one that an operator held
	for _, c := range append(certs, held) {
		w.wantStatus("closed", c, "cessationOfOperation")
	}
	w.wantStatus("closed", gone, "superseded")
	w.wantStatus("closed", others, "good")
	for _, state := range []policy.State{policy.Active, policy.Suspended} {
		_, err := w.setState("shop1", state)
		wantRule(t, err, "state-closed")
	}
	w.mustState("shop1", policy.Closed, 0)
	for kind, want := range map[audit.Kind]int{audit.PartySuspended: 2, audit.PartyResumed: 1, audit.PartyClosed: 1, audit.CertificateFreed: 3, audit.CertificateRevoked: 2 + 3 + 4 + 5} {
		events := w.events(kind)
		if len(events) != want {
			t.Errorf("%s: got %d events, want %d", kind, len(events), want)
		}
		if e := events[0]; want < 3 && (e.Party != "shop1" || e.Reason != "a reason" || e.Actor != "spiffe://operator.pay.example/op1" || e.From == "") {
			t.Errorf("got %+v, want who, why and from where", e)
		}
	}
}

func TestStatesThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addParty(policy.Party{ID: policy.NetworkParty, Role: policy.Service, Name: network, State: policy.Active})
	w.addParty(policy.Party{ID: "op1", Role: policy.Operator, Name: "op1", State: policy.Active})
	for _, tt := range []struct {
		name, party, rule string
		state             policy.State
		by                string
	}{
		{"the CA's own servers are suspended", policy.NetworkParty, "state-own", policy.Suspended, "local"},
		{"an operator suspends itself", "op1", "state-by", policy.Suspended, "spiffe://operator.pay.example/op1"},
		{"nobody suspends", "shop1", "state-by", policy.Suspended, ""},
		{"a state that is none", "shop1", "party-state", "paused", "local"},
		{"a state that is empty", "shop1", "party-state", "", "local"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := w.ca.SetState(t.Context(), ca.StateRequest{Party: tt.party, State: tt.state, By: tt.by})
			wantRule(t, err, tt.rule)
			if p, err := w.store.Party(t.Context(), tt.party); err != nil || p.State != policy.Active {
				t.Errorf("got %+v, %v, want it active still", p, err)
			}
		})
	}
	if _, err := w.ca.SetState(t.Context(), ca.StateRequest{Party: "nobody", State: policy.Suspended, By: "local"}); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("got %v for a party that is not registered, want ca.ErrNotFound", err)
	}
}

// An issuance that policy let through before the suspension is refused in its commit after it.
func TestAnIssuanceUnderWayDoesNotOutliveASuspension(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.store.onIssue = func() {
		w.store.onIssue = nil
		w.mustState("shop1", policy.Suspended, 0)
	}
	_, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	wantRule(t, err, "party-active")
	if len(w.store.records) != 0 || len(w.store.intents) != 0 || len(w.events(audit.IntentClosed)) != 1 {
		t.Errorf("got %d certificates and %d intents, want none and the intent closed", len(w.store.records), len(w.store.intents))
	}
}

// What a crash cuts short leaves the party refused, and the same call again finishes it.
func TestASuspensionThatWasCutShortIsFinishedByTheSameCall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 20
	certs := make([]*ca.Certificate, n)
	for i := range certs {
		certs[i] = w.issue("shop1", newKey(t))
	}
	disk := &failingStore{memStore: w.store, left: 7}
	w.cfg.Store = disk
	w.open()
	if _, err := w.setState("shop1", policy.Suspended); !errors.Is(err, errDisk) {
		t.Fatalf("got %v, want %v", err, errDisk)
	}
	_, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	wantRule(t, err, "party-active")
	disk.left = 1 << 20
	if change, err := w.setState("shop1", policy.Suspended); err != nil || change.Changed == 0 || change.Changed >= n {
		t.Errorf("got %+v, %v, want the rest put on hold", change, err)
	}
	for _, c := range certs {
		w.wantStatus("suspended", c, "certificateHold")
	}
	disk.left = 5
	if _, err := w.setState("shop1", policy.Active); !errors.Is(err, errDisk) {
		t.Fatalf("got %v, want %v", err, errDisk)
	}
	if p, err := w.store.Party(t.Context(), "shop1"); err != nil || p.State != policy.Suspended {
		t.Errorf("got %+v, %v, want it suspended until all is released", p, err)
	}
	disk.left = 1 << 20
	if _, err := w.setState("shop1", policy.Active); err != nil {
		t.Fatal(err)
	}
	for _, c := range certs {
		w.wantStatus("resumed", c, "good")
	}
}

// A failingStore writes so many statuses and then no more.
type failingStore struct {
	*memStore
	left int // guarded by mu of memStore
}

func (f *failingStore) take() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left--; f.left < 0 {
		return errDisk
	}
	return nil
}

func (f *failingStore) Revoke(ctx context.Context, rev ca.Revocation, e audit.Event) error {
	if err := f.take(); err != nil {
		return err
	}
	return f.memStore.Revoke(ctx, rev, e)
}

func (f *failingStore) Release(ctx context.Context, issuer string, s ca.Serial, at time.Time, e audit.Event) error {
	if err := f.take(); err != nil {
		return err
	}
	return f.memStore.Release(ctx, issuer, s, at, e)
}
