package storetest

import (
	"context"
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

var keys = []sentence{
	{"what is known of a key is its block, its compromise and its newest certificate", testKey},
	{"a key is blocked once, and a block is taken back once", testBlocks},
	{"the certificates of a key are revoked in one commit, or none", testRevokeKey},
	{"a certificate is not issued for a key that is not admitted in the commit", testAdmit},
	{"of many that revoke a key while it is certified, none leaves a certificate good", testKeyRace},
	{"a re-check is kept with its findings", testRecheck},
}

// compromised revokes a record for keyCompromise unless that is not allowed.
func compromised(r ca.Record) (*ca.KeyRevocation, error) {
	rev := revocationOf(r, ca.KeyCompromise)
	if ca.CheckRevocation(r.Revocation, rev) != nil {
		return nil, nil
	}
	return &ca.KeyRevocation{Revocation: rev, Event: event(audit.CertificateRevoked, r.Serial)}, nil
}

func blockOf(text string) ca.KeyChange {
	key := ca.KeyHash(sha256.Sum256([]byte(text)))
	return ca.KeyChange{
		Key: key, Block: &ca.BlockedKey{Key: key, Reason: "leaked: " + text, By: "local", At: epoch},
		Event: audit.Event{Time: epoch, Kind: audit.KeyBlocked, Actor: "local"},
	}
}

// withKey issues a certificate for a key.
func (w *world) withKey(t *testing.T, key ca.KeyHash) ca.Record {
	t.Helper()
	return w.mustIssue(t, func(is *ca.Issuance) { is.Record.SPKI = key })
}

func testKey(t *testing.T, w *world) {
	c := blockOf("a key")
	near := c.Key // the same as far as an index looks
	near[31] ^= 1
	if got, err := w.Key(t.Context(), c.Key); err != nil || got != (ca.Key{}) {
		t.Errorf("got %+v, %v, want nothing", got, err)
	}
	w.withKey(t, near)
	first, second := w.withKey(t, c.Key), w.withKey(t, c.Key)
	w.withKey(t, near)
	want := ca.Key{Newest: &second}
	check := func(when string) {
		t.Helper()
		if got, err := w.Key(t.Context(), c.Key); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", when, got, err, want)
		}
	}
	check("issued")
	must(t, w.Revoke(t.Context(), revocationOf(first, ca.Superseded), event(audit.CertificateRevoked, first.Serial)))
	check("revoked for another reason")
	rev := revocationOf(first, ca.KeyCompromise)
	must(t, w.Revoke(t.Context(), rev, event(audit.CertificateRevoked, first.Serial)))
	want.Compromised = &rev
	check("revoked for keyCompromise")
	_, err := w.ChangeKey(t.Context(), c)
	must(t, err)
	want.Blocked = c.Block
	check("blocked")
	if got, err := w.Key(t.Context(), near); err != nil || got.Blocked != nil || got.Compromised != nil {
		t.Errorf("got %+v, %v of a key that is alike, want only its certificate", got, err)
	}
}

func testBlocks(t *testing.T, w *world) {
	var want []ca.BlockedKey
	for _, text := range []string{"a", "b", "c"} {
		c := blockOf(text)
		written, err := w.ChangeKey(t.Context(), c)
		must(t, err)
		if len(written) != 0 {
			t.Errorf("got %d revocations, want none", len(written))
		}
		want = append(want, *c.Block)
	}
	slices.SortFunc(want, func(a, b ca.BlockedKey) int { return slices.Compare(a.Key[:], b.Key[:]) })
	for i, after := range []ca.KeyHash{{}, want[0].Key, want[1].Key, want[2].Key} {
		if got := all(t, w.BlockedKeys(t.Context(), after)); !slices.Equal(got, want[i:]) {
			t.Errorf("got %+v after %s, want %+v", got, after, want[i:])
		}
	}
	before := Dump(t, w.Store)
	_, err := w.ChangeKey(t.Context(), blockOf("b"))
	wantError(t, err, ca.ErrExists)
	wantError(t, w.UnblockKey(t.Context(), ca.KeyHash{1}, audit.Event{}), ca.ErrNotFound)
	if after := Dump(t, w.Store); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	unblocked := audit.Event{Time: epoch, Kind: audit.KeyUnblocked}
	must(t, w.UnblockKey(t.Context(), want[1].Key, unblocked))
	wantError(t, w.UnblockKey(t.Context(), want[1].Key, unblocked), ca.ErrNotFound)
	if got := all(t, w.BlockedKeys(t.Context(), ca.KeyHash{})); !slices.Equal(got, []ca.BlockedKey{want[0], want[2]}) {
		t.Errorf("got %+v, want the other two", got)
	}
}

