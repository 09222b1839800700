package network_test

import (
	"context"
	"errors"
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
