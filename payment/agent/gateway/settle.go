package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// later logs what a job will try again.
func (g *Gateway) later(ctx context.Context, id string, err error) {
	g.Logger().LogAttrs(ctx, slog.LevelWarn, "put off", slog.String("payment_id", id), slog.Any("err", err))
}

// open lets the merchant deliver and capture.
func (g *Gateway) open(ctx context.Context, tx *agent.Tx, p *record) error {
	if err := p.Move(payment.Opened, g.Now()); err != nil {
		return err
	}
	return g.result(ctx, tx, p, payment.Deliver)
}

// fail tells the merchant that nothing comes of it.
func (g *Gateway) fail(ctx context.Context, tx *agent.Tx, p *record, reason string) error {
	p.Reason = reason
	return g.result(ctx, tx, p, payment.Failed)
}

// result signs what the merchant is told, once.
func (g *Gateway) result(_ context.Context, tx *agent.Tx, p *record, what string) error {
	if p.Result != "" {
		return nil
	}
	r := &payment.Result{
		Head:   payment.Head{ID: p.ID, Audience: []string{p.Merchant}, Amount: &p.Amount, Ref: p.Request},
		Result: what, AuthRes: p.AuthRes, Confirm: p.Confirm, Reason: p.Reason,
	}
	x := g.Exchange(p.Merchant)
	object, err := x.Sign(r, objectLife)
	if err != nil {
		return err
	}
	p.Result = object.Digest()
	return errors.Join(tx.Keep(x), tx.Schedule(agent.Job{Name: "result", ID: p.ID, At: g.Now().Add(2 * g.Timeout()), AtStart: true}))
}

// sendResult brings the result to the merchant. It can be repeated.
func (g *Gateway) sendResult(ctx context.Context, id string) error {
	p, err := g.read(id)
	if err != nil || p.Result == "" {
		return err
	}
	msg, err := g.message(id, map[payment.Kind]string{payment.KindResult: p.Result, payment.KindAuthRes: p.AuthRes})
	if err != nil {
		return err
	}
	reply := agent.Message{}
	if err := g.Send(ctx, p.Merchant, "/results", agent.Key(id, "result", 1), msg, &reply); err != nil && !agent.Final(err) {
		return err
	}
	g.Done("result", id)
	return nil
}

// sendConfirm hands the expectation over to the confirmer. It can be repeated.
func (g *Gateway) sendConfirm(ctx context.Context, id string) error {
	p, err := g.read(id)
	if err != nil || p.State != payment.Authorized {
		return err
	}
	msg, err := g.message(id, map[payment.Kind]string{payment.KindAuthRes: p.AuthRes, payment.KindExpect: p.Expect})
	if err != nil {
		return err
	}
	if err := g.Send(ctx, g.cfg.Confirmer, "/confirmations", agent.Key(id, "confirmation", 1), msg, nil); err != nil {
		return err
	}
	g.Done("confirm", id)
	return nil
}

// confirmed: POST /payments/{id}/confirmed, key ID/confirmed/1: what the consumer answered.
func (g *Gateway) confirmed(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	if err := c.Operation(id, "confirmed", 1); err != nil {
		return nil, err
	}
	p, err := g.read(id)
	if err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var m payment.Confirmation
	object, signer, err := c.Open(ctx, msg, payment.KindConfirm, &m)
	switch {
	case err != nil:
		return nil, err
	case signer.String() != g.cfg.Confirmer || c.URI != g.cfg.Confirmer:
		return nil, agent.ErrNotFound
	case m.ID != id || m.Ref != p.AuthRes:
		return nil, payment.Refuse(payment.ApprovalMismatch, "confirm.ref", m.Ref+" of payment "+m.ID, p.AuthRes+" of payment "+id)
	case m.Sum() != p.Amount:
		return nil, payment.Refuse(payment.AmountMismatch, "confirm.amount", m.Sum().String(), p.Amount.String())
	}
	reply := agent.Message{}
	err = g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		if p.State != payment.Authorized { // one that is open was confirmed, or needed no confirmation
			return payment.Refuse(payment.BadState, "payment "+id, string(p.State), string(payment.Authorized)+", to be confirmed")
		}
		p.Confirm = object.Digest()
		keep := errors.Join(tx.Keep(&c.Exchange), tx.Cancel("confirm", id), tx.Finish(c, reply))
		if m.Result == payment.ConfirmedResult {
			return errors.Join(keep, p.Move(payment.Confirmed, g.Now()), g.open(ctx, tx, p))
		}
		p.Reason = m.Result
		return errors.Join(keep, p.Move(payment.Reversing, g.Now()), tx.Schedule(agent.Job{Name: "reverse", ID: id, At: g.Now().Add(2 * g.Timeout()), AtStart: true}))
	})
	if err != nil {
		return nil, err
	}
	g.Reached("gateway.confirmed")
	if m.Result == payment.ConfirmedResult {
		err = g.sendResult(ctx, id)
	} else {
		_, err = g.reverse(ctx, id)
	}
	if err != nil {
		g.later(ctx, id, err)
	}
	return reply, nil
}

