package consumer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
)

// A Choice is how the consumer wants to pay.
type Choice struct {
	Instrument string       `json:"instrument,omitempty"` // card, if empty
	Mode       payment.Mode `json:"mode,omitempty"`       // of confirmation; realtime, if empty
	Route      string       `json:"route,omitempty"`      // direct, if empty
	Issuer     string       `json:"issuer,omitempty"`     // identity URI of the bank; if empty any with an account in the currency
	// Changed agrees to an offer that differs from what was asked for.
	Changed bool `json:"changed,omitempty"`
}

func (ch *Choice) complete() error {
	if ch.Instrument == "" {
		ch.Instrument = "card"
	}
	if ch.Mode == "" {
		ch.Mode = payment.ConfirmRealtime
	}
	if ch.Route == "" {
		ch.Route = Direct
	}
	if ch.Route != Direct && ch.Route != Relay {
		return payment.Refuse(payment.BadJSON, "route", fmt.Sprintf("%.20q", ch.Route), Direct+" or "+Relay)
	}
	return nil
}

// Accept signs the newest offer: the dual signature over order and instruction goes to the merchant, in the relay
// route with the sealed instruction. An offer that is not what was asked for is refused unless the
// choice agrees to the changes.
func (c *Consumer) Accept(ctx context.Context, id string, choice Choice) (agent.View, error) {
	if err := choice.complete(); err != nil {
		return agent.View{}, err
	}
	p, err := c.read(id)
	if err != nil {
		return agent.View{}, err
	}
	if p.State == payment.Offered {
		if err := c.sign(ctx, p, choice); err != nil {
			return agent.View{}, err
		}
		if p, err = c.read(id); err != nil {
			return agent.View{}, err
		}
	}
	msg, err := c.objects(p, true, p.Route == Relay)
	if err != nil {
		return agent.View{}, err
	}
	var v agent.View
	if err := c.Send(ctx, p.Merchant, "/orders/"+id+"/accept", agent.Key(id, "accept", 1), msg, &v); err != nil {
		return v, err
	}
	return v, c.learn(ctx, p, v)
}

// sign makes instruction and dual signature, and keeps both before anything is sent.
func (c *Consumer) sign(ctx context.Context, p *purchase, choice Choice) error {
	o, err := c.offer(ctx, p)
	if err != nil {
		return err
	}
	if changes := payment.Diff(p.Terms, o.Terms); len(changes) > 0 && !choice.Changed {
		return payment.Refuse(payment.OIHMismatch, "offer", fmt.Sprintf("other than ordered: %v", changes), "exactly what was ordered, or an agreement to the changes")
	}
	if err := o.Allows(choice.Instrument, c.Now()); err != nil {
		return err
	}
	link, err := c.linkFor(choice.Issuer, o.Sum().Currency)
	if err != nil {
		return err
	}
	confirm, oih, amount := payment.Confirm{Mode: choice.Mode, Channel: "online"}, c.oih(p), o.Sum()
	sealed, pih, err := c.instruct(ctx, o, &link, account.Instruction{OIH: oih, Confirm: confirm})
	if err != nil {
		return err
	}
	x := c.Exchange(p.Merchant)
	dual, err := x.Sign(&payment.Dual{
		Head: payment.Head{ID: p.ID, Audience: []string{p.Merchant, o.Gateway, o.Acquirer}, Amount: &amount, Expires: o.Expires},
		OIH:  oih, PIH: pih, Merchant: p.Merchant, Gateway: o.Gateway, GatewayEnc: o.GatewayEnc, Acquirer: o.Acquirer,
		Instrument: choice.Instrument, Confirm: confirm,
	}, 0)
	if err != nil {
		return err
	}
	x.MadeSealed(p.ID, payment.KindInstruction, sealed, o.Gateway)
	offer := p.Offer
	return c.change(ctx, p.ID, func(tx *agent.Tx, p *purchase) error {
		if p.Offer != offer {
			return payment.Refuse(payment.OfferSuperseded, "offer", "changed meanwhile", "the newest revision")
		}
		p.Mode, p.Route, p.Issuer, p.Dual, p.Sealed = choice.Mode, choice.Route, link.Issuer, dual.Digest(), sealed.Digest()
		return errors.Join(p.Move(payment.Requested, c.Now()), tx.Keep(x))
	})
}

