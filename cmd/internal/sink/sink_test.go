package sink_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/sink"
)

// A memory is a log that grows.
type memory struct {
	mu     sync.Mutex
	leaves [][]byte
}

func (m *memory) grow(t testing.TB, n int) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for range n {
		leaf, err := json.Marshal(audit.Event{Kind: audit.CertificateIssued, Actor: fmt.Sprint(len(m.leaves))})
		must(t, err)
		m.leaves = append(m.leaves, leaf)
	}
}

func (m *memory) Head(context.Context) ([]byte, error) { return nil, nil }

func (m *memory) Hashes(context.Context, []int64) ([]tlog.Hash, error) { return nil, nil }

func (m *memory) Leaves(_ context.Context, from uint64, limit int) ([][]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	rest := m.leaves[min(from, uint64(len(m.leaves))):]
	return slices.Clone(rest[:min(limit, len(rest))]), nil
}

// A target keeps what it got, and the times at which it was down.
type target struct {
	mu    sync.Mutex
	down  error
	got   []uint64
	tries []time.Time
}

func (t *target) Deliver(_ context.Context, events []sink.Event) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tries = append(t.tries, time.Now())
	if t.down != nil {
		return t.down
	}
	for _, event := range events {
		t.got = append(t.got, event.Index)
	}
	return nil
}

func (t *target) set(down error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.down = down
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t testing.TB, log audit.Reader, to sink.Target, position string) *sink.Sink {
	t.Helper()
	s, err := sink.New(sink.Config{Name: "siem", Target: to, Log: log, Position: position})
	must(t, err)
	return s
}

// during runs the sink while do runs.
func during(t testing.TB, s *sink.Sink, do func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	do()
	cancel()
	must(t, <-done)
}

func upTo(n uint64) (all []uint64) {
	for i := range n {
		all = append(all, i)
	}
	return all
}

func TestEveryEventIsDeliveredInOrderAndARestartContinues(t *testing.T) {
	t.Parallel()
	position := filepath.Join(t.TempDir(), "sinks", "siem")
	synctest.Test(t, func(t *testing.T) {
		log, to := &memory{}, &target{}
		log.grow(t, 1203)
		s := open(t, log, to, position)
		during(t, s, func() {
			time.Sleep(time.Second)
			log.grow(t, 7)
			time.Sleep(3 * time.Second)
		})
		log.grow(t, 3)
		again := open(t, log, to, position)
		during(t, again, func() { time.Sleep(time.Second) })
		if !slices.Equal(to.got, upTo(1213)) || again.Health() != (sink.Health{Name: "siem", Delivered: 1213}) {
			t.Errorf("got %d events, %+v, want each of 1213 once, in order", len(to.got), again.Health())
		}
	})
}

func TestASinkThatIsDownIsTriedAgainMoreAndMoreRarely(t *testing.T) {
	t.Parallel()
	position := filepath.Join(t.TempDir(), "siem")
	synctest.Test(t, func(t *testing.T) {
		log, to := &memory{}, &target{}
		log.grow(t, 2)
		to.set(errors.New("connection refused"))
		s := open(t, log, to, position)
		start := time.Now()
		during(t, s, func() {
			time.Sleep(200 * time.Second)
			health := s.Health()
			if health.Delivered != 0 || health.Error != "connection refused" || health.Since == nil || !health.Since.Equal(start) {
				t.Errorf("got %+v, want it down since %s", health, start)
			}
			to.set(nil)
			time.Sleep(time.Minute)
		})
		var waits []time.Duration
		for i := range to.tries[1:] {
			waits = append(waits, to.tries[i+1].Sub(to.tries[i])/time.Second)
		}
		if want := []time.Duration{1, 2, 4, 8, 16, 32, 60, 60, 60}; !slices.Equal(waits, want) {
			t.Errorf("got tries %v apart, want %v seconds", waits, want)
		}
		if !slices.Equal(to.got, upTo(2)) || s.Health() != (sink.Health{Name: "siem", Delivered: 2}) {
			t.Errorf("got %v, %+v, want both events and no error", to.got, s.Health())
		}
	})
}

func TestWhatWasDeliveredWithoutItsPositionComesAgain(t *testing.T) {
	t.Parallel()
	position := filepath.Join(t.TempDir(), "siem")
	must(t, os.Mkdir(position+".new", 0o700)) // in the way of the position
	synctest.Test(t, func(t *testing.T) {
		log, to := &memory{}, &target{}
		log.grow(t, 2)
		s := open(t, log, to, position)
		during(t, s, func() {
			time.Sleep(500 * time.Millisecond)
			if health := s.Health(); health.Delivered != 0 || !strings.Contains(health.Error, "keeping the position") {
				t.Errorf("got %+v, want no position", health)
			}
			must(t, os.Remove(position+".new"))
			time.Sleep(time.Second)
		})
		if want := []uint64{0, 1, 0, 1}; !slices.Equal(to.got, want) || s.Health().Delivered != 2 {
			t.Errorf("got %v, %+v, want %v", to.got, s.Health(), want)
		}
	})
}

func TestALogShorterThanWhatWasDeliveredIsRefused(t *testing.T) {
	t.Parallel()
	position := filepath.Join(t.TempDir(), "siem")
	must(t, os.WriteFile(position, []byte("9\n"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		log, to := &memory{}, &target{}
		log.grow(t, 8)
		s := open(t, log, to, position)
		during(t, s, func() { time.Sleep(time.Minute) })
		if health := s.Health(); !strings.Contains(health.Error, "9 events were delivered and the log has fewer") || len(to.got) > 0 {
			t.Errorf("got %+v and %v delivered, want it refused", health, to.got)
		}
	})
}

func TestNewRefusesAPositionThatIsNone(t *testing.T) {
	t.Parallel()
	position := filepath.Join(t.TempDir(), "siem")
	for _, text := range []string{"", "x", "-1", "1 2"} {
		must(t, os.WriteFile(position, []byte(text), 0o600))
		if s, err := sink.New(sink.Config{Name: "siem", Target: &target{}, Log: &memory{}, Position: position}); err == nil {
			t.Errorf("%q: got %+v, want an error", text, s.Health())
		}
	}
	if s, err := sink.New(sink.Config{Name: "siem"}); err == nil {
		t.Errorf("half a configuration: got %+v, want an error", s)
	}
}
