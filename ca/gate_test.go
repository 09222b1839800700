package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestLintRefusalClosesTheIntentBeforeTheIssuerKeyIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var linted []byte
	w.cfg.Linter = func(c *x509.Certificate) error { linted = c.Raw; return errors.New("e_not_nice: it is not nice") }
	signer := &countingSigner{Signer: w.cfg.Issuers[1].Signer}
	w.cfg.Issuers[1].Signer = signer
	w.open()
	c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	if c != nil {
		t.Error("a certificate was handed out")
	}
	wantRule(t, err, "lint")
	if n := signer.calls.Load(); n != 0 {
		t.Errorf("the issuer's key was used %d times, want 0", n)
	}
	draft, err := x509.ParseCertificate(linted)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := w.ca.Issuer(policy.MerchantCA)
	if err != nil {
		t.Fatal(err)
	}
	if draft.CheckSignatureFrom(issuer) == nil {
		t.Error("the draft carries the issuer's signature")
	}
	serial, err := ca.SerialOf(draft.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.status(policy.MerchantCA, serial); s.Revocation == nil || len(w.store.intents) != 0 {
		t.Errorf("status %+v and %d intents, want revoked and none", s, len(w.store.intents))
	}
	if refused, closed := w.events(audit.CertificateRefused), w.events(audit.IntentClosed); len(refused) != 1 || len(closed) != 1 {
		t.Errorf("%d refused and %d closed in the log, want 1 and 1", len(refused), len(closed))
	}
}

func TestLintedBytesAreTheSignedBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var linted []byte
	inner := w.cfg.Linter
	w.cfg.Linter = func(c *x509.Certificate) error { linted = c.Raw; return inner(c) }
	w.open()
	c := w.issue("shop1", newKey(t))
	draft, err := x509.ParseCertificate(linted)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(draft.RawTBSCertificate, c.Leaf.RawTBSCertificate) {
		t.Error("the signed bytes are not those that were linted")
	}
	if bytes.Equal(draft.Raw, c.Leaf.Raw) {
		t.Error("the draft is the certificate")
	}
}

// A countingSigner counts signatures, fails the first so many, and spoils them on demand.
type countingSigner struct {
	crypto.Signer
	calls atomic.Int64
	fail  int64
	spoil bool
}

func (s *countingSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.calls.Add(1) <= s.fail {
		return nil, errors.New("the session is closed")
	}
	sig, err := s.Signer.Sign(random, digest, opts)
	if s.spoil {
		sig[len(sig)-1] ^= 1
	}
	return sig, err
}

func TestFailingSigner(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fail  int64
		spoil bool
		calls int64
		want  bool
	}{
		{"that fails once is asked again", 1, false, 2, true},
		{"that fails twice is not asked a third time", 2, false, 2, false},
		{"whose signatures do not verify hands out nothing", 0, true, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			signer := &countingSigner{Signer: w.cfg.Issuers[1].Signer, fail: tt.fail, spoil: tt.spoil}
			w.cfg.Issuers[1].Signer = signer
			w.open()
			c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
			if (c != nil) != tt.want || (err == nil) != tt.want {
				t.Errorf("certificate %v, error %v, want success %t", c, err, tt.want)
			}
			if got := signer.calls.Load(); got != tt.calls {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
			if len(w.store.intents) != 0 {
				t.Error("the intent is still open")
			}
		})
	}
}

func TestTokenUsedByAHundredGivesOneCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addToken(ca.Token{ID: "9f2c", Party: "shop1", Profile: "merchant", NotAfter: start.Add(time.Hour)})
	req := request(t, "shop1", newKey(t))
	req.Token = "9f2c"
	// All are past the first look at the token before the first is committed.
	var arrived atomic.Int64
	all := make(chan struct{})
	w.store.onIssue = func() {
		if arrived.Add(1) == 100 {
			close(all)
		}
		<-all
	}
	var wg sync.WaitGroup
	var got, used atomic.Int64
	for range 100 {
		wg.Go(func() {
			_, err := w.ca.Issue(context.Background(), req)
			if err == nil {
				got.Add(1)
			} else if e, ok := errors.AsType[*ca.TokenUsedError](err); ok && e.By.Party == "shop1" {
				used.Add(1)
			} else {
				t.Errorf("error %v, want a *TokenUsedError", err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 || used.Load() != 99 || len(w.store.records) != 1 {
		t.Errorf("%d certificates, %d refusals, %d records, want 1, 99, 1", got.Load(), used.Load(), len(w.store.records))
	}
	if err := w.ca.Unreserve(t.Context()); err != nil {
		t.Error(err)
	}
	if len(w.store.intents) != 0 || len(w.store.closed) != 99 {
		t.Errorf("%d intents open, %d closed, want 0 and 99", len(w.store.intents), len(w.store.closed))
	}
	if _, err := w.ca.Issue(t.Context(), req); err == nil {
		t.Error("the token was taken once more")
	}
}

func TestTokenNamesTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addToken(ca.Token{ID: "t", Party: "gateway", Profile: "gateway-encryption", NotAfter: start.Add(time.Hour)})
	req := request(t, "gateway", newKey(t))
	req.Token = "t"
	c, err := w.ca.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if c.Record.Profile != "gateway-encryption" || c.Leaf.KeyUsage != x509.KeyUsageKeyAgreement {
		t.Errorf("profile %q, key usage %b, want gateway-encryption and keyAgreement", c.Record.Profile, c.Leaf.KeyUsage)
	}
}

func TestCompromisedKeyIsRefusedForAnyone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	c := w.issue("shop1", key)
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"}); err != nil {
		t.Fatal(err)
	}
	c = w.issue("shop1", key) // superseded says nothing against the key
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
		t.Fatal(err)
	}
	for _, party := range []string{"shop1", "gateway"} {
		_, err := w.ca.Issue(t.Context(), request(t, party, key))
		wantRule(t, err, "key-compromised")
	}
}

