package enroll_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// credential enrolls a party at a CA for tests.
func credential(t *testing.T, n *catest.Network, id string, first bool) *enroll.Credential {
	t.Helper()
	issue := n.Issue
	if first {
		issue = func(t testing.TB, id string) tls.Certificate { return n.Enroll(t, id, policy.Merchant) }
	}
	certificate := issue(t, id)
	c := &enroll.Credential{
		Identity: policy.Identity{Network: n.Name, Role: policy.Merchant, Party: id}, URL: "https://localhost:8443",
		Key: certificate.PrivateKey.(crypto.Signer), Roots: []*x509.Certificate{n.Root},
	}
	for _, der := range certificate.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.Chain = append(c.Chain, parsed)
	}
	return c
}

func save(t *testing.T, c *enroll.Credential, dir string) {
	t.Helper()
	if _, err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
}

func TestAnIdentityIsReadBackAsItWasWritten(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	dir := filepath.Join(t.TempDir(), "shop1")
	if _, err := enroll.Open(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opening nothing: got %v, want fs.ErrNotExist", err)
	}
	c := credential(t, n, "shop1", true)
	save(t, c, dir)
	got, err := enroll.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if got.Identity != c.Identity || got.URL != c.URL || !got.Leaf().Equal(c.Leaf()) || len(got.Chain) != 2 || !got.Roots[0].Equal(n.Root) {
		t.Errorf("got %+v, want what was written", got)
	}
	info, err := os.Stat(filepath.Join(dir, enroll.KeyFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: got mode %v, %v, want 0600", info.Mode(), err)
	}
}

func TestAReplacedKeyIsKeptAside(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	dir := t.TempDir()
	first := credential(t, n, "shop1", true)
	save(t, first, dir)
	old, err := os.ReadFile(filepath.Join(dir, enroll.KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	save(t, credential(t, n, "shop1", false), dir)
	aside, err := filepath.Glob(filepath.Join(dir, "key-*.pem"))
	if err != nil || len(aside) != 1 {
		t.Fatalf("got %v, %v, want one key aside", aside, err)
	}
	if kept, err := os.ReadFile(aside[0]); err != nil || !bytes.Equal(kept, old) {
		t.Errorf("the key aside is not the one that was replaced: %v", err)
	}
	if _, err := enroll.Open(dir); err != nil {
		t.Errorf("opening the new pair: %v", err)
	}
}

// A crash while an identity is replaced leaves the old pair or the new one,
// at whatever rename it struck.
func TestACrashLeavesAPairThatMatches(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	old, next := credential(t, n, "shop1", true), credential(t, n, "shop1", false)
	order := []string{enroll.RootFile, enroll.CertificateFile, enroll.KeyFile, enroll.MetaFile}
	for renamed := range len(order) + 1 {
		dir, fresh := t.TempDir(), t.TempDir()
		save(t, old, dir)
		save(t, next, fresh)
		for i, name := range order {
			data, err := os.ReadFile(filepath.Join(fresh, name))
			if err != nil {
				t.Fatal(err)
			}
			target := filepath.Join(dir, name)
			if i >= renamed {
				target += ".new"
			}
			if err := os.WriteFile(target, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := enroll.Open(dir)
		if err != nil {
			t.Errorf("after %d of %d renames: %v", renamed, len(order), err)
			continue
		}
		want := old
		if renamed >= 2 {
			want = next
		}
		if !got.Leaf().Equal(want.Leaf()) {
			t.Errorf("after %d of %d renames: got the other certificate", renamed, len(order))
		}
		if _, err := got.Save(dir); err != nil {
			t.Errorf("after %d of %d renames: writing again: %v", renamed, len(order), err)
		}
	}
}

func TestAnotherPartysDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	dir := t.TempDir()
	save(t, credential(t, n, "shop1", true), dir)
	other := token()
	other.Party = "shop2"
	text, err := enroll.SignToken(other, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: text, Dir: dir, Now: func() time.Time { return other.IssuedAt }}); err == nil {
		t.Error("the directory of shop1 was given to shop2")
	}
}
