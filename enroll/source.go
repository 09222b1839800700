package enroll

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// The pace of a source that cannot renew.
const (
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
)

// SourceConfig says which identity a [Source] keeps fresh.
type SourceConfig struct {
	Dir    string           // identity directory; read once, written at every renewal
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil for none
	// Stapler, if not nil, gets the OCSP response that is shown with the certificate, in both directions. It is
	// renewed at half of its life and kept in Dir as StapleFile, if there is a Dir.
	Stapler *ocsp.Stapler
}

// A Source hands out the certificate of one party and keeps it fresh: what
// asks it at every handshake never shows an old one. It is safe for concurrent use.
type Source struct {
	cfg     SourceConfig
	current atomic.Pointer[shown]
}

// OpenSource opens an identity directory. An error wraps fs.ErrNotExist if there is no identity.
func OpenSource(cfg SourceConfig) (*Source, error) {
	c, err := Open(cfg.Dir)
	if err != nil {
		return nil, err
	}
	s := newSource(cfg)
	s.current.Store(s.recalled(c))
	return s, nil
}

// NewStaticSource returns a source of a certificate that lives in memory and is never
// renewed: the certificate, its issuer's, and the key. What is stapled to it stays.
func NewStaticSource(certificate tls.Certificate, trust policy.Trust) (*Source, error) {
	return NewMemorySource(certificate, trust, SourceConfig{})
}

// NewMemorySource is NewStaticSource with a stapler, a clock and a logger. It ignores Dir.
func NewMemorySource(certificate tls.Certificate, trust policy.Trust, cfg SourceConfig) (*Source, error) {
	c, err := credentialOf(certificate, trust)
	if err != nil {
		return nil, fmt.Errorf("static source: %w", err)
	}
	cfg.Dir = ""
	s := newSource(cfg)
	s.current.Store(&shown{Credential: c})
	return s, nil
}

func credentialOf(certificate tls.Certificate, trust policy.Trust) (*Credential, error) {
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok || len(certificate.Certificate) == 0 || len(trust.Roots) == 0 {
		return nil, errors.New("want a certificate, its key, and roots")
	}
	c := &Credential{Key: key, Roots: trust.Roots, tls: &certificate}
	for _, der := range certificate.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		c.Chain = append(c.Chain, parsed)
	}
	certificate.Leaf = c.Leaf()
	var err error
	c.Identity, err = policy.IdentityOf(c.Leaf(), trust.Network)
	return c, err
}

// Replace swaps the certificate for another of the same identity, which every
// handshake from now on shows; it is for programs that renew in their own way, or staple. With a Stapler it is
// shown without a staple until Run has one.
func (s *Source) Replace(certificate tls.Certificate) error {
	stands := s.current.Load()
	next, err := credentialOf(certificate, stands.Trust())
	if err != nil {
		return fmt.Errorf("replacing a certificate: %w", err)
	}
	if next.Identity != stands.Identity {
		return fmt.Errorf("replacing a certificate: got one of %s, want one of %s", next.Identity, stands.Identity)
	}
	next.URL = stands.URL
	s.current.Store(&shown{Credential: next})
	return nil
}

func newSource(cfg SourceConfig) *Source {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{cfg: cfg}
}

// Certificate returns the certificate of now, with its key and issuer, and a stapled OCSP response if there is one that holds.
func (s *Source) Certificate() (*tls.Certificate, error) {
	c := s.current.Load()
	if c.stapled != nil && s.cfg.Now().Before(c.until) {
		return c.stapled, nil
	}
	return c.TLS(), nil
}

// Identity returns who the source speaks for.
func (s *Source) Identity() policy.Identity { return s.current.Load().Identity }

// Trust returns what others are believed by.
func (s *Source) Trust() policy.Trust { return s.current.Load().Trust() }

// Now returns the time that the source goes by.
func (s *Source) Now() time.Time { return s.cfg.Now() }

// URL returns where the CA is.
func (s *Source) URL() string { return s.current.Load().URL }

// Run renews the certificate at two thirds of its life, spread over a tenth of
// it so that parties enrolled together do not return together. When the CA cannot be
// reached it tries again, at growing intervals, for as long as it takes. Run keeps the staple fresh, too, and returns when ctx ends.
func (s *Source) Run(ctx context.Context) error {
	var stapling sync.WaitGroup
	stapling.Go(func() { s.keepStapled(ctx) })
	defer stapling.Wait()
	if s.cfg.Dir == "" {
		<-ctx.Done()
		return nil
	}
	keepFresh(ctx, s.cfg.Now, s.next, func(ctx context.Context) bool {
		err := s.renew(ctx)
		if err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot renew certificate", slog.String("subject", s.Identity().String()), slog.Any("err", err))
		}
		return err == nil
	})
	return nil
}

// keepFresh calls renew whenever next says, and at growing intervals when renew fails, until ctx ends.
// It leaves a while between two calls, also when the CA hands out certificates that are due at once.
func keepFresh(ctx context.Context, now, next func() time.Time, renew func(context.Context) bool) {
	retry := firstRetry
	wait := next().Sub(now())
	for {
		timer := time.NewTimer(max(0, wait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		if renew(ctx) {
			retry = firstRetry
			wait = max(firstRetry, next().Sub(now()))
			continue
		}
		wait = retry
		retry = min(2*retry, lastRetry)
	}
}

// next is when the certificate is to be renewed.
func (s *Source) next() time.Time {
	leaf := s.current.Load().Leaf()
	spread := leaf.NotAfter.Sub(leaf.NotBefore) / 10
	return RenewAfter(leaf).Add(rand.N(spread + 1)) //nolint:gosec // it spreads load, nobody must not guess it
}

func (s *Source) renew(ctx context.Context) error {
	// Another process may have renewed it.
	stands, err := Open(s.cfg.Dir)
	if err != nil {
		return err
	}
	if s.cfg.Now().Before(RenewAfter(stands.Leaf())) {
		return s.change(ctx, stands)
	}
	next, err := fetchRenewal(ctx, stands, s.cfg.Now)
	if err != nil {
		return err
	}
	if _, err := next.Save(s.cfg.Dir); err != nil {
		return err
	}
	return s.change(ctx, next)
}
