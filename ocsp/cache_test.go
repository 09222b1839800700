package ocsp_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payca/payca/ocsp"
)

// keeping returns a checker that keeps what it learns in the file.
func (n *network) keeping(t *testing.T, file string) *ocsp.Checker {
	t.Helper()
	return n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Cache, cfg.MaxAge = file, time.Hour })
}

func save(t *testing.T, c *ocsp.Checker) {
	t.Helper()
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
}

func TestWhatWasLearnedOutlastsARestart(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	file := filepath.Join(t.TempDir(), "status.cache")
	before := n.keeping(t, file)
	good, held, final, listed, clean := n.leaf(t, 1, true, false), n.leaf(t, 2, true, false), n.leaf(t, 3, true, false), n.leaf(t, 4, false, true), n.leaf(t, 5, false, true)
	n.mark(good, ocsp.Good, 0)
	n.mark(held, ocsp.Revoked, 6)
	n.mark(final, ocsp.Revoked, 1)
	n.publish(t, 3, ocsp.Entry{Serial: listed.SerialNumber.Bytes(), At: epoch, Reason: 1})
	n.want(t, before, good, nil, "good by ocsp")
	n.want(t, before, held, nil, "hold by ocsp")
	n.want(t, before, final, nil, "revoked by ocsp")
	n.want(t, before, listed, nil, "revoked by crl")
	n.want(t, before, clean, nil, "good by crl")
	save(t, before)

	n.down()
	n.crl.Store(nil)
	n.pass(time.Minute)
	again := n.keeping(t, file) // and everything is down
	n.want(t, again, good, nil, "good by ocsp")
	n.want(t, again, held, nil, "hold by ocsp")
	n.want(t, again, final, nil, "revoked by ocsp")
	n.want(t, again, listed, nil, "revoked by crl")
	n.want(t, again, clean, nil, "good by crl")
	save(t, again) // also of what it did not look at

	n.pass(12 * time.Hour) // all answers have ended
	late := n.keeping(t, file)
	n.want(t, late, good, nil, "unknown")
	n.want(t, late, clean, nil, "unknown")
	n.want(t, late, held, nil, "unknown")
	n.want(t, late, final, nil, "revoked by ocsp") // what was revoked for good still is
	n.want(t, late, listed, nil, "revoked by crl")
}

