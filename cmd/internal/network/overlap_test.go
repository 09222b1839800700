package network_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

const day = 24 * time.Hour

// A clock runs with the real one, ahead of it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time          { return time.Now().Add(time.Duration(c.ahead.Load())) }
func (c *clock) advance(d time.Duration) { c.ahead.Add(int64(d)) }

// A party with a directory for encryption keys, on a network that has its clock.
type opener struct {
	*running
	clock  *clock
	source *enroll.Source
	dir    string // of the encryption keys
}

func newOpener(t *testing.T) *opener {
	t.Helper()
	c := &clock{}
	r := startAt(t, c.now)
	o := &opener{running: r, clock: c, dir: filepath.Join(t.TempDir(), "encryption")}
	o.source = o.member(t, "gw1", policy.Gateway)
	return o
}

// member enrolls a party.
func (o *opener) member(t *testing.T, id string, role policy.Role) *enroll.Source {
	t.Helper()
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: o.enroll(t, id, role), Now: o.clock.now})
	must(t, err)
	return source
}

func (o *opener) tryOpen(t *testing.T) (*enroll.Encryption, error) {
	t.Helper()
	return enroll.OpenEncryption(t.Context(), enroll.EncryptionConfig{Source: o.source, Dir: o.dir})
}

func (o *opener) open(t *testing.T) *enroll.Encryption {
	t.Helper()
	e, err := o.tryOpen(t)
	must(t, err)
	return e
}

func (o *opener) files(t *testing.T) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(o.dir)
	must(t, err)
	out := map[string]string{}
	for _, entry := range entries {
		raw, err := os.ReadFile(filepath.Join(o.dir, entry.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue // Run has removed it since
		}
		must(t, err)
		out[entry.Name()] = string(raw)
	}
	return out
}

// opens says whether e has the key of the certificate with that thumbprint.
func opens(e *enroll.Encryption, thumbprint string) bool {
	_, ok := e.Key(thumbprint)
	return ok
}

func current(e *enroll.Encryption) string { return enroll.Thumbprint(e.Certificate()) }

func TestOpenEncryptionGetsACertificateAndKeepsIt(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	e := o.open(t)
	peer, err := o.source.Trust().Identify(e.Chain(), policy.EncryptionUse, time.Now())
	if err != nil || peer.Identity != o.source.Identity() || !peer.Leaf.Equal(e.Certificate()) {
		t.Fatalf("got %+v, %v, want a certificate of %s for encryption", peer, err, o.source.Identity())
	}
	key, ok := e.Key(current(e))
	public, err := e.Certificate().PublicKey.(*ecdsa.PublicKey).ECDH()
	if err != nil || !ok || !bytes.Equal(key.PublicKey().Bytes(), public.Bytes()) {
		t.Errorf("got key %v, %v, want the certificate's", ok, err)
	}
	signing, err := o.source.Certificate()
	must(t, err)
	for _, other := range []string{"", enroll.Thumbprint(signing.Leaf), strings.ToUpper(current(e))} {
		if opens(e, other) {
			t.Errorf("got a key for %q", other)
		}
	}
	for path, mode := range map[string]fs.FileMode{o.dir: 0o700 | fs.ModeDir, filepath.Join(o.dir, current(e)+".pem"): 0o600} {
		if info, err := os.Stat(path); err != nil || info.Mode() != mode {
			t.Errorf("%s has mode %v, %v, want %v", path, info.Mode(), err, mode)
		}
	}
	before := o.files(t)
	again := o.open(t)
	if after := o.files(t); len(before) != 1 || len(after) != 1 || current(again) != current(e) || !opens(again, current(e)) {
		t.Errorf("opened again: got %s and %d files, want %s and one", current(again), len(after), current(e))
	}
	if issued := o.events(t, "gw1", "gateway-encryption"); len(issued) != 1 {
		t.Errorf("%d certificates were issued, want 1", len(issued))
	}
}

func TestARenewalHasANewKeyAndTheOldOneOpensForSevenDays(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	e := o.open(t)
	first := current(e)
	o.clock.advance(19 * day)
	if e = o.open(t); current(e) != first {
		t.Fatal("it was renewed before two thirds of its life were over")
	}
	o.clock.advance(2 * day)
	e = o.open(t)
	second := current(e)
	if second == first || !opens(e, first) || !opens(e, second) || len(o.files(t)) != 2 {
		t.Fatalf("after the renewal: got first %v, second %v, %d files, want both keys", opens(e, first), opens(e, second), len(o.files(t)))
	}
	one, _ := e.Key(first)
	two, _ := e.Key(second)
	if one.Equal(two) {
		t.Error("the new certificate is on the old key")
	}
	o.clock.advance(7*day - time.Minute)
	if again := o.open(t); !opens(e, first) || !opens(again, first) || len(o.files(t)) != 2 {
		t.Error("within seven days: the old key is gone")
	}
	o.clock.advance(2 * time.Hour)
	if opens(e, first) || !opens(e, second) {
		t.Error("after seven days: the old key still opens, or the new one does not")
	}
	again := o.open(t)
	if files := o.files(t); len(files) != 1 || files[second+".pem"] == "" || current(again) != second {
		t.Errorf("after seven days: got %d files, want that of the second key", len(files))
	}
}

