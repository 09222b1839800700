package ca

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// checkLimits counts what the party holds, and what it was issued of late, as far as the profile limits it: through
// the index of parties, at most as many records as the limit.
func (a *Authority) checkLimits(ctx context.Context, ap application) (policy.Violations, error) {
	limits := ap.profile.Limits()
	valid, issued := 0, 0
	if limits.Valid > 0 {
		good := false
		held := Filter{Party: ap.party.ID, Profile: ap.profile.Name(), Revoked: &good, ExpiresFrom: ap.now, Limit: limits.Valid + 1}
		for rec, err := range a.cfg.Store.Certificates(ctx, held) {
			if err != nil {
				return nil, fmt.Errorf("counting the certificates of %s: %w", ap.party.ID, err)
			}
			if ap.renews == nil || rec.Serial != *ap.renews {
				valid++
			}
		}
	}
	if limits.Issued > 0 {
		since, err := audit.IndexSince(ctx, a.cfg.Store.Log(), ap.now.Add(-time.Duration(limits.Per)).Add(time.Second))
		if err != nil {
			return nil, err
		}
		late := Filter{Party: ap.party.ID, Profile: ap.profile.Name(), Limit: limits.Issued}
		if since > 0 {
			late.From, late.After = true, since-1
		}
		for _, err := range a.cfg.Store.Certificates(ctx, late) {
			if err != nil {
				return nil, fmt.Errorf("counting what %s was issued: %w", ap.party.ID, err)
			}
			issued++
		}
	}
	return limits.Exceeded(valid, issued), nil
}

// turn waits until no other request of the same party under the same profile is between count and commit, if the profile has
// limits, so that two at once cannot both be the last one. leave lets the next one in.
func (a *Authority) turn(ctx context.Context, ap application) (leave func(), err error) {
	if ap.profile.Limits() == (policy.Limits{}) {
		return func() {}, nil
	}
	return a.turns.take(ctx, ap.party.ID+"\x00"+ap.profile.Name())
}

// turns lets one at a time through for each name. The zero value is ready.
type turns struct {
	mu    sync.Mutex
	lines map[string]*line // of the names that somebody holds or waits for; owned by mu
}

// A line is who holds a name and who waits for it.
type line struct {
	held  chan struct{} // has room while nobody holds the name
	count int           // holder and waiting; owned by the mutex of turns
}

func (t *turns) take(ctx context.Context, name string) (leave func(), err error) {
	t.mu.Lock()
	if t.lines == nil {
		t.lines = map[string]*line{}
	}
	l := t.lines[name]
	if l == nil {
		l = &line{held: make(chan struct{}, 1)}
		t.lines[name] = l
	}
	l.count++
	t.mu.Unlock()
	gone := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if l.count--; l.count == 0 {
			delete(t.lines, name)
		}
	}
	select {
	case l.held <- struct{}{}:
		return func() { <-l.held; gone() }, nil
	case <-ctx.Done():
		gone()
		return nil, ctx.Err()
	}
}