// Who can write the file can make the checker forget, or ask, and nothing else.
func TestNothingInTheFileIsBelieved(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	dir := t.TempDir()
	leaf, other, listed := n.leaf(t, 1, true, false), n.leaf(t, 2, true, false), n.leaf(t, 3, false, true)
	n.mark(leaf, ocsp.Good, 0)
	n.publish(t, 1)
	first := n.keeping(t, filepath.Join(dir, "cache"))
	n.want(t, first, leaf, nil, "good by ocsp")
	n.want(t, first, listed, nil, "good by crl")
	save(t, first)
	raw, err := os.ReadFile(filepath.Join(dir, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	n.down()
	n.crl.Store(nil)
	flipped := bytes.Clone(raw)
	for i := bytes.Index(raw, []byte("2026")); i < len(flipped); i += 40 {
		flipped[i] ^= 1
	}
	elsewhere, _ := otherNetwork(t, leaf)
	for name, tt := range map[string]struct {
		file []byte
		leaf *x509.Certificate
		want string
	}{
		"as it is":               {raw, leaf, "good by ocsp"},
		"as it is, by the list":  {raw, listed, "good by crl"},
		"of another certificate": {swapped(raw, leaf, other), other, "unknown"},
		"of another CA":          {elsewhere, leaf, "unknown"},
		"with bits changed":      {flipped, leaf, "unknown"},
		"a list with bits changed": {
			flipped, listed, "unknown",
		},
		"cut off":              {raw[:len(raw)/4], leaf, "unknown"},
		"of another program":   {[]byte("#!/bin/sh\n"), leaf, "unknown"},
		"empty":                {nil, leaf, "unknown"},
		"larger than any":      {append(bytes.Clone(raw), make([]byte, 33<<20)...), leaf, "unknown"},
		"records of no length": {append([]byte("payca status cache 1\n"), make([]byte, 1<<16)...), leaf, "unknown"},
	} {
		file := filepath.Join(dir, "other")
		if err := os.WriteFile(file, tt.file, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := outcome(n.keeping(t, file).Check(t.Context(), tt.leaf, n.ca.cert, nil)); got != tt.want {
			t.Errorf("%s: got %s, want %s", name, got, tt.want)
		}
	}
	n.pass(2 * time.Hour) // an old good answer is not young because it stands in the file
	n.want(t, n.keeping(t, filepath.Join(dir, "cache")), leaf, nil, "unknown")
}

// swapped gives the record of one certificate to another.
func swapped(raw []byte, from, to *x509.Certificate) []byte {
	a, b := fingerprint(from), fingerprint(to)
	return bytes.Replace(raw, a[:], b[:], 1)
}

func TestTheFileIsReplacedWholeAndStaysPrivate(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	file := filepath.Join(t.TempDir(), "cache")
	c := n.keeping(t, file)
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.want(t, c, leaf, nil, "good by ocsp")
	save(t, c)
	save(t, c)
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v, want mode 0600", info.Mode(), err)
	}
	if list, err := os.ReadDir(filepath.Dir(file)); err != nil || len(list) != 1 {
		t.Errorf("got %d files, %v, want one", len(list), err)
	}
	lost := n.keeping(t, filepath.Join(t.TempDir(), "no", "such", "directory"))
	if err := lost.Save(); err == nil {
		t.Error("a directory that is not there: got no error")
	}
}

func TestRunWritesTheFileWhenThereIsNewsAndAtTheEnd(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	file := filepath.Join(t.TempDir(), "cache")
	c := n.keeping(t, file)
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Revoked, 1)
	n.want(t, c, leaf, nil, "revoked by ocsp")
	synctest.Test(t, func(t *testing.T) {
		running := n.keeping(t, file)
		ctx, stop := withCancel(t)
		done := make(chan error, 1)
		go func() { done <- running.Run(ctx) }()
		synctest.Wait()
		if _, err := os.Stat(file); err == nil {
			t.Error("written though there was no news")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if _, err := os.Stat(file); err != nil {
		t.Errorf("not written at the end: %v", err)
	}
	ctx, stop := withCancel(t)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	deadline := time.Now().Add(10 * time.Second)
	for {
		raw, err := os.ReadFile(file)
		id := fingerprint(leaf)
		if err == nil && bytes.Contains(raw, id[:]) {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a revocation was not written")
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A list that has ended keeps those out whom it revoked for good, also without a restart.
func TestAListThatHasEndedStillRevokes(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	revoked, held, good := n.leaf(t, 1, false, true), n.leaf(t, 2, false, true), n.leaf(t, 3, false, true)
	n.publish(t, 1, ocsp.Entry{Serial: revoked.SerialNumber.Bytes(), At: epoch, Reason: 1}, ocsp.Entry{Serial: held.SerialNumber.Bytes(), At: epoch, Reason: 6})
	n.want(t, c, good, nil, "good by crl")
	n.crl.Store(nil)
	n.pass(2 * time.Hour)
	n.want(t, c, revoked, nil, "revoked by crl")
	n.want(t, c, held, nil, "unknown")
	n.want(t, c, good, nil, "unknown")
}

func FuzzCacheFile(f *testing.F) {
	f.Add([]byte("payca status cache 1\n"))
	f.Add(append([]byte("payca status cache 1\n\x01"), make([]byte, 37)...))
	f.Add(append([]byte("payca status cache 1\n\x02"), make([]byte, 40)...))
	ca := newAuthority(f, "merchant ca", "P-256")
	leaf := ca.issue(f, 1, newKey(f, "P-256").Public(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://127.0.0.1:1/"} })
	transport := roundTrip(func(*http.Request) (*http.Response, error) { return nil, os.ErrDeadlineExceeded })
	f.Fuzz(func(t *testing.T, raw []byte) {
		file := filepath.Join(t.TempDir(), "cache")
		if err := os.WriteFile(file, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := ocsp.NewChecker(ocsp.CheckerConfig{Client: &http.Client{Transport: transport}, AllowPrivate: true, Cache: file, Now: fixed(epoch)})
		if err != nil {
			t.Fatal(err)
		}
		if v, err := c.Check(t.Context(), leaf, ca.cert, nil); err == nil {
			t.Errorf("got %+v from a file that nobody signed", v)
		}
		if err := c.Save(); err != nil {
			t.Error(err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func fingerprint(cert *x509.Certificate) [32]byte { return sha256.Sum256(cert.Raw) }

func withCancel(t *testing.T) (context.Context, func()) {
	t.Helper()
	return context.WithCancel(context.WithoutCancel(t.Context()))
}

// otherNetwork returns the file of a checker that asked another CA of the same name, with leaf in the place of its certificate.
func otherNetwork(t *testing.T, leaf *x509.Certificate) ([]byte, *network) {
	t.Helper()
	n := newNetwork(t)
	theirs := n.leaf(t, 1, true, false)
	n.mark(theirs, ocsp.Good, 0)
	file := filepath.Join(t.TempDir(), "cache")
	c := n.keeping(t, file)
	n.want(t, c, theirs, nil, "good by ocsp")
	save(t, c)
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return swapped(raw, theirs, leaf), n
}