func TestCompromiseReportedDuringIssuanceIsNotOverlooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	first := w.issue("shop1", key)
	w.store.onIssue = func() {
		w.store.onIssue = nil
		if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: first.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
			t.Error(err)
		}
	}
	c, err := w.ca.Issue(t.Context(), request(t, "shop1", key))
	if c != nil {
		t.Error("a certificate for a compromised key was handed out")
	}
	wantRule(t, err, "key-compromised")
	for _, rec := range w.store.records {
		if rec.Revocation == nil || rec.Revocation.Reason != ca.KeyCompromise {
			t.Errorf("certificate %s stands at %+v, want keyCompromise", rec.Serial, rec.Revocation)
		}
	}
}

func TestConcurrentIssuanceAndRevocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := request(t, "shop1", newKey(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				c, err := w.ca.Issue(context.Background(), req)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.ca.Revoke(context.Background(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := w.ca.Unreserve(t.Context()); err != nil {
		t.Error(err)
	}
	if len(w.store.records) != 80 || len(w.store.intents) != 0 {
		t.Errorf("%d records, %d intents, want 80 and 0", len(w.store.records), len(w.store.intents))
	}
}

func BenchmarkIssue(b *testing.B) {
	w := newWorld(b)
	req := request(b, "shop1", newKey(b))
	for b.Loop() {
		if _, err := w.ca.Issue(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTokenThatWasCancelledOrIsBoundToAnotherKeyIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req, other := request(t, "shop1", newKey(t)), request(t, "shop1", newKey(t))
	sum := func(b []byte) string { s := sha256.Sum256(b); return hex.EncodeToString(s[:]) }
	parsed, err := x509.ParseCertificateRequest(req.CSR)
	if err != nil {
		t.Fatal(err)
	}
	end := start.Add(time.Hour)
	w.addToken(ca.Token{ID: "cancelled", Party: "shop1", NotAfter: end})
	w.addToken(ca.Token{ID: "request", Party: "shop1", NotAfter: end, Request: sum(req.CSR)})
	w.addToken(ca.Token{ID: "key", Party: "shop1", NotAfter: end, Key: sum(parsed.RawSubjectPublicKeyInfo)})
	by := ca.TokenCancellation{By: "spiffe://operator.pay.example/ann", At: start}
	if err := w.store.CancelToken(t.Context(), "cancelled", by, audit.Event{Kind: audit.TokenCancelled}); err != nil {
		t.Fatal(err)
	}
	try := func(req ca.Request, token string) error {
		req.Token = token
		_, err := w.ca.Issue(t.Context(), req)
		return err
	}
	if e, ok := errors.AsType[*ca.TokenCancelledError](try(req, "cancelled")); !ok || e.By != by {
		t.Errorf("cancelled: got %v, want *ca.TokenCancelledError", e)
	}
	for token, rule := range map[string]string{"request": "token-request", "key": "token-binding"} {
		if vs := policy.ViolationsOf(try(other, token)); len(vs) != 1 || vs[0].Rule != rule {
			t.Errorf("bound to a %s: got %v for another, want %s", token, vs, rule)
		}
	}
	garbage := req
	garbage.CSR = []byte("no request")
	if vs := policy.ViolationsOf(try(garbage, "key")); len(vs) < 2 || vs[0].Rule != "token-binding" {
		t.Errorf("bound to a key: got %v for what is no request, want token-binding and more", vs)
	}
	if n := len(w.store.records); n != 0 {
		t.Fatalf("%d certificates, want none", n)
	}
	for _, token := range []string{"request", "key"} {
		if err := try(req, token); err != nil {
			t.Errorf("bound to a %s: got %v for what it is bound to", token, err)
		}
	}
	refused := 0
	for _, leaf := range w.store.leaves {
		if e, err := audit.ParseEvent(leaf); err == nil && e.Kind == audit.CertificateRefused {
			refused++
		}
	}
	if refused != 4 {
		t.Errorf("%d refusals in the log, want 4", refused)
	}
}
