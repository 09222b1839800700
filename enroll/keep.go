package enroll

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// The pace of what cannot renew, and of looking after files that others may have changed.
const (
	firstRetry = 30 * time.Second
	lastRetry  = time.Hour
	lookAgain  = 10 * time.Minute
)

// An ExpiredError says that a certificate has expired and was not renewed. Its party has to enroll again, with a new token.
type ExpiredError struct {
	Identity policy.Identity
	NotAfter time.Time
	Err      error // why it was not renewed
}

// Error says whose certificate expired when, and why it was not renewed.
func (e *ExpiredError) Error() string {
	return fmt.Sprintf("the certificate of %s expired at %s and was not renewed: %v", e.Identity, e.NotAfter.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns why it was not renewed.
func (e *ExpiredError) Unwrap() error { return e.Err }

// Run renews the certificate at two thirds of its life, spread over a tenth of
// it so that parties enrolled together do not return together. When the CA cannot be
// reached it tries again, at growing intervals up to an hour, for as long as it takes. Every ten minutes it looks whether another process has
// put another certificate of the same identity into the directory. It keeps the staple fresh, too. Run returns nil when ctx ends, and an *[ExpiredError] if
// the configuration says so.
func (s *Source) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var stapling sync.WaitGroup
	stapling.Go(func() { s.keepStapled(ctx) })
	defer stapling.Wait()
	defer cancel()
	if s.cfg.Dir == "" {
		<-ctx.Done()
		return nil
	}
	var end error
	keepFresh(ctx, s.cfg.Now, s.next, s.most, func(ctx context.Context) bool {
		err := s.step(ctx)
		if err != nil && ctx.Err() == nil {
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot renew certificate", slog.String("subject", s.Identity().String()), slog.Any("err", err))
		}
		if s.cfg.EndExpired && s.over(err) {
			end = err
			cancel()
		}
		return err == nil
	})
	return end
}

// keepFresh calls renew whenever next says, and at growing intervals, at most as long as most says, when renew fails, until ctx ends.
// It leaves a while between two calls, also when the CA hands out certificates that are due at once.
func keepFresh(ctx context.Context, now, next func() time.Time, most func() time.Duration, renew func(context.Context) bool) {
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
		wait = retry + rand.N(retry/4) //nolint:gosec // it spreads load, nobody must not guess it
		retry = min(2*retry, most())
	}
}

// renewAt is when a certificate is to be renewed: at two thirds of its life and up to a tenth of it later, at a time of its own.
func renewAt(leaf *x509.Certificate) time.Time {
	sum := sha256.Sum256(leaf.Raw)
	part := float64(binary.BigEndian.Uint32(sum[:4])) / (1 << 32)
	return RenewAfter(leaf).Add(time.Duration(part * float64(life(leaf)/10)))
}

func life(leaf *x509.Certificate) time.Duration { return leaf.NotAfter.Sub(leaf.NotBefore) }

// next is when there is something to do, or to look for.
func (s *Source) next() time.Time {
	now, current := s.cfg.Now(), s.current.Load()
	if s.cfg.Changed != nil && s.told != current.Credential {
		return now
	}
	if at := renewAt(current.Leaf()); at.Before(now.Add(lookAgain)) {
		return at
	}
	return now.Add(lookAgain)
}

// most is the longest interval between two tries: an hour, less where certificates are short-lived.
func (s *Source) most() time.Duration {
	return min(lastRetry, max(firstRetry, life(s.current.Load().Leaf())/24))
}

// step does what there is to do now.
func (s *Source) step(ctx context.Context) error {
	err := s.renew(ctx)
	current := s.current.Load()
	if s.cfg.Changed == nil || s.told == current.Credential {
		return err
	}
	if changedErr := s.cfg.Changed(ctx, current.Credential); changedErr != nil {
		return errors.Join(err, fmt.Errorf("after the change of certificate %x: %w", current.Leaf().SerialNumber, changedErr))
	}
	s.told = current.Credential
	return err
}

// renew takes what is in the directory, where another process may have renewed it, and renews it if it is due.
func (s *Source) renew(ctx context.Context) error {
	stands, err := Open(s.cfg.Dir)
	if err != nil {
		return err
	}
	if err := s.hold(ctx, stands); err != nil || s.cfg.Now().Before(renewAt(stands.Leaf())) {
		return err
	}
	l, err := lockDir(ctx, s.cfg.Dir)
	if err != nil {
		return err
	}
	defer l.unlock()
	before := stands
	if stands, err = Open(s.cfg.Dir); err != nil {
		return err
	}
	if !stands.Leaf().Equal(before.Leaf()) { // somebody was faster
		return s.hold(ctx, stands)
	}
	next, err := s.cfg.Renew(ctx, stands)
	if err == nil {
		_, err = next.Save(s.cfg.Dir)
	}
	if err == nil {
		err = s.hold(ctx, next)
	}
	if err != nil {
		if leaf := stands.Leaf(); s.cfg.Now().After(leaf.NotAfter) {
			err = &ExpiredError{stands.Identity, leaf.NotAfter, err}
		}
		return err
	}
	if !s.cfg.Now().Before(RenewAfter(next.Leaf())) {
		return fmt.Errorf("the CA issued a certificate that is due at once: valid from %s to %s", next.Leaf().NotBefore.Format(time.RFC3339), next.Leaf().NotAfter.Format(time.RFC3339))
	}
	return nil
}

// hold makes a credential the current one, if it is another.
func (s *Source) hold(ctx context.Context, c *Credential) error {
	current := s.current.Load()
	if c.Identity != current.Identity {
		return fmt.Errorf("%s holds %s now, want %s", s.cfg.Dir, c.Identity, current.Identity)
	}
	return s.change(ctx, c)
}

// over says whether nothing can become of the certificate any more: it has expired, and the CA refused to renew it, or
// could not be asked for half as long as it was valid.
func (s *Source) over(err error) bool {
	expired, ok := errors.AsType[*ExpiredError](err)
	if !ok {
		return false
	}
	refusal, refused := errors.AsType[*problem.Problem](err)
	return refused && refusal.Status < 500 && refusal.Status != 429 || s.cfg.Now().After(expired.NotAfter.Add(life(s.current.Load().Leaf())/2))
}
