package enroll

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// SourceConfig says which identity a [Source] keeps fresh.
type SourceConfig struct {
	Dir    string           // identity directory; read when Run looks after it, written at every renewal
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil for none
	// Changed is told of the certificate when Run begins, and of each that takes its place, whoever put it there. While it
	// returns an error it is told again, at growing intervals.
	Changed func(ctx context.Context, c *Credential) error
	// Renew gets the successor of a credential, for the same identity; nil asks the CA over mutual TLS.
	Renew func(ctx context.Context, stands *Credential) (*Credential, error)
	// EndExpired lets Run end when the certificate has expired and the CA does not renew it any more. Without it Run goes on
	// asking, at the longest interval, and sees when somebody puts another certificate into the directory.
	EndExpired bool
	// Stapler, if not nil, gets the OCSP response that is shown with the certificate, in both directions. It is
	// renewed at half of its life and kept in Dir as StapleFile, if there is a Dir.
	Stapler *ocsp.Stapler
}

// A Source hands out the certificate of one party and keeps it fresh: what
// asks it at every handshake never shows an old one. It is safe for concurrent use.
type Source struct {
	cfg     SourceConfig
	current atomic.Pointer[shown]
	told    *Credential // what Changed was told without an error; of Run alone
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
	if cfg.Renew == nil {
		cfg.Renew = func(ctx context.Context, stands *Credential) (*Credential, error) {
			return fetchRenewal(ctx, stands, cfg.Now)
		}
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
