package gateway

import (
	"context"
	"errors"
	"net/url"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
)

// instruction: POST /payments/{id}/instruction, key ID/instruction/1, from the consumer or, in the relay route, the merchant. The
// reply comes when the banks have decided.
func (g *Gateway) instruction(ctx context.Context, c *agent.Call) (any, error) {
	p, err := g.own(c)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(p.ID, "instruction", 1); err != nil {
		return nil, err
	}
	if p.State == payment.Requested {
		if err := g.begin(ctx, c, p); err != nil {
			return nil, err
		}
	} else if err := g.same(c, p); err != nil {
		return nil, err
	}
	if err := g.authorize(ctx, p.ID); err != nil {
		return nil, err
	}
	g.Reached("gateway.authorised")
	if p, err = g.read(p.ID); err != nil {
		return nil, err
	}
	view, err := g.view(p)
	if err != nil {
		return nil, err
	}
	if p.State == payment.Authorizing || p.State == payment.Reversing {
		return view, nil // not the last word, so it is not kept
	}
	return view, g.FinishLater(c, view)
}

// same refuses another instruction than the one that was taken.
func (g *Gateway) same(c *agent.Call, p *record) error {
	msg, err := c.Message()
	if err != nil {
		return err
	}
	if digest := payment.Sealed(msg[payment.KindInstruction]).Digest(); digest != p.Sealed {
		return payment.Refuse(payment.BadState, "payment "+p.ID, string(p.State), string(payment.Requested)+", to take an instruction")
	}
	return nil
}

// begin opens the instruction, seals it again for the issuing bank, and writes down that the banks are to be asked.
func (g *Gateway) begin(ctx context.Context, c *agent.Call, p *record) error {
	if g.Now().Unix() >= p.Expires {
		return payment.Refuse(payment.Expired, "payment "+p.ID, "open until "+time.Unix(p.Expires, 0).UTC().Format(time.RFC3339), "an instruction in time")
	}
	msg, err := c.Message()
	if err != nil {
		return err
	}
	sealed, err := c.Sealed(p.ID, msg, payment.KindInstruction)
	if err != nil {
		return err
	}
	objects, err := g.message(p.ID, map[payment.Kind]string{payment.KindDual: p.Dual})
	if err != nil {
		return err
	}
	var dual payment.Dual
	dualObject, consumer, err := g.Reopen(ctx, objects[payment.KindDual], &dual)
	if err != nil {
		return err
	}
	to, err := payment.SealedTo(payment.KindInstruction, sealed)
	if err != nil {
		return err
	}
	if to != dual.GatewayEnc {
		return payment.Refuse(payment.BadRecipient, "instruction", "sealed to "+to, dual.GatewayEnc+", as signed")
	}
	key, err := g.Key(to)
	if err != nil {
		return err
	}
	opened, err := account.Open(sealed, key, &dual, consumer, g.Now())
	if err != nil {
		return err
	}
	return g.ask(ctx, c, p, opened, dualObject, sealed.Digest())
}

// ask makes the authorisation request and writes it down.
func (g *Gateway) ask(ctx context.Context, c *agent.Call, p *record, in *account.Opened, dual payment.Object, sealed string) error {
	issuer, err := g.issuerOf(in.Number.BIN())
	if err != nil {
		return err
	}
	if issuer != in.Issuer {
		return payment.Refuse(payment.InvalidAccount, "instruction.issuer", in.Issuer+", response code 14", issuer+", to which the number is routed")
	}
	to, err := g.EncryptionOf(ctx, issuer)
	if err != nil {
		return err
	}
	again, err := payment.Seal(payment.KindInstruction, to, in.Plain)
	if err != nil {
		return err
	}
	merchant, err := g.Identity(p.Merchant)
	if err != nil {
		return err
	}
	fields, err := payment.NewFields(p.Amount, merchant.Party, in.Number.BIN(), g.traces.Add(1), g.Now())
	if err != nil {
		return err
	}
	auth := &payment.Auth{
		Head: payment.Head{ID: p.ID, Audience: []string{p.Acquirer, issuer}, Amount: &p.Amount, Ref: p.Request},
		Dual: dual.Digest(), Instruction: again.Digest(), Merchant: p.Merchant, Fields: fields,
	}
	object, err := c.Sign(auth, objectLife)
	if err != nil {
		return err
	}
	c.MadeSealed(p.ID, payment.KindInstruction, again, issuer)
	return g.change(ctx, p.ID, func(tx *agent.Tx, p *record) error {
		p.Issuer, p.Sealed, p.Instruction, p.Auth, p.Begun = issuer, sealed, again.Digest(), object.Digest(), g.Now()
		return errors.Join(
			p.Move(payment.Authorizing, g.Now()), tx.Keep(&c.Exchange), tx.Begin(c), tx.Cancel("lapse", p.ID),
			tx.Schedule(agent.Job{Name: "authorize", ID: p.ID, At: g.Now().Add(2 * g.Timeout()), AtStart: true}),
		)
	})
}

