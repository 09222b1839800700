package network_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// TestASourceRenewsByItself lets a party's certificate become due, renewed, and expire while nobody asks.
func TestASourceRenewsByItself(t *testing.T) {
	t.Parallel()
	c := &clock{}
	r := startConfigured(t, network.Config{Now: c.now}, func(conf *config.Config) {
		conf.Profiles = []policy.ProfileConfig{{Name: "merchant", Role: policy.Merchant, Use: "tls", Validity: policy.Duration(5 * day)}}
	})
	dir := r.enroll(t, "shop1", policy.Merchant)
	first, err := enroll.Open(dir)
	must(t, err)
	run := func() (*enroll.Source, chan *enroll.Credential, chan error, func()) {
		changes, end := make(chan *enroll.Credential, 8), make(chan error, 1)
		source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir, Now: c.now, EndExpired: true, Changed: func(_ context.Context, now *enroll.Credential) error {
			changes <- now
			return nil
		}})
		must(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { end <- source.Run(ctx) }()
		return source, changes, end, cancel
	}
	c.advance(4 * day)
	source, changes, end, stop := run()
	renewed := <-changes
	cert, err := source.Certificate()
	must(t, err)
	if renewed.Leaf().Equal(first.Leaf()) || !cert.Leaf.Equal(renewed.Leaf()) || renewed.Leaf().NotAfter.Sub(c.now()) < 4*day {
		t.Errorf("after 4 days: got a certificate until %v, want a new one", renewed.Leaf().NotAfter)
	}
	stop()
	must(t, <-end)

	c.advance(6 * day)
	_, _, end, stop = run()
	defer stop()
	select {
	case err = <-end:
	case <-time.After(20 * time.Second):
		t.Fatal("Run goes on with an expired certificate")
	}
	expired, ok := errors.AsType[*enroll.ExpiredError](err)
	refused, told := errors.AsType[*problem.Problem](err)
	if !ok || !told || expired.Identity.Party != "shop1" || refused.Status != 403 {
		t.Errorf("after it expired: got %v, want *enroll.ExpiredError with the refusal of the CA", err)
	}
}

// TestATokenIsBelievedForItsTextOrItsSignature: the CA knows what it handed out, and what it did not is refused all the same.
func TestATokenIsBelievedForItsTextOrItsSignature(t *testing.T) {
	t.Parallel()
	r := start(t)
	text := r.register(t, "shop1", policy.Merchant)
	token, err := enroll.ReadToken(text)
	must(t, err)
	roots, err := enroll.FetchRoots(t.Context(), token)
	must(t, err)
	client, err := enroll.NewClient(enroll.ClientConfig{URL: r.url, Network: "pay.example", Roots: roots})
	must(t, err)
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	forged, err := enroll.SignToken(token, stranger)
	must(t, err)
	flipped := []byte(text)
	if i := len(flipped) - 9; flipped[i] == 'A' {
		flipped[i] = 'B'
	} else {
		flipped[i] = 'A'
	}
	for want, changed := range map[string]string{"token-signature": string(flipped), "token-key": forged} {
		_, csr, err := enroll.NewKey()
		must(t, err)
		_, err = client.Enroll(t.Context(), changed, csr)
		var refused *problem.Problem
		if !errors.As(err, &refused) || refused.Name() != want || refused.Status != 401 {
			t.Errorf("a changed token: got %v, want 401 %s", err, want)
		}
	}
	again, err := r.network.SignAgain(token) // the same right in other words: as a token of an older version, it has its signature alone
	must(t, err)
	if again == text {
		t.Fatal("the signature is the same")
	}
	_, csr, err := enroll.NewKey()
	must(t, err)
	if _, err := client.Enroll(t.Context(), again, csr); err != nil {
		t.Errorf("another signature by the CA: got %v", err)
	}
	var refused *problem.Problem
	if _, err := client.Enroll(t.Context(), text, csr); !errors.As(err, &refused) || refused.Name() != "token-used" {
		t.Errorf("the first one afterwards: got %v, want token-used", err)
	}
}

// TestManyProcessesOnOneDirectoryDoItOnce: the lock is between open files, so goroutines are as good as processes.
func TestManyProcessesOnOneDirectoryDoItOnce(t *testing.T) {
	t.Parallel()
	c := &clock{}
	r := startAt(t, c.now)
	token, dir := r.register(t, "shop1", policy.Merchant), filepath.Join(t.TempDir(), "shop1")
	atOnce := func(do func() error) {
		t.Helper()
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := do(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
	}
	var enrolled atomic.Int64
	atOnce(func() error {
		outcome, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token, Dir: dir, Now: c.now})
		if outcome.Action == enroll.Enrolled {
			enrolled.Add(1)
		}
		return err
	})
	c.advance(24 * day)
	atOnce(func() error {
		changed := make(chan struct{}, 8)
		source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir, Now: c.now, Changed: func(context.Context, *enroll.Credential) error {
			changed <- struct{}{}
			return nil
		}})
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancel(t.Context())
		end := make(chan error, 1)
		go func() { end <- source.Run(ctx) }()
		<-changed
		cancel()
		return <-end
	})
	n := 0
	for _, err := range r.operator.Certificates(t.Context(), map[string][]string{"party": {"shop1"}}) {
		must(t, err)
		n++
	}
	// Of those who are refused nothing is left behind, also while others try in the same place.
	var refused atomic.Int64
	other := filepath.Join(t.TempDir(), "a", "shop1")
	atOnce(func() error {
		if _, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token, Dir: other, Now: time.Now}); err != nil {
			refused.Add(1)
		}
		return nil
	})
	if _, err := os.Stat(other); refused.Load() != 8 || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%d refused, %v, want all, and no directory", refused.Load(), err)
	}
	if enrolled.Load() != 1 || n != 2 {
		t.Errorf("%d enrolled, %d certificates, want one enrolled, and its renewal", enrolled.Load(), n)
	}
}
