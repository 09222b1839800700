package storetest

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// The issuers whose certificates the suite writes.
const (
	payment = "payment"
	service = "service"
)

// epoch is when everything happens.
var epoch = time.Date(2030, time.March, 4, 5, 6, 7, 0, time.UTC)

// Log returns the audit log that a store under test keeps. Its key is fixed.
func Log(t testing.TB) *audit.Log {
	t.Helper()
	log, err := audit.New(audit.Config{
		Origin: "store.test/ca",
		Signer: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// A world is a store and what there is to write into it.
type world struct {
	ca.Store
	key string // verifies the heads of the log

	mu     sync.Mutex // guards random
	random *rand.ChaCha8
}

func newWorld(t *testing.T, store ca.Store) *world {
	t.Helper()
	return &world{Store: store, key: Log(t).VerifierKey(), random: rand.NewChaCha8([32]byte{1})}
}

func (w *world) serial() ca.Serial {
	w.mu.Lock()
	defer w.mu.Unlock()
	serial, err := ca.NewSerial(w.random, epoch)
	if err != nil {
		panic(err) // ChaCha8 never fails
	}
	return serial
}

func (w *world) intent() ca.Intent {
	return ca.Intent{
		Serial: w.serial(), Issuer: payment, Profile: "merchant", Party: "acme",
		NotAfter: epoch.AddDate(1, 0, 0), At: epoch,
	}
}

// issuance is what turns the intent into a certificate.
func issuanceOf(in ca.Intent) ca.Issuance {
	return ca.Issuance{
		Record: ca.Record{
			Serial: in.Serial, Issuer: in.Issuer, Profile: in.Profile, Party: in.Party, Role: policy.Merchant,
			SPKI: sha256.Sum256([]byte("key of " + in.Party)), DER: []byte("certificate " + in.Serial.String()),
			NotBefore: epoch, NotAfter: in.NotAfter, Requester: "local", Protocol: "local",
		},
		Event: event(audit.CertificateIssued, in.Serial),
	}
}

func event(kind audit.Kind, serial ca.Serial) audit.Event {
	return audit.Event{Time: epoch, Kind: kind, Actor: "local", Serial: serial.String()}
}

// issue reserves and issues one certificate, from any goroutine.
func (w *world) issue(ctx context.Context, change func(*ca.Issuance)) (ca.Record, error) {
	is := issuanceOf(w.intent())
	if change != nil {
		change(&is)
	}
	r := is.Record
	in := ca.Intent{Serial: r.Serial, Issuer: r.Issuer, Profile: r.Profile, Party: r.Party, NotAfter: r.NotAfter, At: epoch}
	if err := w.Reserve(ctx, in); err != nil {
		return ca.Record{}, fmt.Errorf("reserving: %w", err)
	}
	return w.Issue(ctx, is)
}

func (w *world) mustIssue(t *testing.T, change func(*ca.Issuance)) ca.Record {
	t.Helper()
	record, err := w.issue(t.Context(), change)
	must(t, err)
	return record
}

func (w *world) mustReserve(t *testing.T) ca.Intent {
	t.Helper()
	in := w.intent()
	must(t, w.Reserve(t.Context(), in))
	return in
}

func revocationOf(r ca.Record, reason ca.Reason) ca.Revocation {
	return ca.Revocation{Serial: r.Serial, Issuer: r.Issuer, Reason: reason, At: epoch, NotAfter: r.NotAfter, By: "local"}
}

// closing is the revocation that ends the intent.
func closing(in ca.Intent) ca.Revocation {
	return ca.Revocation{Serial: in.Serial, Issuer: in.Issuer, Reason: ca.CessationOfOperation, At: epoch, NotAfter: in.NotAfter, By: "payca"}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// all collects what an iterator yields.
func all[T any](t testing.TB, rows iter.Seq2[T, error]) []T {
	t.Helper()
	var list []T
	for row, err := range rows {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, row)
	}
	return list
}

// together calls f(0) to f(n-1), at most 64 at a time, and joins their errors.
func together(n int, f func(i int) error) error {
	var wait sync.WaitGroup
	errs, slots := make([]error, n), make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			errs[i] = f(i)
		})
	}
	wait.Wait()
	return errors.Join(errs...)
}

