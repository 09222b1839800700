package ocsp

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

// CheckerConfig is what a [Checker] is made from. All of it may be left out.
type CheckerConfig struct {
	// Client fetches; nil for one of the checker's own. Its redirects are confined
	// and its cookies left out. Unless AllowPrivate is set, its Transport must be
	// nil, because no other can be kept from private addresses.
	Client *http.Client
	Mode   Mode // of this checker; [Checker.As] makes others that know what it knows
	// MaxAge is how long a fetched verdict is reused, 0 for 1 s. Negative: never. That nothing was found out is
	// not reused for longer than 1 s.
	MaxAge       time.Duration
	Timeout      time.Duration // of one fetch, 0 for 2 s
	Budget       time.Duration // of one check, whatever it fetches, 0 for twice the Timeout
	Skew         time.Duration // tolerated difference of clocks, 0 for 5 min
	AllowPrivate bool          // fetch from loopback and private addresses too
	Hosts        []string      // if not empty, fetch from these hosts alone
	RequireNonce bool          // believe OCSP responders only if they answer with the nonce they were sent
	// ShortLived, if not 0, is the longest life of a certificate whose status nobody need ask for: one that says so itself,
	// by the extension noRevAvail (RFC 9608).
	ShortLived time.Duration
	// Cache, if not "", is a file that keeps answers and CRLs over a restart; [Checker.Run] writes it. They are
	// verified again when they are used, so who can write the file can make the checker ask, and nothing else.
	Cache string
	// Feed, if not nil, tells of revocations as they happen. What was learned by an answer signed since it began then
	// stands until its nextUpdate, and not for MaxAge, while the feed is live and tells of no change.
	Feed   *feed.Client
	Now    func() time.Time // nil for time.Now
	Logger *slog.Logger     // nil for none
}

// A Checker says whether certificates are revoked. It is safe for concurrent use.
type Checker struct {
	*knowledge
	mode Mode
}

