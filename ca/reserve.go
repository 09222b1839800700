package ca

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/payca/payca/policy"
)

// mostSpares bounds how many serials of an issuer are reserved at once.
const mostSpares = 64

// spares are serials that are reserved for whoever comes next, by issuer. One request alone reserves its own. While others
// wait for a reservation, one commit serves them all; while others are under way, each certificate's commit reserves
// a serial for the next.
type spares struct {
	turns turns

	mu    sync.Mutex
	stock map[string]*stock // owned by mu
}

// A stock is what is reserved for an issuer. It is owned by the mutex of spares.
type stock struct {
	free    []Intent
	waiting int // requests that wait for their turn
	signing int // requests that have a serial and are not over
}

// of returns the stock of an issuer. The mutex is held.
func (s *spares) of(issuer string) *stock {
	if s.stock == nil {
		s.stock = map[string]*stock{}
	}
	if s.stock[issuer] == nil {
		s.stock[issuer] = &stock{}
	}
	return s.stock[issuer]
}

// pop takes a spare serial of the issuer.
func (s *spares) pop(issuer string) (Intent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stock := s.of(issuer)
	if len(stock.free) == 0 {
		return Intent{}, false
	}
	last := len(stock.free) - 1
	taken := stock.free[last]
	stock.free = stock.free[:last]
	return taken, true
}

// push keeps spare serials of the issuer.
func (s *spares) push(issuer string, intents []Intent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stock := s.of(issuer)
	stock.free = append(stock.free, intents...)
}

// wait counts who waits for the issuer, and returns how many do.
func (s *spares) wait(issuer string, change int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	stock := s.of(issuer)
	stock.waiting += change
	return stock.waiting
}

// sign counts who has a serial of the issuer and is not over.
func (s *spares) sign(issuer string, change int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(issuer).signing += change
}

// short reports whether others are under way, and fewer serials are left than they may need.
func (s *spares) short(issuer string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	stock := s.of(issuer)
	return stock.signing > 1 && len(stock.free) < min(2*stock.signing, mostSpares)
}

// drain takes all that nobody used.
func (s *spares) drain() (serials []Serial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, stock := range s.stock {
		for _, in := range stock.free {
			serials = append(serials, in.Serial)
		}
		stock.free = nil
	}
	return serials
}

// reserve is step 1: a serial that was never used, and the durable intent to use it.
func (a *Authority) reserve(ctx context.Context, ap application, d *policy.Decision) (Intent, error) {
	intent, err := a.reserved(ctx, ap, d)
	if err != nil {
		return Intent{}, err
	}
	intent.Profile, intent.Party, intent.NotAfter, intent.Shard = ap.profile.Name(), ap.owner(), d.NotAfter, a.shardFor(d, intent.Serial)
	return intent, nil
}

func (a *Authority) reserved(ctx context.Context, ap application, d *policy.Decision) (Intent, error) {
	if in, ok := a.spares.pop(ap.issuer); ok {
		return in, nil
	}
	a.spares.wait(ap.issuer, 1)
	leave, err := a.spares.turns.take(ctx, ap.issuer)
	waiting := a.spares.wait(ap.issuer, -1)
	if err != nil {
		return Intent{}, err
	}
	defer leave()
	if in, ok := a.spares.pop(ap.issuer); ok {
		return in, nil
	}
	const tries = 4
	for range tries {
		intents, err := a.newIntents(ap, d, min(4*waiting, mostSpares-1))
		if err != nil {
			return Intent{}, err
		}
		err = a.cfg.Store.Reserve(ctx, intents...)
		if err == nil {
			a.spares.push(ap.issuer, intents[1:])
			return intents[0], nil
		}
		if !errors.Is(err, ErrSerialUsed) {
			return Intent{}, fmt.Errorf("reserving serial %s: %w", intents[0].Serial, err)
		}
	}
	return Intent{}, fmt.Errorf("reserving a serial: %d random ones in a row: %w", tries, ErrSerialUsed)
}

// ahead makes the intent that the commit of a request reserves for the next one, if any.
func (a *Authority) ahead(ap application, d *policy.Decision) ([]Intent, error) {
	if !a.spares.short(ap.issuer) {
		return nil, nil
	}
	return a.spareIntents(ap, d, 1)
}

// newIntents makes the intent of a request, and spare ones.
func (a *Authority) newIntents(ap application, d *policy.Decision, spare int) ([]Intent, error) {
	intents, err := a.spareIntents(ap, d, 1+spare)
	if err != nil {
		return nil, err
	}
	intents[0].Profile, intents[0].Party, intents[0].NotAfter = ap.profile.Name(), ap.owner(), d.NotAfter
	return intents, nil
}

// spareIntents makes intents that say only what is known of them: who signs, and until when at most what they are for is valid.
func (a *Authority) spareIntents(ap application, d *policy.Decision, n int) ([]Intent, error) {
	intents := make([]Intent, n)
	for i := range intents {
		serial, err := NewSerial(a.cfg.Random, ap.now)
		if err != nil {
			return nil, err
		}
		intents[i] = Intent{Serial: serial, Issuer: ap.issuer, NotAfter: ap.now.Add(a.longest[ap.issuer]), At: ap.now, Shard: a.shardFor(d, serial)}
	}
	return intents, nil
}

// longestValidity is how long the certificates of each issuer last at most, as the profiles are.
func longestValidity(profiles []*policy.Profile) map[string]time.Duration {
	longest := map[string]time.Duration{}
	for _, p := range profiles {
		if role := p.Role(); role != "" {
			longest[role.CA()] = max(longest[role.CA()], time.Duration(p.Config().Validity))
		}
	}
	return longest
}

// Unreserve gives back the serials that were reserved ahead and not used, so that the next start need not revoke them. It is
// for when nothing is issued any more.
func (a *Authority) Unreserve(ctx context.Context) error {
	serials := a.spares.drain()
	if len(serials) == 0 {
		return nil
	}
	if err := a.cfg.Store.Unreserve(ctx, serials...); err != nil {
		return fmt.Errorf("giving back %d reserved serials: %w", len(serials), err)
	}
	return nil
}
