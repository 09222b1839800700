package bench

import (
	"context"
	"crypto/x509"
	"errors"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
)

// decision measures what the gate asks before it signs: policy, and the lints.
func decision(ctx context.Context, r *runner) error {
	s, remove, err := r.newSite(ctx)
	if err != nil {
		return err
	}
	return errors.Join(r.decide(ctx, s), s.Close(), remove())
}

func (r *runner) decide(ctx context.Context, s *site) error {
	p := party(shop)
	if err := s.Register(ctx, p); err != nil {
		return err
	}
	_, der, err := newRequest(nil)
	if err != nil {
		return err
	}
	issued, err := s.Issue(ctx, ca.Request{Party: p.ID, CSR: der, Requester: "bench", Protocol: "token"})
	if err != nil {
		return err
	}
	root, issuer := s.Trust().Roots[0], issued.Chain[1]
	profiles, merchant, err := ruled(s.Trust().Network)
	if err != nil {
		return err
	}
	csr, err := policy.ParseCSR(der)
	if err != nil {
		return err
	}
	request := policy.Request{
		Network: s.Trust().Network, Party: p, Profile: merchant, CSR: csr, IssuerName: policy.MerchantCA, Issuer: issuer,
		Above: []*x509.Certificate{root}, Requester: "bench", Protocol: "token", Now: time.Now(),
	}
	linting := lint.Config{
		Network: s.Trust().Network, StatusURL: s.StatusURL(), Issuers: []ca.Issuer{{Name: policy.MerchantCA, Certificate: issuer}}, Profiles: profiles,
	}
	again, err := lint.New(linting)
	if err != nil {
		return err
	}
	linting.Memory = -1
	linter, err := lint.New(linting)
	if err != nil {
		return err
	}
	return r.repeat(
		piece{"a decision with two rules in CEL", 2000, 20, func() error { _, err := policy.Decide(request); return err }},
		piece{"the lints of one certificate", 500, 200, func() error { return linter(issued.Leaf) }},
		piece{"the lints of another like it", 5000, 0, func() error { return again(issued.Leaf) }},
		piece{"a request read, its signature verified", 500, 0, func() error { _, err := policy.ParseCSR(der); return err }},
	)
}

// ruled is the profiles of a network with two rules for all of them, and that of merchants.
func ruled(network string) (profiles []*policy.Profile, merchant *policy.Profile, err error) {
	conf := config.Default(network)
	conf.Rules = []policy.RuleConfig{
		{Name: "known-protocol", Require: `request.protocol in ["token", "renew"] || party.role == "service"`},
		{Name: "own-names", Require: `request.dns.all(n, n in party.dns) && certificate.lifetime <= duration("8784h")`},
	}
	if profiles, err = conf.CompileProfiles(); err != nil {
		return nil, nil, err
	}
	for _, p := range profiles {
		if p.Name() == string(policy.Merchant) {
			return profiles, p, nil
		}
	}
	return nil, nil, errors.New("want a profile of merchants")
}

// A piece of work that is done so many times in a row, with the CPU that it may take at most, in microseconds.
type piece struct {
	name   string
	times  int
	atMost float64
	do     func() error
}

// repeat measures pieces of work in turns, and reports the median of what each takes.
func (r *runner) repeat(pieces ...piece) error {
	took := make([][]float64, len(pieces))
	for range r.Pairs {
		for i, p := range pieces {
			c, err := measure(r.n(p.times), func(n int) error {
				for range n {
					if err := p.do(); err != nil {
						return err
					}
				}
				return nil
			})
			if err != nil {
				return err
			}
			took[i] = append(took[i], micros(c.cpu))
		}
	}
	for i, p := range pieces {
		r.add(p.name+", CPU", median(took[i]), "us", p.atMost)
	}
	return nil
}