// authorize asks the banks until they have decided, or until the deadline is over; then it reverses. It can be repeated, and
// does nothing once there is a decision.
func (g *Gateway) authorize(ctx context.Context, id string) error {
	p, err := g.read(id)
	if err != nil || p.State != payment.Authorizing {
		return err
	}
	msg, err := g.message(id, map[payment.Kind]string{payment.KindAuth: p.Auth, payment.KindDual: p.Dual, payment.KindInstruction: p.Instruction})
	if err != nil {
		return err
	}
	reply := agent.Message{}
	err = g.Send(ctx, p.Acquirer, "/authorizations", agent.Key(id, "auth", 1), msg, &reply)
	g.Reached("gateway.asked")
	switch {
	case err == nil:
		err = g.decided(ctx, p, reply)
	case agent.Final(err):
		return g.giveUp(ctx, id, err) // the banks refuse to decide; whether one of them holds is for the void to settle
	default:
		inquiry := "/inquiries/" + id + "?issuer=" + url.QueryEscape(p.Issuer)
		reply = agent.Message{}
		if asked := g.Fetch(ctx, p.Acquirer, inquiry, 0, &reply); asked == nil {
			err = g.decided(ctx, p, reply)
		}
	}
	if err == nil || g.Now().Sub(p.Begun) < g.cfg.Deadline {
		return err // the job goes on
	}
	return g.giveUp(ctx, id, err)
}

// giveUp begins a reversal. cause is returned if the reversal is under way.
func (g *Gateway) giveUp(ctx context.Context, id string, cause error) error {
	err := g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		if p.State != payment.Authorizing {
			return nil // decided meanwhile
		}
		p.Reason = "not authorised"
		if code := agent.CodeOf(cause); code != "" {
			p.Reason = string(code)
		}
		return errors.Join(p.Move(payment.Reversing, g.Now()), tx.Cancel("authorize", id), tx.Schedule(agent.Job{Name: "reverse", ID: id, At: g.Now(), AtStart: true}))
	})
	if err != nil {
		return err
	}
	if p, err := g.read(id); err != nil || p.State != payment.Reversing && p.State != payment.Released {
		return err
	}
	return cause
}

// decided checks and keeps the banks' decision, and passes it on.
func (g *Gateway) decided(ctx context.Context, p *record, reply agent.Message) error {
	x := g.Exchange(p.Acquirer)
	var a payment.AuthRes
	object, bank, err := x.Open(ctx, reply, payment.KindAuthRes, &a)
	if err != nil {
		return agent.Unusable(err, p.Acquirer)
	}
	if bank.String() != p.Issuer || a.Ref != p.Auth {
		return agent.Unusable(payment.Refuse(payment.ApprovalMismatch, "authres.ref", a.Ref+" by "+bank.String(), p.Auth+" by "+p.Issuer), p.Acquirer)
	}
	dual := &payment.Dual{Merchant: p.Merchant}
	dual.ID, dual.Amount = p.ID, &p.Amount
	if err := payment.CheckApproval(object, &a, object.Digest(), dual, p.Consumer); err != nil {
		return agent.Unusable(err, p.Acquirer)
	}
	confirm := a.Result == payment.Approved && p.Mode != payment.ConfirmNone
	if confirm {
		sealed, err := x.Sealed(p.ID, reply, payment.KindExpect)
		if err == nil && sealed.Digest() != a.Expect {
			err = payment.Refuse(payment.ApprovalMismatch, "authres.expect", a.Expect, sealed.Digest()+", the one that came along")
		}
		if err != nil {
			return agent.Unusable(err, p.Acquirer)
		}
	}
	err = g.change(ctx, p.ID, func(tx *agent.Tx, p *record) error {
		if p.State != payment.Authorizing {
			return nil // decided, or reversed, meanwhile
		}
		p.AuthRes, p.Expect = object.Digest(), a.Expect
		return errors.Join(tx.Keep(x), tx.Cancel("authorize", p.ID), g.take(ctx, tx, p, &a))
	})
	if err != nil {
		return err
	}
	if confirm {
		err = g.sendConfirm(ctx, p.ID)
	} else {
		err = g.sendResult(ctx, p.ID)
	}
	if err != nil {
		g.later(ctx, p.ID, err)
	}
	return nil
}

// take moves a payment to what the bank decided, and schedules what follows.
func (g *Gateway) take(ctx context.Context, tx *agent.Tx, p *record, a *payment.AuthRes) error {
	if a.Result != payment.Approved {
		return errors.Join(p.Move(payment.Declined, g.Now()), g.fail(ctx, tx, p, payment.Refused))
	}
	hold := agent.Job{Name: "hold", ID: p.ID, At: time.Unix(a.HoldExpires, 0)}
	if err := errors.Join(p.Move(payment.Authorized, g.Now()), tx.Schedule(hold)); err != nil {
		return err
	}
	if p.Mode == payment.ConfirmNone {
		return g.open(ctx, tx, p)
	}
	return tx.Schedule(agent.Job{Name: "confirm", ID: p.ID, At: g.Now().Add(2 * g.Timeout()), AtStart: true})
}
