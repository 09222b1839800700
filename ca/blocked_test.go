package ca_test

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"strings"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// hashOf names a public key.
func hashOf(t testing.TB, key crypto.Signer) ca.KeyHash {
	t.Helper()
	spki, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(spki)
}

// refusedFor says that a party gets no certificate for the key, by that rule, and that this is recorded.
func (w *world) refusedFor(party string, key crypto.Signer, profile, rule string) {
	w.t.Helper()
	req := request(w.t, party, key)
	req.Profile = profile
	before := len(w.events(audit.CertificateRefused))
	_, err := w.ca.Issue(w.t.Context(), req)
	wantRule(w.t, err, rule)
	refused := w.events(audit.CertificateRefused)
	if len(refused) != before+1 || !strings.Contains(refused[before].Reason, rule+": ") {
		w.t.Errorf("refusals %+v, want one more that names %s", refused, rule)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	log, listed := newKey(t), newKey(t)
	w.cfg.OwnKeys = map[string]crypto.PublicKey{"the audit log": log.Public()}
	w.cfg.WeakKeys = func(pub crypto.PublicKey) string {
		if listed.PublicKey.Equal(pub) {
			return "debian.txt"
		}
		return ""
	}
	w.open()
	for _, is := range w.ceremony.Issuers {
		w.refusedFor("shop1", is.Signer, "", "key-own")
	}
	w.refusedFor("shop1", w.ceremony.RootSigner, "", "key-own")
	w.refusedFor("shop1", log, "", "key-own")
	w.refusedFor("shop1", listed, "", "key-weak")

	delegate := newKey(t)
	if _, err := w.ca.IssueResponder(t.Context(), policy.MerchantCA, delegate); err != nil {
		t.Fatal(err)
	}
	w.refusedFor("shop1", delegate, "", "key-own")

	t.Run("8 a key that was revoked for keyCompromise, asked again by another party", func(t *testing.T) {
		key := newKey(t)
		c := w.issue("shop1", key)
		if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
			t.Fatal(err)
		}
		w.refusedFor("shop1", key, "", "key-compromised")
		w.refusedFor("gateway", key, "", "key-compromised")
		w.refusedFor("gateway", key, "", "key-reused")
	})
	t.Run("a key of another party", func(t *testing.T) {
		key := newKey(t)
		w.issue("shop1", key)
		w.refusedFor("merchant", key, "", "key-reused")
		w.issue("shop1", key) // its own it may keep
	})
	t.Run("one key for signing and encryption", func(t *testing.T) {
		key := newKey(t)
		w.issue("gateway", key)
		w.refusedFor("gateway", key, "gateway-encryption", "key-use")
	})
}

func TestAKeyThatIsReportedWhileItIsSignedIsNotIssued(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	w.store.onIssue = func() {
		w.store.onIssue = nil
		if _, err := w.ca.BlockKey(t.Context(), ca.KeyBlock{Key: hashOf(t, key), Reason: "found on a public server", By: "local"}); err != nil {
			t.Error(err)
		}
	}
	_, err := w.ca.Issue(t.Context(), request(t, "shop1", key))
	wantRule(t, err, "key-blocked")
	if closed := w.events(audit.IntentClosed); len(closed) != 1 || len(w.events(audit.CertificateIssued)) != 0 {
		t.Errorf("closed %+v, want one intent, and nothing issued", closed)
	}
}

func TestBlockedKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	block := ca.KeyBlock{Key: hashOf(t, key), Reason: "printed in a book", By: "local", From: "127.0.0.1"}
	if b, err := w.ca.BlockKey(t.Context(), block); err != nil || b.Key != block.Key || !b.At.Equal(start) {
		t.Fatalf("got %+v, %v", b, err)
	}
	w.refusedFor("shop1", key, "", "key-blocked")
	if _, err := w.ca.BlockKey(t.Context(), block); !errors.Is(err, ca.ErrExists) {
		t.Errorf("error %v, want %v", err, ca.ErrExists)
	}
	if e := w.events(audit.KeyBlocked); len(e) != 1 || e[0].Attrs["key"] != block.Key.String() || e[0].Reason != block.Reason || e[0].From != block.From {
		t.Errorf("events %+v, want one with key, reason and place", e)
	}
	if err := w.ca.UnblockKey(t.Context(), ca.KeyBlock{Key: block.Key, Reason: "a misprint", By: "local"}); err != nil {
		t.Fatal(err)
	}
	if err := w.ca.UnblockKey(t.Context(), ca.KeyBlock{Key: block.Key, Reason: "a misprint", By: "local"}); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("error %v, want %v", err, ca.ErrNotFound)
	}
	if len(w.events(audit.KeyUnblocked)) != 1 {
		t.Error("want one event of the block that was taken back")
	}
	c := w.issue("shop1", key)
	if _, err := w.ca.BlockKey(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	if r := w.status(policy.MerchantCA, c.Record.Serial).Revocation; r != nil {
		t.Errorf("revocation %+v, want what was issued to stand", r)
	}
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
		t.Fatal(err)
	}
	if err := w.ca.UnblockKey(t.Context(), block); err != nil {
		t.Fatal(err)
	}
	w.refusedFor("shop1", key, "", "key-compromised") // to unblock does not make it good

	for name, bad := range map[string]ca.KeyBlock{
		"nobody's word": {Reason: "x"}, "no reason": {By: "local"}, "20 CR LF in the reason": {By: "local", Reason: "a\r\nb"},
		"a reason of 257 characters": {By: "local", Reason: strings.Repeat("a", 257)},
	} {
		if _, err := w.ca.BlockKey(t.Context(), bad); policy.ViolationsOf(err) == nil {
			t.Errorf("%s: error %v, want a violation", name, err)
		}
	}
}

func FuzzParseKeyHash(f *testing.F) {
	f.Add(strings.Repeat("ab", 32))
	f.Add(strings.Repeat("AB:", 31) + "AB")
	f.Add("ab")
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ca.ParseKeyHash(text)
		if err != nil {
			return
		}
		if again, err := ca.ParseKeyHash(h.String()); err != nil || again != h {
			t.Errorf("%q reads as %s, which reads as %s (%v)", text, h, again, err)
		}
	})
}
