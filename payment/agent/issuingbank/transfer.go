package issuingbank

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
)

// transfer: POST /transfers, key ID/transfer/SEQ: takes a part of what is held.
func (b *Bank) transfer(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var x payment.Transfer
	object, gateway, err := c.Open(ctx, msg, payment.KindTransfer, &x)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(x.ID, "transfer", x.Seq); err != nil {
		return nil, err
	}
	var p payout
	err = b.Read(func(tx *agent.Tx) (err error) {
		p, err = b.load(tx, x.ID, c.URI)
		return err
	})
	switch {
	case err != nil:
		return nil, err
	case gateway.String() != p.Gateway:
		return nil, agent.ErrNotFound
	case x.Ref != p.AuthRes:
		return nil, payment.Refuse(payment.ApprovalMismatch, "transfer.ref", x.Ref, p.AuthRes+", the approval of this payment")
	case p.Result != payment.Approved:
		return nil, payment.Refuse(payment.BadState, "payment "+p.ID, p.Result, payment.Approved)
	}
	if err := b.confirmed(ctx, c, msg, &p, &x); err != nil {
		return nil, err
	}
	amount, posting := x.Sum(), ledger.TransferID(p.ID, "capture", fmt.Sprint(x.Seq))
	t := &payment.Transferred{
		Head: payment.Head{ID: p.ID, Audience: []string{p.Acquirer, p.Gateway, p.Merchant, p.Consumer}, Amount: &amount, Ref: object.Digest()},
		Seq:  x.Seq, Final: x.Final, Merchant: p.Merchant, Posting: posting.String(),
	}
	done, err := c.Sign(t, objectLife)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{payment.KindTransferred: string(done)}
	err = b.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(b.take(tx, &x, posting, object.Digest()), tx.Keep(&c.Exchange), tx.Finish(c, reply))
	})
	if err != nil {
		return nil, err
	}
	b.Reached("issuingbank.transferred")
	return reply, nil
}

// take moves a part of what is held, if the hold has not expired.
func (b *Bank) take(tx *agent.Tx, x *payment.Transfer, posting ledger.ID, ref string) error {
	if hold, err := tx.Book().HoldOf(holdID(x.ID)); err == nil && hold.State == ledger.HoldOpen && !b.Now().Before(hold.Expires) {
		return payment.Refuse(payment.BadState, "hold of payment "+x.ID, "expired at "+hold.Expires.UTC().Format(time.RFC3339), "a capture before that")
	}
	_, replayed, err := tx.Book().Post(ledger.Transfer{
		ID: posting, Kind: ledger.KindCapture, Hold: holdID(x.ID), Amount: x.Sum(), Final: x.Final, Code: "capture", Time: b.Now(), Ref: ref,
	})
	if err == nil && replayed { // the money moved before, by another order with the same number
		err = payment.Refuse(payment.Conflict, "transfer "+agent.Key(x.ID, "transfer", x.Seq), "done before", "the reply of then, or the next number")
	}
	return err
}

// confirmed checks the confirmer's word for a transfer, unless the consumer chose to do without.
func (b *Bank) confirmed(ctx context.Context, c *agent.Call, msg agent.Message, p *payout, x *payment.Transfer) error {
	if p.Mode == payment.ConfirmNone {
		return nil
	}
	if msg[payment.KindConfirm] == "" {
		return payment.Refuse(payment.BadState, "transfer.confirm", "missing", "the confirmation that mode "+string(p.Mode)+" needs")
	}
	var m payment.Confirmation
	object, signer, err := c.Open(ctx, msg, payment.KindConfirm, &m)
	switch {
	case err != nil:
		return err
	case signer.String() != b.cfg.Confirmer:
		return payment.Refuse(payment.WrongRole, "signer of confirm", signer.String(), b.cfg.Confirmer)
	case object.Digest() != x.Confirm || m.ID != p.ID || m.Ref != p.AuthRes || m.Sum() != p.Amount:
		return payment.Refuse(payment.ApprovalMismatch, "confirm", "of another payment", "the confirmation of "+p.AuthRes)
	case m.Result != payment.ConfirmedResult:
		return payment.Refuse(payment.BadState, "confirm.result", m.Result, payment.ConfirmedResult)
	}
	return nil
}

