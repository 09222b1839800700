package status

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/big"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

const (
	// fullAtOnce is how many entries a full list may have to be made in every round. A longer one is made once in fullPause;
	// shards and delta are always made.
	fullAtOnce = 20_000
	fullPause  = time.Minute
	// retryPause is how long [Service.Run] waits after lists could not be made: each attempt takes a number.
	retryPause = 30 * time.Second
)

// An issuer is what the service keeps for one issuing CA.
type issuer struct {
	name        string
	certificate *x509.Certificate
	signer      atomic.Pointer[ocsp.Signer]
	lists       []*list // full, delta, shards
	number      atomic.Uint64

	asking  sync.Mutex
	pending map[ca.Serial]bool // guarded by asking: what changed and is in no list yet
	asked   uint64             // guarded by asking: how many changes there were

	mu      sync.Mutex // held while lists are made, so that numbers appear in order
	revoked revoked    // guarded by mu, as is what follows
	base    deltaBase
	done    uint64    // changes that are published
	began   time.Time // the last round, by the clock of the machine

	failure atomic.Pointer[failure]
}

// A failure is why lists could not be made.
type failure struct {
	since, last time.Time // by the clock of the service, and of the machine
	err         error
}

// ask notes a change of a certificate.
func (is *issuer) ask(serial ca.Serial) {
	is.asking.Lock()
	defer is.asking.Unlock()
	is.pending[serial] = true
	is.asked++
}

// changed is how many changes there were.
func (is *issuer) changed() uint64 {
	is.asking.Lock()
	defer is.asking.Unlock()
	return is.asked
}