// instruct completes an instruction for an offer and seals it to the gateway, after checking who that is: chain, role,
// use and status. It returns the digest of the clear text too.
func (c *Consumer) instruct(ctx context.Context, o *payment.Offer, link *linked, in account.Instruction) (sealed payment.Sealed, pih string, err error) {
	if _, err := c.Identity(o.Gateway, payment.GatewayRoles()...); err != nil {
		return "", "", err
	}
	to, err := c.Recipient(ctx, o.GatewayEnc, o.Gateway)
	if err != nil {
		return "", "", err
	}
	digits, err := c.vault.Open("number", link.Digits)
	if err != nil {
		return "", "", err
	}
	if in.Number, err = account.ParseNumber(string(digits)); err != nil {
		return "", "", err
	}
	in.ID, in.Nonce, in.Amount, in.Expiry, in.Expires = o.ID, payment.NewNonce(), o.Sum(), link.Expiry, o.Expires
	in.Consumer, in.Merchant, in.Gateway, in.Issuer = c.URI(), o.Issuer, o.Gateway, link.Issuer
	plain, err := in.Encode()
	if err != nil {
		return "", "", err
	}
	sealed, err = payment.Seal(payment.KindInstruction, to, plain)
	return sealed, payment.PIH(plain), err
}

func (c *Consumer) oih(p *purchase) string {
	var offer string
	_ = c.Read(func(tx *agent.Tx) (err error) { // it was read a moment ago
		offer, err = tx.Object(p.ID, p.Offer)
		return err
	})
	return payment.OIH(payment.Object(offer))
}

// objects collects the dual signature and the instruction.
func (c *Consumer) objects(p *purchase, dual, instruction bool) (agent.Message, error) {
	msg := agent.Message{}
	err := c.Read(func(tx *agent.Tx) (err error) {
		if dual {
			if msg[payment.KindDual], err = tx.Object(p.ID, p.Dual); err != nil {
				return err
			}
		}
		if instruction {
			msg[payment.KindInstruction], err = tx.Object(p.ID, p.Sealed)
		}
		return err
	})
	return msg, err
}

// Pay sends the instruction to the gateway, which answers when the banks have decided. In the relay route the merchant
// has sent it already, and the decision is asked for. What the gateway shows must be what was signed.
func (c *Consumer) Pay(ctx context.Context, id string) (agent.View, error) {
	p, err := c.read(id)
	if err != nil {
		return agent.View{}, err
	}
	if p.Dual == "" {
		return agent.View{}, payment.Refuse(payment.BadState, "payment "+id, string(p.State), "one that was accepted")
	}
	var v agent.View
	if err := c.Fetch(ctx, p.Gateway, "/payments/"+id, 0, &v); err != nil {
		return v, err
	}
	if v.ID != id || v.Amount != p.Amount || v.Merchant != p.Merchant || v.Gateway != p.Gateway {
		return v, payment.Refuse(payment.AmountMismatch, "what the gateway shows", v.Amount.String()+" to "+v.Merchant, p.Amount.String()+" to "+p.Merchant+", as signed")
	}
	if p.Route == Direct && (v.State == payment.Requested || v.State == payment.Authorizing) {
		msg, err := c.objects(p, false, true)
		if err != nil {
			return v, err
		}
		v = agent.View{}
		if err := c.Send(ctx, p.Gateway, "/payments/"+id+"/instruction", agent.Key(id, "instruction", 1), msg, &v); err != nil {
			return v, err
		}
	}
	return v, c.learn(ctx, p, v)
}

// Await asks the merchant for the receipt, waiting for as long as wait, and checks it with the bank's approval.
func (c *Consumer) Await(ctx context.Context, id string, wait time.Duration) (agent.View, error) {
	p, err := c.read(id)
	if err != nil {
		return agent.View{}, err
	}
	var v agent.View
	if err := c.Fetch(ctx, p.Merchant, fmt.Sprintf("/orders/%s?wait=%d", id, int(wait.Seconds())), wait, &v); err != nil {
		return v, err
	}
	return v, c.learn(ctx, p, v)
}

// learn checks and keeps what a merchant or gateway shows of a payment.
func (c *Consumer) learn(ctx context.Context, p *purchase, v agent.View) error {
	if p.Dual == "" {
		return nil
	}
	x := c.Exchange(p.Merchant)
	authres, approved, err := c.decision(ctx, x, p, v)
	if err != nil {
		return err
	}
	receipt, err := c.receipt(ctx, x, p, v, authres, approved)
	if err != nil {
		return err
	}
	if err := c.transferred(ctx, x, p, v); err != nil {
		return err
	}
	if x.Empty() && v.State == p.State && v.Reason == p.Reason && slices.Equal(v.Parts, p.Parts) {
		return nil
	}
	return c.change(ctx, p.ID, func(tx *agent.Tx, p *purchase) error {
		p.AuthRes, p.Receipt, p.Parts, p.Reason = authres, receipt, v.Parts, v.Reason
		if v.State != payment.Offered && !p.State.Final() && (v.State.Final() || p.State != payment.Opened) {
			p.State, p.Changed = v.State, c.Now() // as the others tell; the consumer decides nothing by it
		}
		return tx.Keep(x)
	})
}