// void: POST /voids, key ID/void/1: releases what is held, and if nothing is, sees to it that nothing ever will be.
func (b *Bank) void(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var v payment.Void
	object, gateway, err := c.Open(ctx, msg, payment.KindVoid, &v)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(v.ID, "void", 1); err != nil {
		return nil, err
	}
	if !agent.Is(gateway.Role, payment.GatewayRoles()) {
		return nil, payment.Refuse(payment.WrongRole, "signer of void", gateway.String(), "the gateway")
	}
	var reply agent.Message
	err = b.Write(ctx, func(tx *agent.Tx) (err error) {
		reply, err = b.give(tx, c, &v, object, gateway.String())
		return err
	})
	if err != nil {
		return nil, err
	}
	b.Reached("issuingbank.voided")
	return reply, nil
}

// give releases and signs that it did. Whether there is a hold is found out in the commit that releases it: one that
// comes a moment before is released, and one that comes later refused.
func (b *Bank) give(tx *agent.Tx, c *agent.Call, v *payment.Void, object payment.Object, gateway string) (agent.Message, error) {
	p := payout{ID: v.ID, Acquirer: c.URI, Gateway: gateway}
	err := tx.Get("payment/"+v.ID, &p)
	known := err == nil
	if err != nil && !errors.Is(err, agent.ErrNotFound) {
		return nil, err
	}
	if p.Acquirer != c.URI || p.Gateway != gateway {
		return nil, agent.ErrNotFound
	}
	voided := &payment.Voided{
		Head:     payment.Head{ID: v.ID, Audience: []string{c.URI, gateway}, Ref: object.Digest()},
		Merchant: gateway, Released: p.Result == payment.Approved, // whom an unknown payment was for is not known here
	}
	if known && p.Merchant != "" {
		voided.Merchant, voided.Audience = p.Merchant, append(voided.Audience, p.Merchant, p.Consumer)
	}
	if voided.Released || !known { // else it was declined, or has expired: nothing is held
		if err := b.release(tx, v.ID); err != nil {
			return nil, err
		}
		p.Result = "voided"
		if err := errors.Join(tx.Put("payment/"+p.ID, p), tx.Cancel("expire", v.ID)); err != nil {
			return nil, err
		}
	}
	x := c.Exchange
	done, err := x.Sign(voided, objectLife)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{payment.KindVoided: string(done)}
	return reply, errors.Join(tx.Keep(&x), tx.Finish(c, reply))
}

// release voids the hold of a payment, or leaves a tombstone in its place. What was captured in part cannot be voided.
func (b *Bank) release(tx *agent.Tx, id string) error {
	hold, err := tx.Book().HoldOf(holdID(id))
	if err == nil && hold.Captured.Minor > 0 {
		return payment.Refuse(payment.BadState, "payment "+id, "captured in part", "one of which nothing was captured")
	}
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		return err
	}
	_, _, err = tx.Book().Post(ledger.Transfer{ID: ledger.TransferID(id, "void"), Kind: ledger.KindVoid, Hold: holdID(id), Code: "void", Time: b.Now()})
	return err
}

// expire releases a hold, or what is left of one, whose time is over.
func (b *Bank) expire(ctx context.Context, id string) error {
	return b.Write(ctx, func(tx *agent.Tx) error {
		var p payout
		if err := tx.Get("payment/"+id, &p); err != nil {
			return err
		}
		hold, err := tx.Book().HoldOf(holdID(id))
		if err != nil || hold.State != ledger.HoldOpen || b.Now().Before(hold.Expires) {
			return err
		}
		if _, _, err := tx.Book().Post(ledger.Transfer{ID: ledger.TransferID(id, "void"), Kind: ledger.KindVoid, Hold: hold.ID, Code: "expiry", Time: b.Now()}); err != nil {
			return err
		}
		p.Result = "expired"
		return tx.Put("payment/"+id, p)
	})
}