func TestRunRenewsAndRemoves(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	e := o.open(t)
	first := current(e)
	run := func() (stop func()) {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		return func() {
			cancel()
			must(t, <-done)
		}
	}
	o.clock.advance(24 * day) // past the spread
	stop := run()
	eventually(t, "a new certificate", func() bool { return current(e) != first })
	stop()
	if !opens(e, first) || !opens(e, current(e)) {
		t.Error("got one key, want both")
	}
	o.clock.advance(7*day + time.Hour)
	stop = run()
	eventually(t, "one file", func() bool { return len(o.files(t)) == 1 })
	stop()
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 500 {
		if done() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("want %s, got none in 5 s", what)
}

// The file of a key takes its name when it is whole: what a crash leaves is the old state, with
// rubbish beside it, or the new one.
func TestACrashLeavesTheOldKeysOrTheNew(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	first := current(o.open(t))
	before := o.files(t)
	o.clock.advance(21 * day)
	e := o.open(t)
	second := current(e)
	whole := o.files(t)[second+".pem"]
	restore := func(files map[string]string) {
		must(t, os.RemoveAll(o.dir))
		must(t, os.Mkdir(o.dir, 0o700))
		for name, text := range files {
			must(t, os.WriteFile(filepath.Join(o.dir, name), []byte(text), 0o600))
		}
	}
	for _, unfinished := range []string{"", whole[:len(whole)/2], whole} {
		files := map[string]string{second + ".pem.new": unfinished}
		maps.Copy(files, before)
		restore(files)
		e = o.open(t) // the answer was lost: there is a third
		if after := o.files(t); len(after) != 2 || !opens(e, first) || opens(e, second) || current(e) == first {
			t.Errorf("before the rename: got %d files, want the first and a third key", len(after))
		}
	}
	restore(map[string]string{first + ".pem": before[first+".pem"], second + ".pem": whole})
	if e = o.open(t); current(e) != second || !opens(e, first) {
		t.Error("after the rename: want the second key, and the first beside it")
	}
}

func TestOpenEncryptionWithoutTheCA(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	e := o.open(t)
	first := current(e)
	signing, err := o.source.Certificate()
	must(t, err)
	_, err = o.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Serial: signing.Leaf.SerialNumber.Text(16), All: true}, Reason: "superseded"})
	must(t, err)
	o.clock.advance(21 * day)
	if e = o.open(t); current(e) != first { // due, and the CA refuses
		t.Error("got another certificate, want the one that is still valid")
	}
	o.clock.advance(10 * day)
	if _, err := o.tryOpen(t); err == nil || !strings.Contains(err.Error(), o.dir) {
		t.Errorf("with an expired certificate: got %v, want an error about %s", err, o.dir)
	}
}

func TestOpenEncryptionRefusesWhatIsNotItsOwn(t *testing.T) {
	t.Parallel()
	o := newOpener(t)
	stranger, shop := o.member(t, "gw2", policy.Gateway), o.member(t, "shop1", policy.Merchant)
	first := current(o.open(t))
	text := o.files(t)[first+".pem"]
	block := strings.Index(text, "-----BEGIN CERTIFICATE")
	o.clock.advance(21 * day)
	second := current(o.open(t))
	other := o.files(t)[second+".pem"]
	for _, tt := range []struct{ name, file, content, want string }{
		{"no PEM", "a.pem", "key", "want a PRIVATE KEY"},
		{"a key alone", "a.pem", text[:block], "no certificate"},
		{"a certificate alone", "a.pem", text[block:], "want a PRIVATE KEY"},
		{"another certificate's key", first + ".pem", other[:block] + text[block:], "the key is not the certificate's"},
		{"another name", "a.pem", text, "want the file to be named by it"},
	} {
		o.dir = t.TempDir()
		must(t, os.WriteFile(filepath.Join(o.dir, tt.file), []byte(tt.content), 0o600))
		if _, err := o.tryOpen(t); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.file) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
	}
	o.dir = t.TempDir()
	must(t, os.WriteFile(filepath.Join(o.dir, first+".pem"), []byte(text), 0o600))
	if _, err := enroll.OpenEncryption(t.Context(), enroll.EncryptionConfig{Source: stranger, Dir: o.dir}); err == nil || !strings.Contains(err.Error(), "want another directory") {
		t.Errorf("another party's directory: got %v", err)
	}
	_, err := enroll.OpenEncryption(t.Context(), enroll.EncryptionConfig{Source: shop, Dir: t.TempDir()})
	if refused := problemOf(t, err); refused.Violations[0].Rule != "profile-encryption" {
		t.Errorf("a merchant: got %v, want profile-encryption", refused)
	}
	for _, half := range []enroll.EncryptionConfig{{Dir: o.dir}, {Source: stranger}} {
		if _, err := enroll.OpenEncryption(t.Context(), half); err == nil {
			t.Errorf("%+v: got no error", half)
		}
	}
}
