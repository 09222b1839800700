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
	"sync/atomic"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

// A Mode says what a [Checker] does with a certificate of which nothing could be
// learned. The zero Mode is HardFail.
type Mode int

// The modes. Revoked is refused in both, and so is a certificate of which its
// responder says, signed, that it does not know it.
const (
	HardFail Mode = iota // refuse it
	SoftFail             // admit it, log it, count it
)

// CheckerConfig is what a [Checker] is made from. All of it may be left out.
type CheckerConfig struct {
	// Client fetches; nil for one of the checker's own. Its redirects are confined
	// and its cookies left out. Unless AllowPrivate is set, its Transport must be
	// nil, because no other can be kept from private addresses.
	Client *http.Client
	Mode   Mode
	// MaxAge is how long a fetched verdict is reused, 0 for 1 s. Negative: never.
	MaxAge       time.Duration
	Timeout      time.Duration // of one fetch, 0 for 2 s
	Skew         time.Duration // tolerated difference of clocks, 0 for 5 min
	AllowPrivate bool          // fetch from loopback and private addresses too
	// Feed, if not nil, tells of revocations as they happen. What was learned by an answer signed since it began then
	// stands until its nextUpdate, and not for MaxAge, while the feed is live and tells of no change.
	Feed   *feed.Client
	Now    func() time.Time // nil for time.Now
	Logger *slog.Logger     // nil for none
}

// A Checker says whether certificates are revoked. It is safe for concurrent use.
type Checker struct {
	cfg       CheckerConfig
	client    *http.Client
	lists     lists
	softFails atomic.Uint64

	mu      sync.Mutex
	memory  memory                    // owned by mu
	flights map[[32]byte]*checkFlight // owned by mu
}

// A checkFlight is one check in the making, by fingerprint of the certificate.
type checkFlight struct {
	begun   time.Time
	done    chan struct{} // closed when verdict and err are set for good
	verdict Verdict
	err     error
}

// A RevokedError refuses a certificate that is revoked or on hold.
type RevokedError struct {
	Serial string    // hexadecimal
	At     time.Time // since when
	Reason int       // reason code of RFC 5280
	Source string    // who said so: as in Verdict
}

// Error says since when and why.
func (e *RevokedError) Error() string {
	return fmt.Sprintf("certificate %s is revoked since %s for %s, says %s",
		e.Serial, e.At.UTC().Format(time.RFC3339), reasonName(e.Reason), e.Source)
}

// OnHold reports whether the certificate may become good again (certificateHold).
func (e *RevokedError) OnHold() bool { return e.Reason == reasonHold }

// An UnknownError refuses a certificate that nothing vouches for.
type UnknownError struct {
	Serial string // hexadecimal
	Denied bool   // its own responder says, signed, that it does not know it
	Err    error  // what was tried, joined; nil if there was nothing to try
}

// Error says what was tried.
func (e *UnknownError) Error() string {
	switch {
	case e.Denied:
		return "certificate " + e.Serial + " is unknown to its issuer's OCSP responder: want one that was issued"
	case e.Err == nil:
		return "certificate " + e.Serial + " names no OCSP responder and no CRL: want at least one"
	}
	return fmt.Sprintf("status of certificate %s is not known: %v", e.Serial, e.Err)
}

// Unwrap returns what was tried.
func (e *UnknownError) Unwrap() error { return e.Err }

