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

// spares are serials that are reserved for whoever comes next, by issuer. One request alone reserves its own; only while
// others wait for a reservation, one commit serves them all and as many that follow.
type spares struct {
	turns turns

	mu      sync.Mutex
	free    map[string][]Intent // owned by mu
	waiting map[string]int      // requests that wait for their turn; owned by mu
}

// pop takes a spare serial of the issuer.
func (s *spares) pop(issuer string) (Intent, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.free[issuer]
	if len(free) == 0 {
		return Intent{}, false
	}
	last := len(free) - 1
	s.free[issuer] = free[:last]
	return free[last], true
}

// push keeps spare serials of the issuer.
func (s *spares) push(issuer string, intents []Intent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.free == nil {
		s.free = map[string][]Intent{}
	}
	s.free[issuer] = append(s.free[issuer], intents...)
}

// wait counts who waits for the issuer, and returns how many do.
func (s *spares) wait(issuer string, change int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting == nil {
		s.waiting = map[string]int{}
	}
	s.waiting[issuer] += change
	return s.waiting[issuer]
}

// drain takes all that nobody used.
func (s *spares) drain() (serials []Serial) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, free := range s.free {
		for _, in := range free {
			serials = append(serials, in.Serial)
		}
	}
	s.free = nil
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

// newIntents makes the intent of a request, and spare ones that say only what is known of them: who signs, and until when
// at most what they are for is valid.
func (a *Authority) newIntents(ap application, d *policy.Decision, spare int) ([]Intent, error) {
	intents := make([]Intent, 1+spare)
	for i := range intents {
		serial, err := NewSerial(a.cfg.Random)
		if err != nil {
			return nil, err
		}
		intents[i] = Intent{Serial: serial, Issuer: ap.issuer, NotAfter: ap.now.Add(a.longest[ap.issuer]), At: ap.now, Shard: a.shardFor(d, serial)}
	}
	intents[0].Profile, intents[0].Party, intents[0].NotAfter = ap.profile.Name(), ap.owner(), d.NotAfter
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