// capture: POST /payments/{id}/capture, key ID/capture/SEQ.
func (g *Gateway) capture(ctx context.Context, c *agent.Call) (any, error) {
	p, err := g.own(c)
	if err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var m payment.Capture
	object, merchant, err := c.Open(ctx, msg, payment.KindCapture, &m)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(p.ID, "capture", m.Seq); err != nil {
		return nil, err
	}
	switch {
	case merchant.String() != p.Merchant || m.ID != p.ID:
		return nil, agent.ErrNotFound
	case m.Ref != p.AuthRes:
		return nil, payment.Refuse(payment.ApprovalMismatch, "capture.ref", m.Ref, p.AuthRes+", the approval of this payment")
	}
	if err := m.Rule(p.CaptureRule); err != nil {
		return nil, err
	}
	if part := p.Part(m.Seq); part == nil || part.Request != object.Digest() {
		if err := g.ordered(ctx, c, p, &m, object); err != nil {
			return nil, err
		}
	}
	job := p.ID + "#" + strconv.FormatInt(m.Seq, 10)
	if err := g.sendTransfer(ctx, job); err != nil {
		return nil, err
	}
	reply, err := g.transferred(p.ID, m.Seq, job)
	if err != nil {
		return nil, err
	}
	return reply, g.FinishLater(c, reply)
}

// transferred returns what the bank said to a capture that is done: its signed word, or its refusal.
func (g *Gateway) transferred(id string, seq int64, job string) (agent.Message, error) {
	p, err := g.read(id)
	if err != nil {
		return nil, err
	}
	if part := p.Part(seq); part.State == payment.CaptureRefused {
		code := p.Refusals[seq]
		if code == "" {
			code = payment.BadState
		}
		return nil, payment.Refuse(code, "capture "+strconv.FormatInt(seq, 10), "refused by the banks", "the next number")
	}
	var records []agent.Record
	err = g.Read(func(tx *agent.Tx) (err error) { records, err = tx.Records(id); return err })
	for _, r := range records {
		if r.Kind == payment.KindTransferred && r.Note == job {
			return agent.Message{r.Kind: r.Object}, nil
		}
	}
	return nil, errors.Join(err, fmt.Errorf("capture %s is done, but what the bank said is not kept", job))
}

// ordered signs the transfer for a capture and writes both down.
func (g *Gateway) ordered(ctx context.Context, c *agent.Call, p *record, m *payment.Capture, object payment.Object) error {
	amount := m.Sum()
	x := &payment.Transfer{
		Head: payment.Head{ID: p.ID, Audience: []string{p.Acquirer, p.Issuer}, Amount: &amount, Ref: p.AuthRes},
		Seq:  m.Seq, Final: m.Final, Capture: object.Digest(), Confirm: p.Confirm,
	}
	transfer, err := c.Sign(x, objectLife)
	if err != nil {
		return err
	}
	job := p.ID + "#" + strconv.FormatInt(m.Seq, 10)
	return g.change(ctx, p.ID, func(tx *agent.Tx, p *record) error {
		if _, err := p.Begin(m, object.Digest(), g.Now()); err != nil {
			return err
		}
		if p.Transfers == nil {
			p.Transfers = map[int64]string{}
		}
		p.Transfers[m.Seq] = transfer.Digest()
		return errors.Join(tx.Keep(&c.Exchange), tx.Begin(c), tx.Schedule(agent.Job{Name: "transfer", ID: job, At: g.Now().Add(2 * g.Timeout()), AtStart: true}))
	})
}

// sendTransfer asks the banks to move a captured part. It can be repeated, and does nothing once it is done.
func (g *Gateway) sendTransfer(ctx context.Context, job string) error {
	id, number, _ := strings.Cut(job, "#")
	seq, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return fmt.Errorf("job about %q, want PAYMENT#NUMBER", job)
	}
	p, err := g.read(id)
	if err != nil {
		return err
	}
	if part := p.Part(seq); part == nil || part.State != payment.CaptureRequested {
		return nil
	}
	msg, err := g.message(id, map[payment.Kind]string{payment.KindTransfer: p.Transfers[seq], payment.KindConfirm: p.Confirm})
	if err != nil {
		return err
	}
	x := g.Exchange(p.Acquirer)
	var order payment.Transfer
	object, _, err := g.Reopen(ctx, msg[payment.KindTransfer], &order)
	if err != nil {
		return err
	}
	reply := agent.Message{}
	err = g.Send(ctx, p.Acquirer, "/transfers", agent.Key(id, "transfer", seq), msg, &reply)
	state := payment.CaptureTransferred
	switch {
	case agent.Final(err):
		state = payment.CaptureRefused
	case err != nil:
		return err
	default:
		if err := g.checkTransferred(ctx, x, reply, p, &order, object); err != nil {
			return agent.Unusable(err, p.Acquirer)
		}
		x.Note(job)
	}
	refused := err
	err = g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		if state == payment.CaptureRefused {
			if p.Refusals == nil {
				p.Refusals = map[int64]payment.Code{}
			}
			p.Refusals[seq] = agent.CodeOf(refused)
		}
		err := errors.Join(p.Finish(seq, state, g.Now()), tx.Keep(x), tx.Cancel("transfer", job))
		if p.State == payment.Closed {
			err = errors.Join(err, tx.Cancel("hold", id))
		}
		return err
	})
	g.Reached("gateway.transferred")
	return errors.Join(refused, err)
}

// checkTransferred checks the issuing bank's word that the money which was asked for has moved.
func (g *Gateway) checkTransferred(ctx context.Context, x *agent.Exchange, reply agent.Message, p *record, order *payment.Transfer, object payment.Object) error {
	var t payment.Transferred
	_, bank, err := x.Open(ctx, reply, payment.KindTransferred, &t)
	if err != nil {
		return err
	}
	if bank.String() != p.Issuer {
		return payment.Refuse(payment.ApprovalMismatch, "signer of transferred", bank.String(), p.Issuer)
	}
	return t.CheckTransfer(object, order)
}
