package notice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

const (
	scanEvery  = time.Hour
	sendEvery  = 5 * time.Second
	sendTime   = 30 * time.Second // for one message
	maxItems   = 500              // certificates in one message
	keptFor    = 30 * 24 * time.Hour
	giveUp     = 24 * time.Hour
	firstPause = time.Minute
	maxPause   = time.Hour
)

// A Target sends messages. Its errors are a *[RefusedError] for what will never be taken, a *[DoubtError] for what was
// perhaps taken, and any other for what certainly was not.
type Target interface {
	Send(ctx context.Context, m ca.Message) error
	// Repeats says whether a message that was perhaps taken is sent again.
	Repeats() bool
}

// A RefusedError says that the other side will never take a message.
type RefusedError struct{ Err error }

// Error says what the other side said.
func (e *RefusedError) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *RefusedError) Unwrap() error { return e.Err }

// A DoubtError says that the other side may have taken a message.
type DoubtError struct{ Err error }

// Error says what went wrong.
func (e *DoubtError) Error() string { return "perhaps sent: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *DoubtError) Unwrap() error { return e.Err }

// A Store is what a [Notifier] needs of a ca.Store.
type Store interface {
	ca.Outbox
	ca.Inventory
}

// Config says what is told to whom.
type Config struct {
	Store      Store
	Thresholds []time.Duration   // before the end of a certificate
	Targets    map[string]Target // by name: mail, webhook
	Now        func() time.Time  // nil for time.Now
	Logger     *slog.Logger      // nil for none
}

// A Notifier tells people of certificates that end soon.
type Notifier struct {
	cfg  Config
	mu   sync.Mutex // held while messages are sent
	last lastError
}

type lastError struct {
	mu   sync.Mutex
	text string    // guarded by mu
	at   time.Time // guarded by mu
}

// New checks the configuration.
func New(cfg Config) (*Notifier, error) {
	if cfg.Store == nil || len(cfg.Thresholds) == 0 || len(cfg.Targets) == 0 {
		return nil, errors.New("new notifier: want Store, Thresholds and Targets")
	}
	for _, t := range cfg.Thresholds {
		if t <= 0 {
			return nil, fmt.Errorf("new notifier: threshold %v, want more than 0", t)
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Thresholds = slices.Sorted(slices.Values(cfg.Thresholds))
	return &Notifier{cfg: cfg}, nil
}

// Run settles what a crash left open, then looks and sends until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	n.try(ctx, "settle what was being sent", n.Recover)
	scan, send := time.NewTicker(scanEvery), time.NewTicker(sendEvery)
	defer scan.Stop()
	defer send.Stop()
	n.try(ctx, "look for certificates that end soon", n.Scan)
	n.try(ctx, "send notices", n.Send)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-scan.C:
			n.try(ctx, "look for certificates that end soon", n.Scan)
		case <-send.C:
			n.try(ctx, "send notices", n.Send)
		}
	}
}

func (n *Notifier) try(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); err != nil && ctx.Err() == nil {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot work on notices", slog.String("step", what), slog.Any("err", err))
	}
}

// Recover decides about messages that were being sent when the process ended.
func (n *Notifier) Recover(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for m, err := range n.cfg.Store.Messages(ctx) {
		if err != nil {
			return err
		}
		if m.State != ca.MessageSending {
			continue
		}
		doubt := &DoubtError{errors.New("the server ended meanwhile")}
		if err := n.settle(ctx, m, doubt); err != nil {
			return err
		}
	}
	return nil
}

// Scan puts messages about certificates that end soon into the outbox.
func (n *Notifier) Scan(ctx context.Context) error {
	now := n.cfg.Now().UTC()
	no, from := false, now
	for _, threshold := range n.cfg.Thresholds { // a certificate is told of under the least that it is within
		until := now.Add(threshold)
		filter := ca.Filter{Revoked: &no, ValidAt: now, ExpiresFrom: from, ExpiresBefore: until, ByExpiry: true}
		var items []ca.MessageItem
		for record, err := range n.cfg.Store.Certificates(ctx, filter) {
			if err != nil {
				return err
			}
			renewed, err := n.renewed(ctx, record, now)
			if err != nil {
				return err
			}
			if record.Party != "" && !renewed {
				items = append(items, ca.MessageItem{Serial: record.Serial, Party: record.Party, Role: record.Role, Profile: record.Profile, NotAfter: record.NotAfter})
			}
		}
		for part := range slices.Chunk(items, maxItems) {
			if err := n.add(ctx, threshold, part, now); err != nil {
				return err
			}
		}
		from = until
	}
	_, err := n.cfg.Store.ForgetMessages(ctx, now.Add(-keptFor), 10*maxItems)
	return err
}

