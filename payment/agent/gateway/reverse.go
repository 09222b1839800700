package gateway

import (
	"context"
	"errors"
	"strconv"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// void: POST /payments/{id}/void, key ID/void/1: the merchant gives up a payment of which nothing was captured.
func (g *Gateway) void(ctx context.Context, c *agent.Call) (any, error) {
	p, err := g.own(c)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(p.ID, "void", 1); err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var v payment.Void
	_, merchant, err := c.Open(ctx, msg, payment.KindVoid, &v)
	switch {
	case err != nil:
		return nil, err
	case merchant.String() != p.Merchant || v.ID != p.ID:
		return nil, agent.ErrNotFound
	case v.Ref != p.AuthRes:
		return nil, payment.Refuse(payment.ApprovalMismatch, "void.ref", v.Ref, p.AuthRes+", the approval of this payment")
	}
	if p.State != payment.Reversing && p.State != payment.Released {
		err = g.change(ctx, p.ID, func(tx *agent.Tx, p *record) error {
			p.Reason = v.Reason
			return errors.Join(
				p.Move(payment.Reversing, g.Now()), tx.Keep(&c.Exchange), tx.Begin(c),
				tx.Schedule(agent.Job{Name: "reverse", ID: p.ID, At: g.Now().Add(2 * g.Timeout()), AtStart: true}),
			)
		})
		if err != nil {
			return nil, err
		}
	}
	reply, err := g.reverse(ctx, p.ID)
	if err != nil {
		return nil, agent.Unusable(err, p.Acquirer) // it goes on, whatever the banks said
	}
	return reply, g.FinishLater(c, reply)
}

// reverse has the banks release what they may hold, and tells the merchant if it waits for a result. It can be
// repeated.
func (g *Gateway) reverse(ctx context.Context, id string) (agent.Message, error) {
	p, err := g.read(id)
	if err != nil {
		return nil, err
	}
	if p.State == payment.Released {
		return g.message(id, map[payment.Kind]string{payment.KindVoided: p.Voided})
	}
	if p.State != payment.Reversing {
		return nil, nil
	}
	if p.Void == "" {
		if p, err = g.signVoid(ctx, p); err != nil {
			return nil, err
		}
	}
	msg, err := g.message(id, map[payment.Kind]string{payment.KindVoid: p.Void})
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := g.Send(ctx, p.Acquirer, "/voids", agent.Key(id, "void", 1), msg, &reply); err != nil {
		return nil, err
	}
	x := g.Exchange(p.Acquirer)
	var voided payment.Voided
	object, bank, err := x.Open(ctx, reply, payment.KindVoided, &voided)
	if err != nil {
		return nil, agent.Unusable(err, p.Acquirer)
	}
	if bank.String() != p.Issuer || voided.Ref != p.Void {
		return nil, agent.Unusable(payment.Refuse(payment.ApprovalMismatch, "voided.ref", voided.Ref+" by "+bank.String(), p.Void+" by "+p.Issuer), p.Acquirer)
	}
	err = g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		if p.State != payment.Reversing {
			return nil
		}
		p.Voided = object.Digest()
		return errors.Join(
			p.Move(payment.Released, g.Now()), tx.Keep(x), tx.Cancel("reverse", id), tx.Cancel("hold", id),
			g.result(ctx, tx, p, payment.Failed),
		)
	})
	if err != nil {
		return nil, err
	}
	if err := g.sendResult(ctx, id); err != nil {
		g.later(ctx, id, err)
	}
	return reply, nil
}

// signVoid signs the gateway's own void, once.
func (g *Gateway) signVoid(ctx context.Context, p *record) (*record, error) {
	ref := p.AuthRes
	if ref == "" {
		ref = p.Auth
	}
	x := g.Exchange(p.Acquirer)
	reason := p.Reason
	if reason == "" {
		reason = "reversed"
	}
	object, err := x.Sign(&payment.Void{Head: payment.Head{ID: p.ID, Audience: []string{p.Acquirer, p.Issuer}, Ref: ref}, Reason: reason}, objectLife)
	if err != nil {
		return nil, err
	}
	var now *record
	err = g.change(ctx, p.ID, func(tx *agent.Tx, p *record) error {
		if now = p; p.Void != "" {
			return nil
		}
		p.Void = object.Digest()
		return tx.Keep(x)
	})
	return now, err
}

// holdExpired ends a payment whose hold is over: reversed if nothing was captured, else closed.
func (g *Gateway) holdExpired(ctx context.Context, id string) error {
	reverse := false
	err := g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		switch {
		case p.State == payment.Opened && p.Captured().Minor > 0:
			if last := p.Parts[len(p.Parts)-1]; last.State == payment.CaptureRequested {
				return payment.Refuse(payment.BadState, "capture "+strconv.FormatInt(last.Seq, 10), last.State, "its end first")
			}
			return p.Move(payment.Closed, g.Now())
		case p.State == payment.Opened || p.State == payment.Authorized:
			reverse = true
			p.Reason = "hold expired"
			return errors.Join(p.Move(payment.Reversing, g.Now()), tx.Schedule(agent.Job{Name: "reverse", ID: id, At: g.Now(), AtStart: true}))
		}
		return nil
	})
	if err != nil || !reverse {
		return err
	}
	_, err = g.reverse(ctx, id)
	return err
}
