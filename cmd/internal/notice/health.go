package notice

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/payca/payca/ca"
)

// A Health says how the messages are.
type Health struct {
	Waiting  int       `json:"waiting"`
	Sent     int       `json:"sent"`     // in the last 30 days, as the others
	Failed   int       `json:"failed"`   // refused for good, or not taken before the certificates ended
	Doubtful int       `json:"doubtful"` // perhaps sent, and not sent again
	Needless int       `json:"needless"` // renewed or revoked before anybody was told
	Stuck    []Stuck   `json:"stuck,omitempty"`
	Last     *LastLost `json:"last_lost,omitempty"`
}

// A Stuck target did not take the messages that it was sent.
type Stuck struct {
	Target   string    `json:"target"`
	Since    time.Time `json:"since"`    // when the oldest of them was made
	Messages int       `json:"messages"` // that were tried and wait
	Next     time.Time `json:"next"`     // when one is tried again
	Error    string    `json:"error"`    // of the last attempt
}

// A LastLost is the newest message that failed or is in doubt.
type LastLost struct {
	Message uint64    `json:"message"`
	Target  string    `json:"target"`
	State   string    `json:"state"`
	At      time.Time `json:"at"`
	Error   string    `json:"error"`
}

// Health counts the messages in the outbox. It reads only those that are not sent.
func (n *Notifier) Health(ctx context.Context) (Health, error) {
	counts, err := n.cfg.Store.CountMessages(ctx)
	if err != nil {
		return Health{}, err
	}
	h := Health{
		Waiting: counts[ca.MessageWaiting] + counts[ca.MessageSending], Sent: counts[ca.MessageSent],
		Failed: counts[ca.MessageFailed], Doubtful: counts[ca.MessageDoubtful], Needless: counts[ca.MessageNeedless],
	}
	if h.Stuck, err = n.stuck(ctx); err != nil {
		return Health{}, err
	}
	for _, state := range []string{ca.MessageFailed, ca.MessageDoubtful} {
		for m, err := range n.cfg.Store.Messages(ctx, state) {
			if err != nil {
				return Health{}, err
			}
			if h.Last == nil || h.Last.At.Before(m.Changed) {
				h.Last = &LastLost{m.ID, m.Target, m.State, m.Changed, m.Error}
			}
		}
	}
	return h, nil
}

// stuck lists the targets with messages that were tried and wait.
func (n *Notifier) stuck(ctx context.Context) (list []Stuck, err error) {
	tried := map[string]time.Time{} // when the attempt was of which the error is
	for m, err := range n.cfg.Store.Messages(ctx, ca.MessageWaiting) {
		if err != nil {
			return nil, err
		}
		gone := n.cfg.Targets[m.Target] == nil
		if m.Attempts == 0 && !gone {
			continue
		}
		i := slices.IndexFunc(list, func(s Stuck) bool { return s.Target == m.Target })
		if i < 0 {
			i, list = len(list), append(list, Stuck{Target: m.Target, Since: m.Created, Next: m.Next})
		}
		s := &list[i]
		s.Messages++
		if m.Created.Before(s.Since) {
			s.Since = m.Created
		}
		if m.Next.Before(s.Next) {
			s.Next = m.Next
		}
		if gone {
			s.Error = "the configuration has no such target any more"
		} else if !m.Changed.Before(tried[m.Target]) {
			s.Error, tried[m.Target] = m.Error, m.Changed
		}
	}
	slices.SortFunc(list, func(x, y Stuck) int { return cmp.Compare(x.Target, y.Target) })
	return list, nil
}

// byEnd sorts the certificates of a message, the first to end first.
func byEnd(items []ca.MessageItem) []ca.MessageItem {
	return slices.SortedFunc(slices.Values(items), func(x, y ca.MessageItem) int {
		return cmp.Or(x.NotAfter.Compare(y.NotAfter), cmp.Compare(x.Party, y.Party), slices.Compare(x.Serial[:], y.Serial[:]))
	})
}
