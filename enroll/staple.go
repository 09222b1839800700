package enroll

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// StapleFile is the OCSP response that is shown with the certificate of an identity directory: DER, as nginx takes it for ssl_stapling_file.
const StapleFile = "staple.ocsp"

const (
	stapleRetry = time.Second // after the first failure, twice as long after each more
	staplePause = time.Minute // the longest that a staple is not looked at
)

// shown is a credential and what is stapled to it.
type shown struct {
	*Credential
	stapled *tls.Certificate // with the staple, nil without
	until   time.Time        // the staple holds before
	refresh time.Time        // when it is to be renewed
}

// with returns the credential with a staple.
func with(c *Credential, staple []byte, v ocsp.Verdict) *shown {
	certificate := *c.TLS()
	certificate.OCSPStaple = staple
	half := v.NextUpdate.Sub(v.ProducedAt) / 2
	spread := rand.N(half/5+1) - half/10 //nolint:gosec // it spreads load, nobody must not guess it
	return &shown{Credential: c, stapled: &certificate, until: v.NextUpdate, refresh: v.ProducedAt.Add(half + spread)}
}

// Stapled returns until when the OCSP response holds that is shown with the certificate, false if none is.
func (s *Source) Stapled() (until time.Time, ok bool) {
	c := s.current.Load()
	return c.until, c.stapled != nil && s.cfg.Now().Before(c.until)
}

// Staple gets a staple now, unless there is one that is not to be renewed yet. A server whose certificate
// must be stapled calls it before it listens.
func (s *Source) Staple(ctx context.Context) error {
	c := s.current.Load()
	if s.cfg.Stapler == nil || c.stapled != nil && s.cfg.Now().Before(c.refresh) {
		return nil
	}
	next, err := s.staple(ctx, c.Credential)
	if err != nil {
		return err
	}
	s.current.CompareAndSwap(c, next) // else the certificate was renewed meanwhile, with a staple of its own
	return nil
}

// staple gets a staple for a credential and keeps it in its file.
func (s *Source) staple(ctx context.Context, c *Credential) (*shown, error) {
	if len(c.Chain) < 2 {
		return nil, errors.New("stapling: the certificate of the issuing CA is missing, want it after one's own")
	}
	staple, v, err := s.cfg.Stapler.Fetch(ctx, c.Chain[0], c.Chain[1])
	if err != nil {
		return nil, fmt.Errorf("stapling: %w", err)
	}
	if s.cfg.Dir != "" {
		path := filepath.Join(s.cfg.Dir, StapleFile)
		if err := errors.Join(write(path+pending, staple, 0o644), os.Rename(path+pending, path)); err != nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "staple not kept", slog.Any("err", err))
		}
	}
	return with(c, staple, v), nil
}

// recalled returns a credential with the staple that was kept, if it holds.
func (s *Source) recalled(c *Credential) *shown {
	bare := &shown{Credential: c}
	if s.cfg.Stapler == nil || len(c.Chain) < 2 {
		return bare
	}
	staple, err := os.ReadFile(filepath.Join(s.cfg.Dir, StapleFile))
	if err != nil {
		return bare
	}
	v, err := s.cfg.Stapler.Verify(staple, c.Chain[0], c.Chain[1])
	if err != nil {
		return bare
	}
	return with(c, staple, v)
}

// change shows another credential from now on, with a staple if that is to be had. One that must be stapled, and
// cannot be, is not shown as long as the one that stands holds.
func (s *Source) change(ctx context.Context, next *Credential) error {
	stands := s.current.Load()
	switch {
	case stands.Leaf().Equal(next.Leaf()):
		return nil
	case s.cfg.Stapler == nil:
		s.current.Store(&shown{Credential: next})
		return nil
	}
	stapled, err := s.staple(ctx, next)
	switch {
	case err == nil:
		s.current.Store(stapled)
	case policy.MustStaple(next.Leaf()) && s.cfg.Now().Before(stands.Leaf().NotAfter):
		return err
	default:
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "certificate changed without a staple", slog.Any("err", err))
		s.current.Store(&shown{Credential: next})
	}
	return nil
}

// keepStapled renews the staple at half of its life, until ctx ends. What was stapled last is shown as long as it holds, except
// that who was revoked shows nothing more.
func (s *Source) keepStapled(ctx context.Context) {
	retry := stapleRetry
	for s.cfg.Stapler != nil && ctx.Err() == nil {
		err := s.Staple(ctx)
		wait := min(staplePause, s.current.Load().refresh.Sub(s.cfg.Now()))
		if err == nil {
			retry = stapleRetry
		} else if ctx.Err() == nil {
			s.stapleFailed(ctx, err)
			wait = retry
			retry = min(2*retry, staplePause)
		}
		timer := time.NewTimer(max(wait, stapleRetry))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
	}
}

func (s *Source) stapleFailed(ctx context.Context, err error) {
	who := slog.String("subject", s.Identity().String())
	if _, revoked := errors.AsType[*ocsp.RevokedError](err); !revoked {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot renew staple", who, slog.Any("err", err))
		return
	}
	s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "own certificate is revoked", who, slog.Any("err", err))
	if c := s.current.Load(); c.stapled != nil {
		s.current.CompareAndSwap(c, &shown{Credential: c.Credential})
	}
	if s.cfg.Dir == "" {
		return
	}
	if err := os.Remove(filepath.Join(s.cfg.Dir, StapleFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "staple not removed", slog.Any("err", err))
	}
}
