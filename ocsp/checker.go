package ocsp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// A Mode says what a checker does when nothing can be learned.
type Mode int

// The modes. In both a revoked certificate is refused, and one that its issuer does not know.
const (
	HardFail Mode = iota // refuse
	SoftFail             // admit, and log
)

// The defaults of a checker.
const (
	defaultReuse   = time.Second
	defaultTimeout = 2 * time.Second
	maxVerdicts    = 4096
	crlReuse       = 5 * time.Minute // how long a fetched CRL is taken for the newest
)

// CheckerConfig says how a checker learns statuses.
type CheckerConfig struct {
	Mode         Mode
	MaxAge       time.Duration // how long a verdict is reused, 0 for one second
	Timeout      time.Duration // bound of one look-up, OCSP and CRL together, 0 for two seconds
	Skew         time.Duration // how far clocks may be apart, 0 for five minutes
	AllowPrivate bool          // call loopback and private addresses too
	Client       *http.Client  // nil for one that follows no redirect to another host and no proxy
	Now          func() time.Time
	Logger       *slog.Logger
}

// A Checker tells relying parties whether certificates are revoked. It is safe for concurrent use.
//
// A verdict is reused for MaxAge; so a revocation is seen at the latest so long
// after it was published. A revoked certificate stays revoked without asking again,
// until it expires; one on hold is asked about again.
type Checker struct {
	cfg CheckerConfig

	mu       sync.Mutex
	verdicts map[[32]byte]*entry // by SHA-256 of the certificate; guarded by mu
	lists    map[string]*list    // CRLs by URL; guarded by mu
}

// An entry is what is known of one certificate, or being learned.
type entry struct {
	done    chan struct{} // closed when verdict and err stand
	verdict Verdict
	err     error
	until   time.Time // how long they may be reused
}

// NewChecker returns a checker.
func NewChecker(cfg CheckerConfig) (*Checker, error) {
	if cfg.MaxAge < 0 || cfg.Timeout < 0 || cfg.Skew < 0 {
		return nil, errors.New("ocsp checker: MaxAge, Timeout and Skew must not be negative")
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = defaultReuse
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.Skew == 0 {
		cfg.Skew = DefaultSkew
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = newClient(cfg.AllowPrivate)
	}
	return &Checker{cfg: cfg, verdicts: map[[32]byte]*entry{}, lists: map[string]*list{}}, nil
}

// Check says whether leaf, which issuer issued, is good. It uses what it
// learned less than MaxAge ago, then OCSP, then the CRL. A stapled answer,
// where there is one, counts if it was signed less than MaxAge ago, if it says revoked, or if
// neither OCSP nor the CRL can be had. *[RevokedError] for a revoked certificate, *[UnknownError] for
// one that its issuer does not know or, with [HardFail], of which nothing could be learned.
func (c *Checker) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (Verdict, error) {
	key := sha256.Sum256(leaf.Raw)
	now := c.cfg.Now()
	c.mu.Lock()
	e := c.verdicts[key]
	if e != nil && e.finished() && !now.Before(e.until) {
		e = nil
	}
	mine := e == nil
	if mine {
		e = &entry{done: make(chan struct{})}
		c.makeRoom(now)
		c.verdicts[key] = e
	}
	c.mu.Unlock()
	if mine {
		go c.learn(context.WithoutCancel(ctx), e, leaf, issuer, staple)
	}
	select {
	case <-e.done:
		return e.verdict, e.err
	case <-ctx.Done():
		return Verdict{}, ctx.Err()
	}
}

func (e *entry) finished() bool {
	select {
	case <-e.done:
		return true
	default:
		return false
	}
}

// makeRoom forgets verdicts that are over, and any one if there are still too many.
func (c *Checker) makeRoom(now time.Time) {
	if len(c.verdicts) < maxVerdicts {
		return
	}
	for key, e := range c.verdicts {
		if e.finished() && !now.Before(e.until) {
			delete(c.verdicts, key)
		}
	}
	for key, e := range c.verdicts {
		if len(c.verdicts) < maxVerdicts {
			return
		}
		if e.finished() {
			delete(c.verdicts, key)
		}
	}
}

// learn fills an entry.
func (c *Checker) learn(ctx context.Context, e *entry, leaf, issuer *x509.Certificate, staple []byte) {
	defer close(e.done)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	e.verdict, e.err = c.lookUp(ctx, leaf, issuer, staple)
	now := c.cfg.Now()
	e.verdict.CheckedAt = now
	e.until = now.Add(c.cfg.MaxAge)
	serial := fmt.Sprintf("%x", leaf.SerialNumber)
	switch {
	case e.err != nil && c.cfg.Mode == SoftFail:
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "status unknown, certificate admitted", slog.String("serial", serial), slog.Any("err", e.err))
		e.verdict, e.err = Verdict{Source: "none", ProducedAt: now, CheckedAt: now}, nil
	case e.err != nil:
		e.err = &UnknownError{Serial: serial, Err: e.err}
	case e.verdict.State == Revoked:
		if e.verdict.Reason != reasonCertificateHold {
			e.until = leaf.NotAfter
		}
		e.err = &RevokedError{Serial: serial, Verdict: e.verdict}
	case e.verdict.State == Unknown:
		e.err = &UnknownError{Serial: serial, Err: errors.New("its issuer does not know it, says " + e.verdict.Source)}
	}
}

// lookUp tries staple, OCSP, CRL, old staple.
func (c *Checker) lookUp(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (Verdict, error) {
	var stapled *Verdict
	var errs []error
	if len(staple) > 0 {
		v, err := VerifyResponse(staple, leaf, issuer, VerifyOptions{Now: c.cfg.Now(), Skew: c.cfg.Skew})
		v.Source = "staple"
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("staple: %w", err))
		case v.State == Revoked || c.cfg.Now().Sub(v.ProducedAt) < c.cfg.MaxAge:
			return v, nil
		default:
			stapled = &v
		}
	}
	for _, ask := range []func(context.Context, *x509.Certificate, *x509.Certificate) (Verdict, error){c.CheckOCSP, c.CheckCRL} {
		v, err := ask(ctx, leaf, issuer)
		if err == nil {
			return v, nil
		}
		errs = append(errs, err)
	}
	if stapled != nil {
		return *stapled, nil
	}
	return Verdict{}, errors.Join(errs...)
}
