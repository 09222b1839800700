package ocsp

import (
	"context"
	"sync"
	"time"
)

// maxSlots bounds how many certificates have answers kept.
const maxSlots = 1 << 17

// A slotKey is one certificate.
type slotKey struct {
	issuer int
	serial string
}

// A slot holds the answers about one certificate, by the CertID that was
// asked (its hash, and how it was encoded). A revocation throws the slot
// away: a flight that began in it can then neither be joined nor stored.
type slot struct {
	answers map[string]answer
	flights map[string]*flight
}

// A flight is an answer being made.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

// A cache keeps signed answers and has each made once.
type cache struct {
	mu    *sync.Mutex
	slots map[slotKey]*slot // guarded by mu
}

func newCache() cache { return cache{mu: new(sync.Mutex), slots: map[slotKey]*slot{}} }

func (c cache) drop(key slotKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.slots, key)
}

// get returns the kept answer while half of its life is left, joins the flight
// that is making one, or makes one.
func (c cache) get(ctx context.Context, key slotKey, id string, now time.Time, fresh func() (answer, error)) (answer, error) {
	c.mu.Lock()
	s := c.slots[key]
	if s == nil {
		c.makeRoom()
		s = &slot{answers: map[string]answer{}, flights: map[string]*flight{}}
		c.slots[key] = s
	}
	if kept, ok := s.answers[id]; ok && now.Before(kept.thisUpdate.Add(kept.nextUpdate.Sub(kept.thisUpdate)/2)) {
		c.mu.Unlock()
		return kept, nil
	}
	if f, ok := s.flights[id]; ok {
		c.mu.Unlock()
		select {
		case <-f.done:
			return f.answer, f.err
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	}
	f := &flight{done: make(chan struct{})}
	s.flights[id] = f
	c.mu.Unlock()

	f.answer, f.err = fresh()
	c.mu.Lock()
	delete(s.flights, id)
	if f.err == nil && c.slots[key] == s && len(s.answers) < 8 {
		s.answers[id] = f.answer
	}
	c.mu.Unlock()
	close(f.done)
	return f.answer, f.err
}

// makeRoom forgets some certificate when there are too many.
func (c cache) makeRoom() {
	if len(c.slots) < maxSlots {
		return
	}
	for key := range c.slots {
		delete(c.slots, key)
		return
	}
}