// renewed says whether the party has another certificate of the profile that lasts longer.
func (n *Notifier) renewed(ctx context.Context, r ca.Record, now time.Time) (bool, error) {
	no := false
	filter := ca.Filter{Party: r.Party, Profile: r.Profile, Revoked: &no, ValidAt: now, ExpiresFrom: r.NotAfter.Add(time.Second), Limit: 1}
	found := false
	for _, err := range n.cfg.Store.Certificates(ctx, filter) {
		if err != nil {
			return false, err
		}
		found = true
	}
	return found, nil
}

func (n *Notifier) add(ctx context.Context, threshold time.Duration, items []ca.MessageItem, now time.Time) error {
	for name := range n.cfg.Targets {
		_, err := n.cfg.Store.AddMessage(ctx, ca.Message{
			Target: name, Topic: "expires within " + policy.Duration(threshold).String(), Items: items,
			Created: now, State: ca.MessageWaiting, Next: now, Changed: now,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Send sends every message that is due.
func (n *Notifier) Send(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	now := n.cfg.Now().UTC()
	var due []ca.Message
	for m, err := range n.cfg.Store.Messages(ctx) {
		if err != nil {
			return err
		}
		if m.State == ca.MessageWaiting && !now.Before(m.Next) && n.cfg.Targets[m.Target] != nil {
			due = append(due, m)
		}
	}
	for _, m := range due {
		m.State, m.Changed = ca.MessageSending, now
		m.Attempts++
		if err := n.cfg.Store.SetMessage(ctx, m); err != nil {
			return err // and not sent: it is not noted that it is
		}
		limited, cancel := context.WithTimeout(ctx, sendTime)
		err := n.cfg.Targets[m.Target].Send(limited, m)
		cancel()
		if err := n.settle(context.WithoutCancel(ctx), m, err); err != nil {
			return err
		}
	}
	return nil
}

// settle notes what came of sending a message.
func (n *Notifier) settle(ctx context.Context, m ca.Message, err error) error {
	now := n.cfg.Now().UTC()
	target := n.cfg.Targets[m.Target]
	m.Changed, m.Error = now, ""
	if err != nil {
		m.Error = err.Error()
		n.last.set(m.Target+": "+m.Error, now)
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "notice not sent", slog.Uint64("message", m.ID), slog.String("target", m.Target), slog.Any("err", err))
	}
	var refused *RefusedError
	var doubt *DoubtError
	switch {
	case err == nil:
		m.State = ca.MessageSent
	case errors.As(err, &refused):
		m.State = ca.MessageFailed
	case errors.As(err, &doubt) && (target == nil || !target.Repeats()):
		m.State = ca.MessageDoubtful
	case now.Sub(m.Created) > giveUp:
		m.State = ca.MessageFailed
	default:
		m.State = ca.MessageWaiting
		m.Next = now.Add(min(maxPause, firstPause<<min(max(0, m.Attempts-1), 10)))
	}
	return n.cfg.Store.SetMessage(ctx, m)
}

func (l *lastError) set(text string, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text, l.at = text, at
}

// A Health says how the messages are.
type Health struct {
	Waiting   int       `json:"waiting"`
	Sent      int       `json:"sent"`     // in the last 30 days, as the others
	Failed    int       `json:"failed"`   // will never be taken, or not within a day
	Doubtful  int       `json:"doubtful"` // perhaps sent
	Oldest    time.Time `json:"oldest,omitzero"`
	LastError string    `json:"last_error,omitempty"`
	LastAt    time.Time `json:"last_error_at,omitzero"`
}

// Health counts the messages in the outbox.
func (n *Notifier) Health(ctx context.Context) (h Health, err error) {
	for m, err := range n.cfg.Store.Messages(ctx) {
		if err != nil {
			return h, err
		}
		switch m.State {
		case ca.MessageSent:
			h.Sent++
		case ca.MessageFailed:
			h.Failed++
		case ca.MessageDoubtful:
			h.Doubtful++
		default:
			h.Waiting++
			if h.Oldest.IsZero() || m.Created.Before(h.Oldest) {
				h.Oldest = m.Created
			}
		}
	}
	n.last.mu.Lock()
	defer n.last.mu.Unlock()
	h.LastError, h.LastAt = n.last.text, n.last.at
	return h, nil
}

// byEnd sorts the certificates of a message, the first to end first.
func byEnd(items []ca.MessageItem) []ca.MessageItem {
	return slices.SortedFunc(slices.Values(items), func(x, y ca.MessageItem) int {
		return cmp.Or(x.NotAfter.Compare(y.NotAfter), cmp.Compare(x.Party, y.Party), slices.Compare(x.Serial[:], y.Serial[:]))
	})
}