func testRevokeKey(t *testing.T, w *world) {
	c := blockOf("a key")
	c.Decide = compromised
	first, second, other := w.withKey(t, c.Key), w.withKey(t, c.Key), w.withKey(t, ca.KeyHash{1})
	before := Dump(t, w.Store)
	refused := errors.New("not this one")
	bad := c
	for name, decide := range map[string]func(ca.Record) (*ca.KeyRevocation, error){
		"an error for the second": func(r ca.Record) (*ca.KeyRevocation, error) {
			if r.Serial == second.Serial {
				return nil, refused
			}
			return compromised(r)
		},
		"a reason that does not exist": func(r ca.Record) (*ca.KeyRevocation, error) {
			return &ca.KeyRevocation{Revocation: revocationOf(r, 7)}, nil
		},
	} {
		bad.Decide = decide
		if _, err := w.ChangeKey(t.Context(), bad); err == nil {
			t.Errorf("%s: got no error", name)
		}
		if after := Dump(t, w.Store); after != before {
			t.Errorf("%s: got %s, want %s", name, after, before)
		}
	}
	size := len(leavesOf(t, w.Store))
	written, err := w.ChangeKey(t.Context(), c)
	must(t, err)
	if len(written) != 2 || written[0].Serial != first.Serial || written[1].Serial != second.Serial {
		t.Errorf("got %+v, want both, the first one first", written)
	}
	if got := len(leavesOf(t, w.Store)); got != size+3 {
		t.Errorf("got %d events, want the block and two revocations", got-size)
	}
	for _, r := range []ca.Record{first, second, other} {
		status, err := w.Status(t.Context(), r.Issuer, r.Serial)
		if err != nil || (status.Revocation != nil) != (r.SPKI == c.Key) {
			t.Errorf("%s: got %+v, %v", r.Serial, status, err)
		}
	}
	revoked := true
	if got := all(t, w.Certificates(t.Context(), ca.Filter{Revoked: &revoked})); len(got) != 2 {
		t.Errorf("got %d revoked certificates in the inventory, want 2", len(got))
	}
	_, err = w.ChangeKey(t.Context(), c)
	wantError(t, err, ca.ErrExists) // blocked, and nothing is left to revoke
	third := w.withKey(t, c.Key)
	if written, err = w.ChangeKey(t.Context(), c); err != nil || len(written) != 1 || written[0].Serial != third.Serial {
		t.Errorf("got %+v, %v, want the third certificate of a key that is blocked already", written, err)
	}
}

