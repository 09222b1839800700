package sink

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/payca/payca/ca/audit"
)

// The times and sizes of delivery.
const (
	batch      = 500              // how many events one delivery carries
	timeout    = 10 * time.Second // of one delivery
	leastWait  = time.Second      // after a first failure
	longWait   = time.Minute      // after many
	pollPeriod = time.Second      // between looks for new events
)

// An Event is one line of a delivery.
type Event struct {
	Index uint64          `json:"index"` // in the audit log
	Event json.RawMessage `json:"event"` // the leaf
}

// A Target takes events. Deliver returns nil only when the other side has them
// all; after an error they all come again.
type Target interface {
	Deliver(ctx context.Context, events []Event) error
}

// Config says what to deliver, and where. All but Logger and Now is required.
type Config struct {
	Name     string
	Target   Target
	Log      audit.Reader
	Position string // path of the file that keeps the position
	Logger   *slog.Logger
	Now      func() time.Time
}

// A Health is the state of one sink.
type Health struct {
	Name      string     `json:"name"`
	Delivered uint64     `json:"delivered"`       // events before this index were delivered
	Error     string     `json:"error,omitempty"` // why the last try came to nothing
	Since     *time.Time `json:"since,omitempty"` // of the first such try
}

// A Sink delivers one log to one target.
type Sink struct {
	cfg Config

	mu     sync.Mutex
	health Health // guarded by mu
}

// New reads the position of the sink; it starts with the first event if there is none.
func New(cfg Config) (*Sink, error) {
	if cfg.Name == "" || cfg.Target == nil || cfg.Log == nil || cfg.Position == "" {
		return nil, errors.New("audit sink: want Name, Target, Log and Position")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	position, err := readPosition(cfg.Position)
	if err != nil {
		return nil, fmt.Errorf("audit sink %s: %w", cfg.Name, err)
	}
	return &Sink{cfg: cfg, health: Health{Name: cfg.Name, Delivered: position}}, nil
}

// Health returns the state of the sink.
func (s *Sink) Health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.health
}

// Run delivers until ctx ends. A failure is logged once, and so is its end.
func (s *Sink) Run(ctx context.Context) error {
	wait := leastWait
	for ctx.Err() == nil {
		n, err := s.step(ctx)
		pause := pollPeriod
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			s.failed(ctx, err)
			pause, wait = wait, min(2*wait, longWait)
		case n == batch:
			s.recovered(ctx)
			wait = leastWait
			continue
		default:
			if n > 0 {
				s.recovered(ctx)
			}
			wait = leastWait
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
		case <-timer.C:
		}
	}
	return nil
}

// step delivers the next events and returns how many there were.
func (s *Sink) step(ctx context.Context) (int, error) {
	from := s.Health().Delivered
	if err := s.wantLog(ctx, from); err != nil {
		return 0, err
	}
	leaves, err := s.cfg.Log.Leaves(ctx, from, batch)
	if err != nil || len(leaves) == 0 {
		return 0, err
	}
	events := make([]Event, len(leaves))
	for i, leaf := range leaves {
		events[i] = Event{Index: from + uint64(i), Event: leaf}
		if !json.Valid(leaf) {
			return 0, &audit.Corruption{Index: events[i].Index, What: "is not JSON"}
		}
	}
	trial, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := s.cfg.Target.Deliver(trial, events); err != nil {
		return 0, err
	}
	next := from + uint64(len(leaves))
	if err := writePosition(s.cfg.Position, next); err != nil {
		return 0, fmt.Errorf("keeping the position: %w", err)
	}
	s.mu.Lock()
	s.health.Delivered = next
	s.mu.Unlock()
	return len(leaves), nil
}

// wantLog refuses a log that is shorter than what was delivered of it.
func (s *Sink) wantLog(ctx context.Context, from uint64) error {
	if from == 0 {
		return nil
	}
	leaves, err := s.cfg.Log.Leaves(ctx, from-1, 1)
	if err == nil && len(leaves) == 0 {
		err = fmt.Errorf("%d events were delivered and the log has fewer: it was put back or cut, want the file %s removed once that is understood", from, s.cfg.Position)
	}
	return err
}

func (s *Sink) failed(ctx context.Context, err error) {
	s.mu.Lock()
	first := s.health.Error == ""
	if first {
		now := s.cfg.Now().UTC()
		s.health.Since = &now
	}
	s.health.Error = err.Error()
	s.mu.Unlock()
	if first {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot deliver audit events, trying again", slog.String("sink", s.cfg.Name), slog.Any("err", err))
	}
}

func (s *Sink) recovered(ctx context.Context) {
	s.mu.Lock()
	was := s.health.Error != ""
	s.health.Error, s.health.Since = "", nil
	s.mu.Unlock()
	if was {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "delivering audit events again", slog.String("sink", s.cfg.Name))
	}
}

// lines is the events as JSON lines.
func lines(events []Event) ([]byte, error) {
	var out []byte
	for _, event := range events {
		raw, err := json.Marshal(event)
		if err != nil {
			return nil, err
		}
		out = append(append(out, raw...), '\n')
	}
	return out, nil
}

func readPosition(path string) (uint64, error) {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	position, err := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 62)
	if err != nil {
		return 0, fmt.Errorf("%s holds %.40q, want the index of an event", path, raw)
	}
	return position, nil
}

// writePosition replaces the position, wholly or not at all.
func writePosition(path string, position uint64) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, position)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