// leavesOf reads the whole log, a few leaves at a time.
func leavesOf(t testing.TB, s ca.Store) (leaves [][]byte) {
	t.Helper()
	for {
		page, err := s.Log().Leaves(t.Context(), uint64(len(leaves)), 100)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			return leaves
		}
		leaves = append(leaves, page...)
	}
}

// wantSound proves the log and that it and the inventory tell the same story.
func (w *world) wantSound(t *testing.T) {
	t.Helper()
	report, err := audit.Verify(t.Context(), w.Log(), w.key)
	must(t, err)
	leaves := leavesOf(t, w.Store)
	if report.Size != uint64(len(leaves)) {
		t.Errorf("log verifies %d leaves, has %d", report.Size, len(leaves))
	}
	issued := map[string]int{}
	for i, leaf := range leaves {
		e, err := audit.ParseEvent(leaf)
		must(t, err)
		if e.Kind == audit.CertificateIssued {
			issued[e.Serial] = i
		}
	}
	records := all(t, w.Certificates(t.Context(), ca.Filter{}))
	for _, r := range records {
		if at, ok := issued[r.Serial.String()]; !ok || uint64(at) != r.Index {
			t.Errorf("certificate %s has index %d, its event is entry %d (%t)", r.Serial, r.Index, at, ok)
		}
	}
	if len(issued) != len(records) {
		t.Errorf("log has %d certificate.issued, inventory %d certificates", len(issued), len(records))
	}
}

// Dump is everything that can be read from a store that this suite wrote to, one thing a
// line; the tokens are those with the given ids. Equal dumps mean that nothing changed.
func Dump(t testing.TB, s ca.Store, tokenIDs ...string) string {
	t.Helper()
	var text strings.Builder
	line := func(what string, v any, err error) {
		raw, failed := json.Marshal(v)
		fmt.Fprintln(&text, what, string(raw), errors.Join(err, failed))
	}
	for _, r := range all(t, s.Certificates(t.Context(), ca.Filter{})) {
		line(fmt.Sprintf("certificate %x %x", r.SPKI, r.DER), r, nil)
	}
	intents, err := s.Intents(t.Context())
	line("intents", intents, err)
	for _, issuer := range []string{payment, service} {
		line("revocations", all(t, s.Revocations(t.Context(), issuer)), nil)
	}
	line("parties", all(t, s.Parties(t.Context(), "")), nil)
	for _, id := range tokenIDs {
		token, err := s.Token(t.Context(), id)
		line("token", token, err)
	}
	line("messages", all(t, s.Messages(t.Context(), "")), nil)
	counts, err := s.CountMessages(t.Context())
	line("messages in each state", counts, err)
	line("requests", all(t, s.ApprovalRequests(t.Context(), ca.RequestFilter{})), nil)
	line("pending", all(t, s.ApprovalRequests(t.Context(), ca.RequestFilter{State: ca.RequestPending})), nil)
	for _, kind := range []string{ca.AskPolicy, ca.AskIssuers} {
		pin, err := s.Pin(t.Context(), kind)
		line("pin", pin, err)
	}
	line("blocked keys", all(t, s.BlockedKeys(t.Context(), ca.KeyHash{})), nil)
	recheck, err := s.Recheck(t.Context())
	line("re-check", recheck, err)
	line("findings", all(t, s.Findings(t.Context(), ca.Serial{})), nil)
	for _, leaf := range leavesOf(t, s) {
		fmt.Fprintln(&text, "leaf", string(leaf))
	}
	head, err := s.Log().Head(t.Context())
	line("head", head, err)
	return text.String()
}