// decision checks the bank's decision that a view shows. It returns the digest of the newest, and whether that approves.
func (c *Consumer) decision(ctx context.Context, x *agent.Exchange, p *purchase, v agent.View) (authres string, approved bool, err error) {
	dual := &payment.Dual{Merchant: p.Merchant}
	dual.ID, dual.Amount = p.ID, &p.Amount
	if p.AuthRes != "" {
		var kept string
		if err := c.Read(func(tx *agent.Tx) (err error) { kept, err = tx.Object(p.ID, p.AuthRes); return err }); err != nil {
			return "", false, err
		}
		var a payment.AuthRes
		if err := payment.Read(payment.Object(kept), &a); err != nil {
			return "", false, err
		}
		authres, approved = p.AuthRes, a.Result == payment.Approved
	}
	for _, raw := range v.Objects[string(payment.KindAuthRes)] {
		if c.Known(p.ID, payment.Object(raw)) {
			continue
		}
		var a payment.AuthRes
		object, bank, err := x.Open(ctx, agent.Message{payment.KindAuthRes: raw}, payment.KindAuthRes, &a)
		if err != nil {
			return "", false, err
		}
		if bank.String() != p.Issuer {
			return "", false, payment.Refuse(payment.ApprovalMismatch, "signer of authres", bank.String(), p.Issuer+", the bank that was instructed")
		}
		if err := payment.CheckApproval(object, &a, object.Digest(), dual, c.URI()); err != nil {
			return "", false, err
		}
		authres, approved = object.Digest(), a.Result == payment.Approved
	}
	return authres, approved, nil
}

// transferred checks the bank's word that money has moved, if a view shows it.
func (c *Consumer) transferred(ctx context.Context, x *agent.Exchange, p *purchase, v agent.View) error {
	for _, raw := range v.Objects[string(payment.KindTransferred)] {
		if c.Known(p.ID, payment.Object(raw)) {
			continue
		}
		var t payment.Transferred
		_, bank, err := x.Open(ctx, agent.Message{payment.KindTransferred: raw}, payment.KindTransferred, &t)
		if err != nil {
			return err
		}
		if t.ID != p.ID || t.Merchant != p.Merchant || bank.String() != p.Issuer {
			return payment.Refuse(payment.ApprovalMismatch, "transferred", "for payment "+t.ID+" by "+bank.String(), p.ID+" by "+p.Issuer)
		}
	}
	return nil
}

// receipt checks the receipts that a merchant shows, and returns the digest of the newest. There is none before the bank has approved.
func (c *Consumer) receipt(ctx context.Context, x *agent.Exchange, p *purchase, v agent.View, authres string, approved bool) (string, error) {
	receipt := p.Receipt
	for _, raw := range v.Objects[string(payment.KindReceipt)] {
		if c.Known(p.ID, payment.Object(raw)) {
			continue
		}
		var r payment.Receipt
		object, merchant, err := x.Open(ctx, agent.Message{payment.KindReceipt: raw}, payment.KindReceipt, &r)
		if err != nil {
			return "", err
		}
		if merchant.String() != p.Merchant || r.Ref != p.Dual || !approved || r.AuthRes != authres || r.Sum() != p.Amount {
			return "", payment.Refuse(payment.ApprovalMismatch, "receipt", "for another payment, or without the bank's approval", "one that names the approval "+authres)
		}
		if r.OIH != c.oih(p) {
			return "", payment.Refuse(payment.OIHMismatch, "receipt.oih", r.OIH, c.oih(p)+", the order that was signed")
		}
		receipt = object.Digest()
	}
	return receipt, nil
}

// Delivered signs for the goods.
func (c *Consumer) Delivered(ctx context.Context, id, what string) error {
	p, err := c.read(id)
	if err != nil {
		return err
	}
	if p.Receipt == "" {
		return payment.Refuse(payment.BadState, "payment "+id, "without a receipt", "one with a receipt, to sign for the goods")
	}
	object, err := c.deliveredOf(ctx, p, what)
	if err != nil {
		return err
	}
	return c.Send(ctx, p.Merchant, "/orders/"+id+"/delivered", agent.Key(id, "delivered", 1), agent.Message{payment.KindDelivered: object}, nil)
}

// deliveredOf signs for the goods, or returns what was signed before: a repeated operation has the same bytes.
func (c *Consumer) deliveredOf(ctx context.Context, p *purchase, what string) (object string, err error) {
	if p.Delivered != "" {
		err = c.Read(func(tx *agent.Tx) error {
			object, err = tx.Object(p.ID, p.Delivered)
			return err
		})
		return object, err
	}
	x := c.Exchange(p.Merchant)
	signed, err := x.Sign(&payment.Delivered{
		Head: payment.Head{ID: p.ID, Audience: []string{p.Merchant}, Ref: p.Receipt}, OIH: c.oih(p), What: what, Delivered: c.Now().Unix(),
	}, objectLife)
	if err != nil {
		return "", err
	}
	return string(signed), c.change(ctx, p.ID, func(tx *agent.Tx, p *purchase) error {
		p.Delivered = signed.Digest()
		return tx.Keep(x)
	})
}
