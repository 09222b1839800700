package notice

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payca/payca/ca"
)

// A Target sends messages. Its errors are a *[RefusedError] for what will never be taken, a *[DoubtError] for what was
// perhaps taken, a *[PartError] for what not all receivers got, and any other for what certainly was not taken.
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

// A PartError says that a message was sent, but not to all.
type PartError struct{ Err error }

// Error says who did not get it and why.
func (e *PartError) Error() string { return "not sent to all: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PartError) Unwrap() error { return e.Err }

// orphans decides about messages that were being sent when the process ended or the store failed: nobody else sends
// while mu is held.
func (n *Notifier) orphans(ctx context.Context) error {
	open, err := n.messages(ctx, ca.MessageSending)
	if err != nil {
		return err
	}
	for _, m := range open {
		if err := n.settle(ctx, m, &DoubtError{errors.New("the server ended or its store failed meanwhile")}); err != nil {
			return err
		}
	}
	return nil
}

func (n *Notifier) messages(ctx context.Context, state string) (list []ca.Message, err error) {
	for m, err := range n.cfg.Store.Messages(ctx, state) {
		if err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// Send sends every message that is due, to each target by itself: one that is down holds up no other.
func (n *Notifier) Send(ctx context.Context) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if err := n.orphans(ctx); err != nil {
		return err
	}
	if err := n.ask(ctx); err != nil {
		return err
	}
	waiting, err := n.messages(ctx, ca.MessageWaiting)
	if err != nil {
		return err
	}
	now := n.cfg.Now().UTC()
	due := map[string][]ca.Message{}
	for _, m := range waiting {
		if !now.Before(m.Next) {
			due[m.Target] = append(due[m.Target], m)
		}
	}
	var group errgroup.Group
	for name, messages := range due {
		group.Go(func() error { return n.sendTo(ctx, n.cfg.Targets[name], messages) })
	}
	return group.Wait()
}

// sendTo sends messages to one target, those first that were tried least, until one finds it down. A target that the
// configuration has no more is nil; its messages wait in case it comes back.
func (n *Notifier) sendTo(ctx context.Context, target Target, messages []ca.Message) error {
	slices.SortStableFunc(messages, func(x, y ca.Message) int { return x.Attempts - y.Attempts })
	for _, m := range messages {
		if ctx.Err() != nil {
			return nil
		}
		m, err := n.review(ctx, m)
		if err != nil {
			return err
		}
		if m.Settled() || target == nil {
			continue
		}
		m.State, m.Changed = ca.MessageSending, n.cfg.Now().UTC()
		m.Attempts++
		if err := n.cfg.Store.SetMessage(ctx, m); err != nil {
			return err // and not sent: it is not noted that it is
		}
		sent := deliver(ctx, target, m)
		if err := n.settle(context.WithoutCancel(ctx), m, sent); err != nil {
			return err
		}
		if sent != nil && !settles(sent) {
			return nil
		}
	}
	return nil
}

// deliver lets an attempt that was begun end, for a while, when ctx does: an answer that nobody waits for leaves a doubt.
func deliver(ctx context.Context, target Target, m ca.Message) error {
	limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), sendTime)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	return target.Send(limited, m)
}

// settles says whether an error is of the message alone.
func settles(err error) bool {
	_, refused := errors.AsType[*RefusedError](err)
	_, part := errors.AsType[*PartError](err)
	return refused || part
}

// review takes out of a message what need not be told any more: certificates that were renewed or revoked since, or
// have ended. A message that was perhaps taken stays as it is, for its receiver to know it again, until all have ended.
func (n *Notifier) review(ctx context.Context, m ca.Message) (ca.Message, error) {
	now, ended := n.cfg.Now().UTC(), 0
	var items []ca.MessageItem
	for _, item := range m.Items {
		if item.NotAfter.Before(now) {
			ended++
			continue
		}
		needless, err := n.needless(ctx, item, now)
		if err != nil {
			return m, err
		}
		if !needless {
			items = append(items, item)
		}
	}
	switch {
	case len(items) == len(m.Items) || m.Doubt && ended < len(m.Items):
		return m, nil
	case len(items) > 0:
		m.Items = items // kept with the next state
		return m, nil
	}
	m.State, m.Changed = ca.MessageNeedless, now
	if ended > 0 {
		m.State = ca.MessageFailed
		if m.Error == "" {
			m.Error = "not sent before it ended"
		}
	}
	return m, n.cfg.Store.SetMessage(ctx, m)
}

func (n *Notifier) needless(ctx context.Context, item ca.MessageItem, now time.Time) (bool, error) {
	if item.Request != "" {
		r, err := n.cfg.Store.ApprovalRequest(ctx, item.Request)
		return err == nil && r.State != ca.RequestPending, err
	}
	record, err := n.cfg.Store.BySerial(ctx, item.Serial)
	if err != nil || record.Revocation != nil {
		return err == nil, err
	}
	return n.renewed(ctx, record, now)
}

// settle notes what came of sending a message.
func (n *Notifier) settle(ctx context.Context, m ca.Message, err error) error {
	now := n.cfg.Now().UTC()
	target := n.cfg.Targets[m.Target]
	m.Changed, m.Error = now, ""
	if err != nil {
		m.Error = err.Error()
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "notice not sent", slog.Uint64("message", m.ID), slog.String("target", m.Target), slog.Any("err", err))
	}
	_, refused := errors.AsType[*RefusedError](err)
	_, doubt := errors.AsType[*DoubtError](err)
	_, part := errors.AsType[*PartError](err)
	switch {
	case err == nil || part:
		m.State = ca.MessageSent
	case refused:
		m.State = ca.MessageFailed
	case doubt && (target == nil || !target.Repeats()):
		m.State = ca.MessageDoubtful
	default:
		m.State, m.Doubt = ca.MessageWaiting, m.Doubt || doubt
		m.Next = now.Add(min(maxPause, firstPause<<min(max(0, m.Attempts-1), 10)))
	}
	return n.cfg.Store.SetMessage(ctx, m)
}
