package ocsp

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// StaplerConfig is what a [Stapler] is made from. All of it may be left out.
type StaplerConfig struct {
	Client       *http.Client     // as in CheckerConfig
	Timeout      time.Duration    // of one fetch, 0 for 2 s
	Skew         time.Duration    // tolerated difference of clocks, 0 for 5 min
	AllowPrivate bool             // fetch from loopback and private addresses too
	Hosts        []string         // if not empty, fetch from these hosts alone
	Hash         crypto.Hash      // of the CertID, 0 for SHA-1, which every client knows
	Now          func() time.Time // nil for time.Now
	// Ask, if not nil, is asked in the place of the responder that the certificate names: for who signs in the same process.
	Ask func(ctx context.Context, request []byte) (response []byte, err error)
}

// A Stapler gets the OCSP responses that one staples to one's own certificates. It is safe for concurrent use.
type Stapler struct {
	cfg StaplerConfig
	k   *knowledge
}

// NewStapler makes a stapler.
func NewStapler(cfg StaplerConfig) (*Stapler, error) {
	if cfg.Hash == 0 {
		cfg.Hash = crypto.SHA1
	}
	c, err := NewChecker(CheckerConfig{
		Client: cfg.Client, Timeout: cfg.Timeout, Skew: cfg.Skew, AllowPrivate: cfg.AllowPrivate, Hosts: cfg.Hosts, Now: cfg.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("new stapler: %w", err)
	}
	return &Stapler{cfg, c.knowledge}, nil
}

// Fetch returns a response that says, verified, that leaf is good. The error is a *[RevokedError], an *[UnknownError], or
// says what was tried: then there is nothing to staple.
func (s *Stapler) Fetch(ctx context.Context, leaf, issuer *x509.Certificate) (der []byte, v Verdict, err error) {
	request, err := NewRequest(leaf, issuer, s.cfg.Hash, nil)
	if err != nil {
		return nil, v, err
	}
	if s.cfg.Ask != nil {
		if der, err = s.cfg.Ask(ctx, request); err != nil {
			return nil, v, fmt.Errorf("asking for a staple: %w", err)
		}
		v, err = s.Verify(der, leaf, issuer)
		return der, v, err
	}
	tried := []error{errNoResponder}
	for i, url := range firstTwo(leaf.OCSPServer) {
		der, v, err = s.fetch(ctx, url, request, leaf, issuer)
		if _, revoked := errors.AsType[*RevokedError](err); revoked || err == nil {
			return der, v, err
		}
		tried = append(tried[:i], fmt.Errorf("OCSP at %s: %w", url, err))
	}
	return nil, v, errors.Join(tried...)
}

func (s *Stapler) fetch(ctx context.Context, url string, request []byte, leaf, issuer *x509.Certificate) ([]byte, Verdict, error) {
	req, err := s.k.ocspRequest(url, request)
	if err != nil {
		return nil, Verdict{}, err
	}
	der, err := s.k.fetch(ctx, req, maxResponse)
	if err != nil {
		return nil, Verdict{}, err
	}
	v, err := s.Verify(der, leaf, issuer)
	return der, v, err
}

// Verify says whether a response can be stapled to leaf now: it says good, and holds.
func (s *Stapler) Verify(der []byte, leaf, issuer *x509.Certificate) (Verdict, error) {
	now := s.k.cfg.Now()
	v, err := VerifyResponse(der, leaf, issuer, VerifyOptions{Now: now, Skew: s.k.cfg.Skew})
	if err != nil {
		return v, err
	}
	if err := v.refusal(leaf); err != nil {
		return v, err
	}
	if !now.Before(v.NextUpdate) { // the other end may have no patience with clocks
		return v, fmt.Errorf("OCSP response ended at %v, want one that holds at %v", v.NextUpdate, now)
	}
	return v, nil
}
