package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy/weakkeys"
)

const (
	recheckFirst  = time.Hour      // after the first start of a network, whose inventory was never checked
	recheckSettle = time.Minute    // after every start, so that who waits is answered first
	recheckLate   = 25 * time.Hour // how long after its time a re-check that was not begun is overdue
)

// A rechecker walks over the inventory once a night, and when somebody asks for it.
type rechecker struct {
	authority *ca.Authority
	store     ca.Store
	cfg       config.Recheck
	now       func() time.Time
	logger    *slog.Logger
	began     time.Time
	asked     chan string // on whose word

	mu      sync.Mutex
	running bool
	err     error // of the last walk
}

func newRechecker(n *Network) *rechecker {
	return &rechecker{
		authority: n.authority, store: n.store, cfg: n.config.Recheck, now: n.now, logger: n.logger, began: n.now(), asked: make(chan string, 1),
	}
}

// run makes the walks, until ctx ends. A walk that was cut off goes on at once.
func (c *rechecker) run(ctx context.Context) error {
	for {
		wait, err := c.wait(ctx)
		if err != nil {
			c.logger.LogAttrs(ctx, slog.LevelError, "cannot read when the inventory was re-checked", slog.Any("err", err))
		}
		timer := time.NewTimer(wait)
		by := ""
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case by = <-c.asked:
		case <-timer.C:
			if due, err := c.wait(ctx); err != nil || due > 0 {
				continue // the clock of the CA says that it is not the time yet
			}
		}
		timer.Stop()
		c.walk(ctx, by)
	}
}

// wait is how long until the next walk, at most a minute: clocks are set.
func (c *rechecker) wait(ctx context.Context) (time.Duration, error) {
	last, err := c.store.Recheck(ctx)
	if err != nil {
		return time.Minute, err
	}
	return min(max(0, c.due(last).Sub(c.now())), time.Minute), nil
}

// due is when the next walk is due. One that was cut off goes on after the start, one that failed waits for the next night.
func (c *rechecker) due(last ca.Recheck) time.Time {
	due := c.cfg.Due(last.Started)
	switch settled := c.began.Add(recheckSettle); {
	case last.Started.IsZero():
		return c.began.Add(recheckFirst)
	case last.Finished.IsZero() && c.failure() == nil, due.Before(settled):
		return settled
	}
	return due
}

func (c *rechecker) failure() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// walk makes one walk, and remembers how it ended.
func (c *rechecker) walk(ctx context.Context, by string) {
	c.set(true, nil)
	result, err := c.authority.Recheck(ctx, ca.RecheckConfig{By: by, Pause: c.pause})
	if ctx.Err() != nil {
		err = nil // it goes on at the next start
	}
	c.set(false, err)
	switch {
	case err != nil:
		c.logger.LogAttrs(ctx, slog.LevelError, "cannot re-check the inventory", slog.Any("err", err))
	case result.Found > 0:
		c.logger.LogAttrs(ctx, slog.LevelWarn, "re-checked the inventory", slog.Int("checked", result.Checked), slog.Int("found", result.Found))
	default:
		c.logger.LogAttrs(ctx, slog.LevelInfo, "re-checked the inventory", slog.Int("checked", result.Checked), slog.Int("found", result.Found))
	}
}

func (c *rechecker) set(running bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.err = running, err
}

// pause keeps the load of a walk at its share of one processor.
func (c *rechecker) pause(ctx context.Context, worked time.Duration) error {
	timer := time.NewTimer(worked * time.Duration(100-c.cfg.Load) / time.Duration(c.cfg.Load))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// ask has a walk made now, unless one is under way.
func (c *rechecker) ask(by string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		return
	}
	select {
	case c.asked <- by:
		c.running, c.err = true, nil
	default: // somebody else has asked
	}
}

// health is how the re-checks are, with the alarms that they raise.
func (c *rechecker) health(ctx context.Context) (api.RecheckHealth, []status.Alarm, error) {
	last, err := c.store.Recheck(ctx)
	if err != nil {
		return api.RecheckHealth{}, nil, err
	}
	h := api.RecheckHealth{Recheck: last, Due: c.due(last)}
	failed := c.failure()
	c.mu.Lock()
	h.Running = c.running
	c.mu.Unlock()
	var alarms []status.Alarm
	raise := func(name, format string, args ...any) {
		alarms = append(alarms, status.Alarm{Name: name, About: "inventory", Detail: fmt.Sprintf(format, args...)})
	}
	if failed != nil {
		h.Error = failed.Error()
		raise("recheck-failed", "the last re-check ended with an error: %v", failed)
	}
	if late := c.now().Sub(h.Due); late > recheckLate && !h.Running {
		raise("recheck-overdue", "a re-check was due at %s, want one every day", h.Due.Format(time.RFC3339))
	}
	if last.Found > 0 {
		raise("recheck-findings", "%d certificates with findings, want none; payca cert findings lists them", last.Found)
	}
	return h, alarms, nil
}

// weakKeys reads the configured lists.
func weakKeys(dir string, paths []string) (ca.KeyChecker, error) {
	var lists []*weakkeys.List
	for _, path := range paths {
		f, err := os.Open(inDir(dir, path))
		if err != nil {
			return nil, fmt.Errorf("list of weak keys: %w", err)
		}
		l, err := weakkeys.Read(f, path)
		if err = errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("list of weak keys: %w", err)
		}
		lists = append(lists, l)
	}
	return weakkeys.Finder(lists...), nil
}
