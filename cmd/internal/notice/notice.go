package notice

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

const (
	scanEvery  = time.Hour
	sendEvery  = 5 * time.Second
	sendTime   = 30 * time.Second // for one message
	grace      = 3 * time.Second  // for one that is being sent when the server ends
	maxItems   = 500              // certificates in one message
	forgotten  = 5000             // messages and notes at once
	keptFor    = 30 * 24 * time.Hour
	firstPause = time.Minute
	maxPause   = time.Hour
)

// A Store is what a [Notifier] needs of a ca.Store.
type Store interface {
	ca.Outbox
	ca.Inventory
	ca.Approvals
}

// Config says what is told to whom.
type Config struct {
	Store      Store
	Thresholds []time.Duration   // before the end of a certificate; none tells of requests alone
	Targets    map[string]Target // by name: mail, webhook
	Now        func() time.Time  // nil for time.Now
	Logger     *slog.Logger      // nil for none
}

// A Notifier tells people of certificates that end soon, and of requests that wait for approvers.
type Notifier struct {
	cfg  Config
	mu   sync.Mutex // held while messages are sent
	told uint64     // guarded by mu: number of the last request that was told of
}

// New checks the configuration.
func New(cfg Config) (*Notifier, error) {
	if cfg.Store == nil || len(cfg.Targets) == 0 {
		return nil, errors.New("new notifier: want Store and Targets")
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

// Run looks and sends until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
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

// ask puts a message about each request that waits for approvers into the outbox. told is up to which number that was done: it
// saves looks, and the outbox knows what was told.
func (n *Notifier) ask(ctx context.Context) error {
	now, told := n.cfg.Now().UTC(), n.told
	for r, err := range n.cfg.Store.ApprovalRequests(ctx, ca.RequestFilter{State: ca.RequestPending, After: told}) {
		if err != nil {
			return err
		}
		told = r.Number
		if !now.Before(r.NotAfter) {
			continue
		}
		item := ca.MessageItem{Party: r.Party, Request: r.ID, Asks: r.Kind, NotAfter: r.NotAfter}
		if err := n.tell(ctx, "waits for approval: "+r.ID, []ca.MessageItem{item}, now); err != nil {
			return err
		}
	}
	n.told = told
	return nil
}

// Scan puts messages about certificates that end soon into the outbox.
func (n *Notifier) Scan(ctx context.Context) error {
	now := n.cfg.Now().UTC()
	no, from := false, now
	for _, threshold := range n.cfg.Thresholds { // a certificate is told of under the least that it is within
		until := now.Add(threshold)
		filter := ca.Filter{Revoked: &no, ValidAt: now, ExpiresFrom: from, ExpiresBefore: until, ByExpiry: true}
		if err := n.scan(ctx, threshold, filter); err != nil {
			return err
		}
		from = until
	}
	_, err := n.cfg.Store.ForgetMessages(ctx, now.Add(-keptFor), forgotten)
	return err
}

// scan tells of the certificates of the filter that belong to a party and have no successor.
func (n *Notifier) scan(ctx context.Context, threshold time.Duration, filter ca.Filter) error {
	var items []ca.MessageItem
	for record, err := range n.cfg.Store.Certificates(ctx, filter) {
		if err != nil {
			return err
		}
		if record.Party == "" {
			continue // the CA renews its own
		}
		renewed, err := n.renewed(ctx, record, filter.ValidAt)
		if err != nil {
			return err
		}
		if renewed {
			continue
		}
		items = append(items, ca.MessageItem{Serial: record.Serial, Party: record.Party, Role: record.Role, Profile: record.Profile, NotAfter: record.NotAfter})
		if len(items) == maxItems {
			if err := n.add(ctx, threshold, items, filter.ValidAt); err != nil {
				return err
			}
			items = nil
		}
	}
	if len(items) == 0 {
		return nil
	}
	return n.add(ctx, threshold, items, filter.ValidAt)
}

// renewed says whether a certificate has a successor: one that is valid, of the same party and profile, lasts longer and
// has all its alternative names. A party with two servers has two certificates that both must be renewed.
func (n *Notifier) renewed(ctx context.Context, r ca.Record, now time.Time) (bool, error) {
	no, names := false, ca.AlternativeNames(r.DER)
	filter := ca.Filter{Party: r.Party, Profile: r.Profile, SAN: rarest(names), Revoked: &no, ValidAt: now, ExpiresFrom: r.NotAfter.Add(time.Second)}
	for other, err := range n.cfg.Store.Certificates(ctx, filter) {
		if err != nil {
			return false, err
		}
		has := ca.AlternativeNames(other.DER)
		if !slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(has, name) }) {
			return true, nil
		}
	}
	return false, nil
}

// rarest is the name that fewest certificates share: every one of a party has its URI.
func rarest(names []string) string {
	for _, name := range names {
		if !strings.Contains(name, "://") {
			return name
		}
	}
	if len(names) > 0 {
		return names[0]
	}
	return ""
}

func (n *Notifier) add(ctx context.Context, threshold time.Duration, items []ca.MessageItem, now time.Time) error {
	return n.tell(ctx, "expires within "+policy.Duration(threshold).String(), items, now)
}

// tell puts a message to every target into the outbox, with what none told of before under the topic.
func (n *Notifier) tell(ctx context.Context, topic string, items []ca.MessageItem, now time.Time) error {
	for name := range n.cfg.Targets {
		_, err := n.cfg.Store.AddMessage(ctx, ca.Message{
			Target: name, Topic: topic, Items: items,
			Created: now, State: ca.MessageWaiting, Next: now, Changed: now,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