// knowledge is what the checkers of all modes share.
type knowledge struct {
	cfg       CheckerConfig
	client    *http.Client
	lists     lists
	cache     cache
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

// NewChecker makes a checker.
func NewChecker(cfg CheckerConfig) (*Checker, error) {
	if err := cfg.Mode.check(); err != nil {
		return nil, fmt.Errorf("new checker: %w", err)
	}
	if cfg.Timeout < 0 || cfg.Budget < 0 || cfg.Skew < 0 || cfg.ShortLived < 0 {
		return nil, fmt.Errorf("new checker: Timeout %v, Budget %v, Skew %v, ShortLived %v: want none negative", cfg.Timeout, cfg.Budget, cfg.Skew, cfg.ShortLived)
	}
	if cfg.MaxAge == 0 {
		cfg.MaxAge = time.Second
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.Budget == 0 {
		cfg.Budget = 2 * cfg.Timeout
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
	k := &knowledge{cfg: cfg, client: client, flights: make(map[[32]byte]*checkFlight)}
	k.memory.init()
	k.lists.init()
	k.load()
	return &Checker{k, cfg.Mode}, nil
}

// Check says whether leaf, which issuer issued, is good. The caller has verified the
// chain. staple is a stapled OCSP response, nil for none; an answer that
// cannot be trusted is treated as none.
//
// It asks, in this order, until there is an answer: what it knows to be revoked for
// good, the feed, the staple, what it learned within MaxAge, OCSP, CRLs. The error is a
// *[RevokedError], an *[UnknownError], or that of ctx. A nil error with
// State Unknown and Source "none" is SoftFail's.
func (c *Checker) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (Verdict, error) {
	if err := checkPair(leaf, issuer); err != nil {
		return Verdict{}, fmt.Errorf("checking status: %w", err)
	}
	v, err, fresh := c.check(ctx, leaf, issuer, staple)
	return c.judge(ctx, leaf, v, err, fresh)
}

// check is Check before the mode decides. fresh says that nobody was told of this outcome yet.
func (c *Checker) check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (v Verdict, err error, fresh bool) {
	id := sha256.Sum256(leaf.Raw)
	now := c.cfg.Now()
	c.mu.Lock()
	known := c.memory.find(id)
	saved := c.cache.take(id)
	c.mu.Unlock()
	if saved != nil {
		known = c.recall(id, saved, leaf, issuer)
	}
	if known.fresh(now) && known.final() {
		return known.verdict, known.err, false
	}
	if v, err, ok := c.followed(leaf, known, now); ok {
		return v, err, false
	}
	if len(staple) > 0 {
		if v, err, ok := c.checkStaple(id, known, leaf, issuer, staple); ok {
			return v, err, false
		}
	}
	if c.shortLived(leaf) {
		return Verdict{State: Good, Source: "short-lived", CheckedAt: now, ThisUpdate: leaf.NotBefore, NextUpdate: leaf.NotAfter}, nil, false
	}
	if c.mode == StapledOnly && !leaf.IsCA {
		v, err = c.stapled(leaf, known, now)
		return v, err, err != nil
	}
	if known.fresh(now) {
		return known.verdict, known.err, false
	}
	return c.join(ctx, id, leaf, issuer)
}

// followed is what the feed says of a certificate; ok says whether it decides.
func (c *knowledge) followed(leaf *x509.Certificate, known entry, now time.Time) (v Verdict, err error, ok bool) {
	if c.cfg.Feed == nil {
		return v, nil, false
	}
	since, live := c.cfg.Feed.Live() // before the look-up: what is told while it is asked for is not missed
	change, changed := c.cfg.Feed.Lookup(leaf.SerialNumber.Text(16))
	switch {
	case changed && change.State != feed.Released:
		v = Verdict{State: Revoked, Source: "feed", CheckedAt: now, ThisUpdate: change.At, NextUpdate: leaf.NotAfter, RevokedAt: change.At, Reason: change.Reason}
		return v, v.refusal(leaf), true
	case changed || !live || known.verdict.State == Revoked:
		return v, nil, false
	}
	for _, v := range [2]Verdict{known.verdict, known.stapled} {
		if v.State == Good && v.ProducedAt.Add(time.Second).After(since) && !now.Before(v.CheckedAt) && now.Before(v.NextUpdate) {
			return v, nil, true
		}
	}
	return v, nil, false
}

// join waits for the flight that checks leaf, which it begins if there is none young enough; fresh says that it did.
func (c *knowledge) join(ctx context.Context, id [32]byte, leaf, issuer *x509.Certificate) (v Verdict, err error, fresh bool) {
	c.mu.Lock()
	now := c.cfg.Now()
	if known := c.memory.find(id); known.fresh(now) { // a flight may have landed since Check looked
		c.mu.Unlock()
		return known.verdict, known.err, false
	}
	f := c.flights[id]
	if f == nil || now.Sub(f.begun) > c.cfg.MaxAge {
		fresh = true
		f = &checkFlight{begun: now, done: make(chan struct{})}
		c.flights[id] = f
		// The flight outlives a caller that gives up: others wait for it, and what it brings serves the next. Each
		// of its fetches is bounded by Timeout.
		go c.fly(context.WithoutCancel(ctx), f, id, leaf, issuer)
	}
	c.mu.Unlock()
	budget := time.NewTimer(c.cfg.Budget)
	defer budget.Stop()
	select {
	case <-f.done:
		return f.verdict, f.err, fresh
	case <-budget.C:
		return nothing(now), &UnknownError{Serial: leaf.SerialNumber.Text(16), Err: fmt.Errorf("no answer within %v", c.cfg.Budget)}, fresh
	case <-ctx.Done():
		return Verdict{}, fmt.Errorf("checking status: %w", ctx.Err()), false
	}
}

// nothing is the verdict when nothing was learned.
func nothing(now time.Time) Verdict { return Verdict{Source: "none", CheckedAt: now} }

// fly asks the network and remembers the outcome.
func (c *knowledge) fly(ctx context.Context, f *checkFlight, id [32]byte, leaf, issuer *x509.Certificate) {
	verdict, answer, err := c.ask(ctx, leaf, issuer)
	now := c.cfg.Now()
	c.mu.Lock()
	known := c.memory.find(id)
	if known.outlasts(verdict, now) {
		verdict, answer, err = known.verdict, known.answer, known.err
	}
	f.verdict, f.err = verdict, err
	c.memory.learn(id, verdict, err, c.until(verdict, leaf, now))
	c.remember(id, verdict, answer)
	if c.flights[id] == f {
		delete(c.flights, id)
	}
	c.mu.Unlock()
	close(f.done)
}

// until returns how long a verdict is reused.
func (c *knowledge) until(v Verdict, leaf *x509.Certificate, now time.Time) time.Time {
	age := c.cfg.MaxAge
	switch {
	case v.final():
		return leaf.NotAfter
	case v.State == Unknown:
		age = min(age, time.Second) // it may be known, or reachable, in a moment
	}
	until := now.Add(age)
	if !v.NextUpdate.IsZero() && v.NextUpdate.Before(until) {
		return v.NextUpdate
	}
	return until
}

// final says whether nothing can make the certificate good again.
func (v Verdict) final() bool { return v.State == Revoked && v.Reason != reasonHold }

// checkStaple verifies a staple, or remembers that it did. ok says whether it decides.
func (c *knowledge) checkStaple(id [32]byte, known entry, leaf, issuer *x509.Certificate, staple []byte) (v Verdict, err error, ok bool) {
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
		c.remember(id, v, staple)
	}
	return v, err, true
}
