package enroll_test

import (
	"context"
	"crypto"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

func staple(t *testing.T, src *enroll.Source) []byte {
	t.Helper()
	certificate, err := src.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	return certificate.OCSPStaple
}

func TestAStapleIsRenewedAtHalfOfItsLifeAndShownUntilItEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ca := testca.New(t)
		r := ca.Responder(t, nil)
		stapler, err := ocsp.NewStapler(ocsp.StaplerConfig{Ask: r.Ask})
		if err != nil {
			t.Fatal(err)
		}
		leaf := testca.Leaf{Role: policy.Gateway, Party: "gw1", NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(40 * time.Hour)}
		src, err := enroll.NewMemorySource(ca.Issue(t, leaf), ca.Trust(), enroll.SourceConfig{Stapler: stapler})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- src.Run(ctx) }()
		synctest.Wait()
		first, asked := staple(t, src), r.Asked()
		if first == nil || asked != 1 {
			t.Fatalf("got a staple of %d octets after %d questions, want one after one", len(first), asked)
		}
		until, ok := src.Stapled()
		if left := time.Until(until); !ok || left < 50*time.Minute || left > time.Hour {
			t.Fatalf("got %v, %v, want the hour of an answer", left, ok)
		}
		time.Sleep(20 * time.Minute)
		if r.Asked() != 1 {
			t.Errorf("asked %d times within a third of its life", r.Asked())
		}
		time.Sleep(20 * time.Minute)
		second := staple(t, src)
		if r.Asked() < 2 || string(second) == string(first) {
			t.Errorf("asked %d times after two thirds of its life, want a new staple", r.Asked())
		}
		until, _ = src.Stapled()
		r.Down(true)
		time.Sleep(time.Until(until) - time.Minute)
		if string(staple(t, src)) != string(second) {
			t.Error("the staple that holds is not shown while the responder is down")
		}
		time.Sleep(2 * time.Minute)
		if staple(t, src) != nil {
			t.Error("a staple is shown after its end")
		}
		r.Down(false)
		time.Sleep(2 * time.Minute)
		if staple(t, src) == nil {
			t.Error("no staple two minutes after the responder came back")
		}
		certificate, _ := src.Certificate()
		r.Revoke(policy.GatewayCA, certificate.Leaf)
		time.Sleep(40 * time.Minute)
		if staple(t, src) != nil {
			t.Error("who is revoked still shows a staple that says good")
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestAStapleOutlastsARestartInItsFile(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	r := ca.Responder(t, nil)
	stapler, err := ocsp.NewStapler(ocsp.StaplerConfig{Ask: r.Ask})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	issued := ca.Issue(t, testca.Leaf{Role: policy.Gateway, Party: "gw1"})
	credential := &enroll.Credential{
		Identity: policy.Identity{Network: testca.Network, Role: policy.Gateway, Party: "gw1"}, URL: "https://ca.example",
		Key: testcaKey(issued.PrivateKey), Roots: []*x509.Certificate{ca.Root},
	}
	for _, der := range issued.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		credential.Chain = append(credential.Chain, parsed)
	}
	if _, err := credential.Save(dir); err != nil {
		t.Fatal(err)
	}
	open := func() *enroll.Source {
		src, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir, Stapler: stapler})
		if err != nil {
			t.Fatal(err)
		}
		return src
	}
	src := open()
	if staple(t, src) != nil {
		t.Error("a staple before anybody asked")
	}
	if err := src.Staple(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.Down(true)
	if staple(t, open()) == nil {
		t.Error("no staple after a restart while the responder is down")
	}
	if err := os.WriteFile(filepath.Join(dir, enroll.StapleFile), []byte("good"), 0o600); err != nil {
		t.Fatal(err)
	}
	again := open()
	if staple(t, again) != nil {
		t.Error("shows what somebody wrote into the file")
	}
	if err := again.Staple(t.Context()); err == nil {
		t.Error("a staple from a responder that is down: got no error")
	}
	r.Down(false)
	r.Revoke(policy.GatewayCA, credential.Leaf())
	if err := again.Staple(t.Context()); err == nil || staple(t, again) != nil {
		t.Errorf("revoked: got %v and a staple of %d octets, want an error and none", err, len(staple(t, again)))
	}
}

func testcaKey(key any) crypto.Signer { return key.(crypto.Signer) }