func testAdmit(t *testing.T, w *world) {
	c := blockOf("a key")
	_, err := w.ChangeKey(t.Context(), c)
	must(t, err)
	intent := w.mustReserve(t)
	is := issuanceOf(intent)
	is.Record.SPKI, is.Token, is.Use = c.Key, "t", ca.TokenUse{Party: "acme", At: epoch}
	must(t, w.AddToken(t.Context(), token("t"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	refused := errors.New("blocked")
	is.Admit = func(known ca.Key) error {
		if known.Blocked != nil {
			return refused
		}
		return nil
	}
	before := Dump(t, w.Store, "t")
	_, err = w.Issue(t.Context(), is)
	wantError(t, err, refused)
	if after := Dump(t, w.Store, "t"); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	must(t, w.UnblockKey(t.Context(), c.Key, audit.Event{Time: epoch, Kind: audit.KeyUnblocked}))
	_, err = w.Issue(t.Context(), is)
	must(t, err)
}

// testKeyRace issues and revokes at once: what was issued is revoked, and what came later is not issued.
func testKeyRace(t *testing.T, w *world) {
	key := ca.KeyHash(sha256.Sum256([]byte("a key")))
	refused := errors.New("compromised")
	w.withKey(t, key)
	var issued, kept atomic.Int32
	must(t, together(64, func(i int) error {
		if i%8 == 7 {
			_, err := w.ChangeKey(t.Context(), ca.KeyChange{Key: key, Decide: compromised})
			return err
		}
		_, err := w.issue(t.Context(), func(is *ca.Issuance) {
			is.Record.SPKI = key
			is.Admit = func(known ca.Key) error {
				if known.Compromised != nil {
					return refused
				}
				return nil
			}
		})
		if errors.Is(err, refused) {
			kept.Add(1)
			return nil
		}
		issued.Add(1)
		return err
	}))
	records := all(t, w.Certificates(t.Context(), ca.Filter{SPKI: (*[32]byte)(&key)}))
	if len(records) != int(issued.Load())+1 || issued.Load()+kept.Load() != 56 {
		t.Errorf("got %d certificates of %d issued and %d refused", len(records), issued.Load(), kept.Load())
	}
	for _, r := range records {
		if r.Revocation == nil || r.Revocation.Reason != ca.KeyCompromise {
			t.Errorf("certificate %s of the key stands at %+v", r.Serial, r.Revocation)
		}
	}
}

func testRecheck(t *testing.T, w *world) {
	if got, err := w.Recheck(t.Context()); err != nil || got != (ca.Recheck{}) {
		t.Errorf("got %+v, %v, want nothing before the first", got, err)
	}
	var found []ca.Finding
	for range 300 { // more than a store reads at a time
		found = append(found, ca.Finding{Serial: w.serial(), Issuer: payment, Faults: []ca.Fault{{Rule: "r", Detail: "d"}}, Since: epoch, Seen: epoch})
	}
	previous := epoch.Add(-time.Hour)
	r := ca.Recheck{Started: epoch, Next: 7, Checked: 300, Found: 300, By: "payca", Previous: &previous}
	size := len(leavesOf(t, w.Store))
	must(t, w.SaveRecheck(t.Context(), r, found, nil, event(audit.CertificateFinding, found[0].Serial)))
	slices.SortFunc(found, func(a, b ca.Finding) int { return slices.Compare(a.Serial[:], b.Serial[:]) })
	for i, after := range []ca.Serial{{}, found[0].Serial} {
		if got := all(t, w.Findings(t.Context(), after)); !reflect.DeepEqual(got, found[i:]) {
			t.Errorf("got %d findings, want %d by serial", len(got), len(found)-i)
		}
	}
	found[0].Faults = append(found[0].Faults, ca.Fault{Rule: "s"})
	r.Finished = epoch.Add(time.Minute)
	must(t, w.SaveRecheck(t.Context(), r, found[:1], []ca.Serial{found[1].Serial}))
	if got, err := w.Recheck(t.Context()); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v, want %+v", got, err, r)
	}
	if got, err := w.Finding(t.Context(), found[0].Serial); err != nil || !reflect.DeepEqual(got, found[0]) {
		t.Errorf("got %+v, %v, want %+v", got, err, found[0])
	}
	_, err := w.Finding(t.Context(), found[1].Serial)
	wantError(t, err, ca.ErrNotFound)
	if got := len(leavesOf(t, w.Store)); got != size+1 {
		t.Errorf("got %d events, want 1", got-size)
	}
}

// blocking is the part of the story that is about keys and re-checks.
func (w *world) blocking(serials []ca.Serial) []func(ctx context.Context) error {
	return []func(ctx context.Context) error{
		func(ctx context.Context) error {
			c := blockOf("key of acme")
			c.Decide = compromised
			_, err := w.ChangeKey(ctx, c)
			return err
		},
		func(ctx context.Context) error {
			return w.UnblockKey(ctx, blockOf("key of acme").Key, audit.Event{Time: epoch, Kind: audit.KeyUnblocked})
		},
		func(ctx context.Context) error {
			found := []ca.Finding{{Serial: serials[0], Faults: []ca.Fault{{Rule: "r"}}, Since: epoch, Seen: epoch}}
			return w.SaveRecheck(ctx, ca.Recheck{Started: epoch, Found: 1}, found, nil, event(audit.CertificateFinding, serials[0]))
		},
	}
}