// NewChecker makes a checker.
func NewChecker(cfg CheckerConfig) (*Checker, error) {
	if cfg.Mode != HardFail && cfg.Mode != SoftFail {
		return nil, fmt.Errorf("new checker: mode %d: want HardFail or SoftFail", cfg.Mode)
	}
	if cfg.Timeout < 0 || cfg.Skew < 0 {
		return nil, fmt.Errorf("new checker: Timeout %v, Skew %v: want neither negative", cfg.Timeout, cfg.Skew)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Skew == 0 {
		cfg.Skew = defaultSkew
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	client, err := newClient(cfg)
	if err != nil {
		return nil, fmt.Errorf("new checker: %w", err)
	}
	c := &Checker{cfg: cfg, client: client, flights: make(map[[32]byte]*checkFlight)}
	c.memory.init()
	c.lists.init()
	return c, nil
}

// SoftFails returns how many checks found nothing out and admitted the
// certificate nevertheless, each reuse of such a verdict left out.
func (c *Checker) SoftFails() uint64 { return c.softFails.Load() }

// Check says whether leaf, which issuer issued, is good. The caller has verified the
// chain. staple is a stapled OCSP response, nil for none; an answer that
// cannot be trusted is treated as none.
//
// It asks, in this order, until there is an answer: what it knows to be revoked for
// good, the staple, what it learned within MaxAge, OCSP, CRLs. The error is a
// *[RevokedError], an *[UnknownError], or that of ctx. A nil error with
// State Unknown and Source "none" is SoftFail's.
func (c *Checker) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (Verdict, error) {
	if err := checkPair(leaf, issuer); err != nil {
		return Verdict{}, fmt.Errorf("checking status: %w", err)
	}
	id := sha256.Sum256(leaf.Raw)
	now := c.cfg.Now()
	c.mu.Lock()
	known := c.memory.find(id)
	c.mu.Unlock()
	if known.fresh(now) && known.final() {
		return known.verdict, known.err
	}
	if v, err, ok := c.followed(leaf, known, now); ok {
		return v, err
	}
	if len(staple) > 0 {
		if v, err, ok := c.checkStaple(id, known, leaf, issuer, staple); ok {
			return v, err
		}
	}
	if known.fresh(now) {
		return known.verdict, known.err
	}
	return c.join(ctx, id, leaf, issuer)
}

// followed is what the feed says of a certificate; ok says whether it decides.
func (c *Checker) followed(leaf *x509.Certificate, known entry, now time.Time) (v Verdict, err error, ok bool) {
	if c.cfg.Feed == nil {
		return v, nil, false
	}
	since, live := c.cfg.Feed.Live() // before the look-up: what is told while it is asked for is not missed
	change, changed := c.cfg.Feed.Lookup(leaf.SerialNumber.Text(16))
	switch {
	case changed && change.State != feed.Released:
		v = Verdict{State: Revoked, Source: "feed", CheckedAt: now, ThisUpdate: change.At, NextUpdate: leaf.NotAfter, RevokedAt: change.At, Reason: change.Reason}
		return v, v.refusal(leaf), true
	case changed || !live || known.err != nil || known.verdict.State != Good:
		return v, nil, false
	}
	v = known.verdict
	return v, nil, v.ProducedAt.Add(time.Second).After(since) && !now.Before(v.CheckedAt) && now.Before(v.NextUpdate)
}

// join waits for the flight that checks leaf, which it begins if there is none young enough.
func (c *Checker) join(ctx context.Context, id [32]byte, leaf, issuer *x509.Certificate) (Verdict, error) {
	c.mu.Lock()
	now := c.cfg.Now()
	if known := c.memory.find(id); known.fresh(now) { // a flight may have landed since Check looked
		c.mu.Unlock()
		return known.verdict, known.err
	}
	f := c.flights[id]
	if f == nil || now.Sub(f.begun) > c.cfg.MaxAge {
		f = &checkFlight{begun: now, done: make(chan struct{})}
		c.flights[id] = f
		// The flight outlives a caller that gives up: others wait for it. Each
		// of its fetches is bounded by Timeout.
		go c.fly(context.WithoutCancel(ctx), f, id, leaf, issuer)
	}
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.verdict, f.err
	case <-ctx.Done():
		return Verdict{}, fmt.Errorf("checking status: %w", ctx.Err())
	}
}

// fly asks the network and remembers the outcome.
func (c *Checker) fly(ctx context.Context, f *checkFlight, id [32]byte, leaf, issuer *x509.Certificate) {
	verdict, err := c.ask(ctx, leaf, issuer)
	now := c.cfg.Now()
	c.mu.Lock()
	known := c.memory.find(id)
	if known.outlasts(verdict, now) {
		verdict, err = known.verdict, known.err
	}
	var unknown *UnknownError
	soft := c.cfg.Mode == SoftFail && errors.As(err, &unknown) && !unknown.Denied
	if soft {
		c.softFails.Add(1)
		err = nil
	}
	f.verdict, f.err = verdict, err
	c.memory.learn(id, verdict, err, c.until(verdict, leaf, now))
	if c.flights[id] == f {
		delete(c.flights, id)
	}
	c.mu.Unlock()
	close(f.done)
	if soft {
		c.cfg.Logger.WarnContext(ctx, "certificate of unknown status admitted",
			slog.String("serial", leaf.SerialNumber.Text(16)), slog.Any("err", unknown))
	}
}

// until returns how long a verdict is reused.
func (c *Checker) until(v Verdict, leaf *x509.Certificate, now time.Time) time.Time {
	if v.final() {
		return leaf.NotAfter
	}
	until := now.Add(c.cfg.MaxAge)
	if !v.NextUpdate.IsZero() && v.NextUpdate.Before(until) {
		return v.NextUpdate
	}
	return until
}

// final says whether nothing can make the certificate good again.
func (v Verdict) final() bool { return v.State == Revoked && v.Reason != reasonHold }

// refusal returns the error that goes with a verdict of OCSP or a CRL.
func (v Verdict) refusal(leaf *x509.Certificate) error {
	switch v.State {
	case Good:
		return nil
	case Revoked:
		return &RevokedError{Serial: leaf.SerialNumber.Text(16), At: v.RevokedAt, Reason: v.Reason, Source: v.Source}
	}
	return &UnknownError{Serial: leaf.SerialNumber.Text(16), Denied: true}
}

// checkStaple verifies a staple, or remembers that it did. ok says whether it decides.
func (c *Checker) checkStaple(id [32]byte, known entry, leaf, issuer *x509.Certificate, staple []byte) (v Verdict, err error, ok bool) {
	now := c.cfg.Now()
	sum := sha256.Sum256(staple)
	if known.staple == sum && !now.After(known.stapled.NextUpdate) && !known.outlasts(known.stapled, now) {
		return known.stapled, nil, true
	}
	v, err = VerifyResponse(staple, leaf, issuer, VerifyOptions{Now: now, Skew: c.cfg.Skew})
	if err != nil || v.State == Unknown || known.outlasts(v, now) {
		return Verdict{}, nil, false
	}
	v.Source = "staple"
	err = v.refusal(leaf)
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.State == Good {
		c.memory.learnStaple(id, sum, v)
	} else {
		c.memory.learn(id, v, err, c.until(v, leaf, now))
	}
	return v, err, true
}

// ask asks OCSP responders, then CRLs.
func (c *Checker) ask(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	var tried []error
	for _, url := range firstTwo(leaf.OCSPServer) {
		v, err := c.askOCSP(ctx, url, leaf, issuer)
		if err == nil {
			return v, v.refusal(leaf)
		}
		tried = append(tried, fmt.Errorf("OCSP at %s: %w", url, err))
	}
	for _, url := range firstTwo(leaf.CRLDistributionPoints) {
		v, err := c.askCRL(ctx, url, leaf, issuer)
		if err == nil {
			return v, v.refusal(leaf)
		}
		tried = append(tried, fmt.Errorf("CRL at %s: %w", url, err))
	}
	return Verdict{Source: "none", CheckedAt: c.cfg.Now()},
		&UnknownError{Serial: leaf.SerialNumber.Text(16), Err: errors.Join(tried...)}
}

// firstTwo bounds how many places one certificate makes us try.
func firstTwo(urls []string) []string { return urls[:min(2, len(urls))] }