// startLists reads what was revoked and what was published, and publishes anew.
func (s *Service) startLists(ctx context.Context, is *issuer) error {
	is.pending = map[ca.Serial]bool{}
	is.lists = lists(s.cfg.Dir, is.name, s.authority.Shards(is.name))
	for _, l := range is.lists {
		if err := l.read(is.certificate); err != nil { // made anew below
			s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot read the crl that was published", slog.String("issuer", is.name), slog.Any("err", err))
		}
	}
	if err := is.revoked.load(s.cfg.Store.Revocations(ctx, is.name)); err != nil {
		return fmt.Errorf("reading the revocations of %s: %w", is.name, err)
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	return s.round(ctx, is)
}

// Publish makes and serves the lists of the named issuer that lack something, and returns their number. They hold every
// revocation, hold and release committed before the call: the shards of the certificates and the delta list always do, the full
// list if it has at most 20,000 entries, or else within a minute. Calls within the time of Coalesce are served by one round.
//
// An entry leaves a list when that was published with it after the certificate's end (RFC 5280 section 3.3).
func (s *Service) Publish(ctx context.Context, name string) (uint64, error) {
	is, ok := s.issuers[name]
	if !ok {
		return 0, fmt.Errorf("publishing a CRL of %q: %w", name, ca.ErrNotFound)
	}
	asked := is.changed()
	is.mu.Lock()
	defer is.mu.Unlock()
	if is.done >= asked && is.failure.Load() == nil && !s.due(is) {
		return is.number.Load(), nil
	}
	if err := sleep(ctx, s.cfg.Coalesce-time.Since(is.began)); err != nil {
		return 0, err
	}
	if err := s.round(ctx, is); err != nil {
		return 0, err
	}
	return is.number.Load(), nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// due says whether a list is to be made for its age.
func (s *Service) due(is *issuer) bool {
	now := s.cfg.Now()
	for _, l := range is.lists {
		if s.mustMake(is, l, now) {
			return true
		}
	}
	return false
}

// mustMake says whether a list is to be made in this round.
func (s *Service) mustMake(is *issuer, l *list, now time.Time) bool {
	p := l.load()
	switch {
	case p == nil || l.name == "full" && is.base.number == 0 || p.thisUpdate.After(now) || !now.Before(p.thisUpdate.Add(s.cfg.CRLInterval)):
		return true
	case l.name == "full" && p.entries > fullAtOnce:
		return l.dirty && now.Sub(p.thisUpdate) >= fullPause
	}
	return l.dirty
}

// round makes the lists that lack something; the caller holds is.mu. What fails is tried again in the next round.
func (s *Service) round(ctx context.Context, is *issuer) error {
	is.began = time.Now()
	err := s.makeLists(ctx, is)
	if err == nil {
		is.failure.Store(nil)
		return nil
	}
	since := s.cfg.Now()
	if before := is.failure.Load(); before != nil {
		since = before.since
	}
	is.failure.Store(&failure{since: since, last: time.Now(), err: err})
	return fmt.Errorf("publishing CRLs of %s: %w", is.name, err)
}

func (s *Service) makeLists(ctx context.Context, is *issuer) error {
	asked, err := s.takeChanges(ctx, is)
	if err != nil {
		return err
	}
	now := s.cfg.Now().UTC().Truncate(time.Second)
	var due []*list
	var names []string
	for _, l := range is.lists {
		if s.mustMake(is, l, now) {
			due, names = append(due, l), append(names, l.name)
		}
	}
	if len(due) == 0 {
		is.done = asked
		return nil
	}
	signing, err := s.authority.BeginCRL(ctx, is.name, names...)
	if err != nil {
		return err
	}
	if published := is.published(); signing.Number() <= published {
		return &NumberError{Issuer: is.name, Got: signing.Number(), Published: published}
	}
	var errs []error
	for _, l := range due {
		l.dirty = true
		if err := s.makeList(ctx, is, l, signing, now); err != nil {
			errs = append(errs, fmt.Errorf("list %s: %w", l.name, err))
			continue
		}
		l.dirty = false
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	is.number.Store(signing.Number())
	is.done = asked
	oldest := is.oldest()
	is.revoked.drop(func(e *entry) bool { return e.spent(oldest) })
	return nil
}

// takeChanges looks up what changed, and marks the lists that lack it.
func (s *Service) takeChanges(ctx context.Context, is *issuer) (asked uint64, err error) {
	is.asking.Lock()
	pending := is.pending
	is.pending, asked = map[ca.Serial]bool{}, is.asked
	is.asking.Unlock()
	list := make([]change, 0, len(pending))
	for serial := range pending {
		one, ok, err := s.changeOf(ctx, is, serial)
		if err != nil {
			is.asking.Lock()
			maps.Copy(is.pending, pending)
			is.asking.Unlock()
			return 0, fmt.Errorf("looking up certificate %s: %w", serial, err)
		}
		if ok {
			list = append(list, one)
		}
	}
	if len(list) == 0 {
		return asked, nil
	}
	is.revoked.apply(list)
	is.base.add(list)
	for _, l := range is.lists {
		for i := 0; i < len(list) && !l.dirty; i++ {
			l.dirty = l.covers(&list[i].entry)
		}
	}
	return asked, nil
}

// changeOf is what became of a certificate; false for nothing that a list would say.
func (s *Service) changeOf(ctx context.Context, is *issuer, serial ca.Serial) (change, bool, error) {
	status, err := s.cfg.Store.Status(ctx, is.name, serial)
	if err != nil {
		return change{}, false, err
	}
	known, listed := is.revoked.find(serial)
	if status.Revocation == nil {
		known.at = uint32(max(status.Released.Unix(), 1))
		return change{entry: known, released: true}, listed, nil
	}
	e, err := newEntry(*status.Revocation)
	return change{entry: e}, !listed || known != e, err
}

// published is the highest number of a list that was published.
func (is *issuer) published() (number uint64) {
	for _, l := range is.lists {
		if p := l.load(); p != nil {
			number = max(number, p.number)
		}
	}
	return number
}

// oldest is when the oldest of the lists was published, zero if one was not: an entry that was spent then is in none.
func (is *issuer) oldest() (oldest time.Time) {
	for i, l := range is.lists {
		p := l.load()
		switch {
		case p == nil:
			return time.Time{}
		case l.delta:
		case i == 0 || p.thisUpdate.Before(oldest):
			oldest = p.thisUpdate
		}
	}
	return oldest
}

// makeList makes one list.
func (s *Service) makeList(ctx context.Context, is *issuer, l *list, signing *ca.CRLSigning, now time.Time) error {
	crl := ocsp.CRL{Issuer: is.certificate, Number: signing.Number(), ThisUpdate: now, NextUpdate: now.Add(s.cfg.CRLValidity)}
	entries := is.revoked.entries
	var published time.Time
	if before := l.load(); before != nil {
		published = before.thisUpdate
	}
	keep := func(e *entry) bool { return l.covers(e) && !e.spent(published) }
	switch {
	case l.delta:
		if crl.Base = is.base.number; crl.Base == 0 {
			return errors.New("no full list that it could be a delta to")
		}
		oldest := is.oldest()
		entries = is.base.entries(func(e *entry) bool { return e.spent(oldest) })
		keep = func(*entry) bool { return true }
	case l.shard > 0:
		crl.Shard = s.authority.CRLURL(is.name, l.shard)
	default:
		crl.Freshest = s.authority.DeltaURL(is.name)
	}
	mayLeave := func(serial []byte, published time.Time) error { return s.mayLeave(ctx, is, serial, published) }
	err := l.write(crl, walk(entries, keep), signing.Sign, func(f *os.File) (int, error) { return l.check(f, crl, mayLeave) })
	if err != nil || l.name != "full" {
		return err
	}
	if is.base.number == 0 {
		is.base.begin(crl.Number, now)
	}
	is.base.full(crl.Number, now, s.cfg.CRLInterval)
	return nil
}

// mayLeave asks the store whether a serial that was listed may be missing: it was released, or its certificate had ended
// when it was listed the last time.
func (s *Service) mayLeave(ctx context.Context, is *issuer, serial []byte, published time.Time) error {
	number, err := ca.SerialOf(new(big.Int).SetBytes(serial))
	if err != nil {
		return err
	}
	status, err := s.cfg.Store.Status(ctx, is.name, number)
	switch {
	case err != nil:
		return err
	case status.Revocation == nil && !status.Released.IsZero(), status.Revocation != nil && status.Revocation.NotAfter.Before(published):
		return nil
	}
	return fmt.Errorf("serial %s was listed before and is missing, want it until its certificate has ended", number)
}
