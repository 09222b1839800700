package merchant

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// accept: POST /orders/{id}/accept, key ID/accept/1: the dual signature, and in the relay route the instruction, which
// is sealed to the gateway.
func (m *Merchant) accept(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	if err := c.Operation(id, "accept", 1); err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	s, err := m.read(id, c.URI)
	if err != nil {
		return nil, err
	}
	var dual payment.Dual
	object, signer, err := c.Open(ctx, msg, payment.KindDual, &dual)
	if err != nil {
		return nil, err
	}
	if s.Dual != object.Digest() { // else it was accepted before, and the gateway is to be asked again
		if err := m.checkDual(ctx, s, &dual, signer, msg); err != nil {
			return nil, err
		}
		relay := msg[payment.KindInstruction] != ""
		if relay {
			if _, err := c.Sealed(id, msg, payment.KindInstruction); err != nil {
				return nil, err
			}
		}
		if err := m.request(ctx, c, s, &dual, object, relay); err != nil {
			return nil, err
		}
	}
	if err := m.submit(ctx, id); err != nil {
		return nil, err
	}
	if s, err = m.read(id, c.URI); err != nil {
		return nil, err
	}
	reply, err := m.view(s)
	if err != nil {
		return nil, err
	}
	m.Done("submit", id)
	return reply, m.FinishLater(c, reply)
}

// checkDual checks an acceptance against the newest offer.
func (m *Merchant) checkDual(ctx context.Context, s *sale, dual *payment.Dual, signer policy.Identity, msg agent.Message) error {
	var offers []agent.Record
	err := m.Read(func(tx *agent.Tx) (err error) {
		offers, err = tx.Records(s.ID)
		return err
	})
	if err != nil {
		return err
	}
	var newest payment.Object
	for _, r := range offers {
		if r.Kind != payment.KindOffer {
			continue
		}
		if r.Digest == s.Offer {
			newest = payment.Object(r.Object)
		} else if payment.OIH(payment.Object(r.Object)) == dual.OIH {
			return payment.Refuse(payment.OfferSuperseded, "dual.oih", dual.OIH, "that of revision "+strconv.FormatInt(s.Rev, 10)+", the newest")
		}
	}
	if !m.Now().Before(s.Expires) {
		return payment.Refuse(payment.Expired, "offer", "valid until "+s.Expires.UTC().Format("2006-01-02T15:04:05Z"), "one that is accepted in time")
	}
	if s.State != payment.Offered {
		return payment.Refuse(payment.BadState, "payment "+s.ID, string(s.State), string(payment.Offered))
	}
	var offer payment.Offer
	if _, _, err := m.Reopen(ctx, string(newest), &offer); err != nil {
		return err
	}
	if err := dual.CheckOffer(newest, &offer, signer); err != nil {
		return err
	}
	if sealed := payment.Sealed(msg[payment.KindInstruction]); sealed != "" {
		to, err := payment.SealedTo(payment.KindInstruction, sealed)
		if err != nil {
			return err
		}
		if to != dual.GatewayEnc {
			return payment.Refuse(payment.BadRecipient, "instruction", "sealed to "+to, dual.GatewayEnc)
		}
	}
	return nil
}

// request signs the payment request and writes down that it must reach the gateway.
func (m *Merchant) request(ctx context.Context, c *agent.Call, s *sale, dual *payment.Dual, object payment.Object, relay bool) error {
	amount, payout := dual.Sum(), ""
	err := m.Read(func(tx *agent.Tx) error { return tx.Get("payout", &payout) })
	if errors.Is(err, agent.ErrNotFound) {
		return payment.Refuse(payment.Unavailable, "merchant", "not yet onboarded at its bank", "a payout account at "+m.cfg.Acquirer)
	} else if err != nil {
		return err
	}
	r := &payment.Request{
		Head: payment.Head{ID: s.ID, Audience: []string{dual.Gateway}, Amount: &amount, Ref: object.Digest(), Expires: dual.Expires},
		OIH:  dual.OIH, Dual: object.Digest(), Payout: payout, CaptureRule: m.cfg.CaptureRule,
	}
	request, err := c.Sign(r, 0)
	if err != nil {
		return err
	}
	return m.change(ctx, s.ID, func(tx *agent.Tx, now *sale) error {
		if now.Offer != s.Offer || now.State != payment.Offered {
			return payment.Refuse(payment.OfferSuperseded, "offer", "changed meanwhile", "the newest revision")
		}
		now.Mode, now.Dual, now.Request, now.Relay = dual.Confirm.Mode, object.Digest(), request.Digest(), relay
		return errors.Join(
			now.Move(payment.Requested, m.Now()), tx.Keep(&c.Exchange), tx.Begin(c), tx.Cancel("lapse", s.ID),
			tx.Schedule(agent.Job{Name: "submit", ID: s.ID, At: m.Now().Add(2 * m.Timeout()), AtStart: true}),
		)
	})
}

// submit brings the request, and in the relay route the instruction, to the gateway. It can be repeated.
func (m *Merchant) submit(ctx context.Context, id string) error {
	msg, instruction := agent.Message{}, agent.Message{}
	var s *sale
	err := m.Read(func(tx *agent.Tx) (err error) {
		if s, err = load(tx, id, ""); err != nil {
			return err
		}
		records, err := tx.Records(id)
		for _, r := range records {
			switch r.Kind {
			case payment.KindRequest, payment.KindDual:
				msg[r.Kind] = r.Object
			case payment.KindInstruction:
				instruction[r.Kind] = r.Object
			}
		}
		return err
	})
	if err != nil || s.Result != "" || s.State.Final() {
		return err
	}
	err = m.Send(ctx, m.cfg.Gateway, "/payments", agent.Key(id, "request", 1), msg, new(agent.View))
	if agent.Final(err) { // the gateway will never have it, so nothing can follow
		return errors.Join(err, m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
			if s.State != payment.Requested {
				return nil
			}
			s.Reason = string(agent.CodeOf(err))
			return errors.Join(s.Move(payment.Lapsed, m.Now()), tx.Cancel("submit", id))
		}))
	}
	if err == nil && s.Relay {
		err = m.Send(ctx, m.cfg.Gateway, "/payments/"+id+"/instruction", agent.Key(id, "instruction", 1), instruction, new(agent.View))
	}
	if agent.Final(err) {
		return errors.Join(err, m.Write(ctx, func(tx *agent.Tx) error { return tx.Cancel("submit", id) }))
	}
	return err
}

// result: POST /results, key ID/result/1: the gateway's word, with the bank's decision, on which goods are shipped.
func (m *Merchant) result(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var result payment.Result
	object, signer, err := c.Open(ctx, msg, payment.KindResult, &result)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(result.ID, "result", 1); err != nil {
		return nil, err
	}
	s, err := m.read(result.ID, "")
	if err != nil {
		return nil, err
	}
	switch {
	case signer.String() != m.cfg.Gateway || c.URI != m.cfg.Gateway:
		return nil, agent.ErrNotFound // it is not that gateway's payment
	case result.Ref != s.Request:
		return nil, payment.Refuse(payment.ApprovalMismatch, "result.ref", result.Ref, s.Request+", the request of this payment")
	case result.Sum() != s.Amount:
		return nil, payment.Refuse(payment.AmountMismatch, "result.amount", result.Sum().String(), s.Amount.String())
	}
	issuer, expires, err := m.approval(ctx, c, msg, s, &result)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if result.Result == payment.Deliver {
		r := &payment.Receipt{
			Head: payment.Head{ID: s.ID, Audience: []string{s.Consumer}, Amount: &s.Amount, Ref: s.Dual},
			OIH:  s.oih(m), AuthRes: result.AuthRes, Result: object.Digest(), Estimated: m.Now().Add(deliveryTime).Unix(),
		}
		receipt, err := c.Sign(r, objectLife)
		if err != nil {
			return nil, err
		}
		reply[payment.KindReceipt] = string(receipt)
	}
	return reply, m.change(ctx, s.ID, func(tx *agent.Tx, s *sale) error {
		if err := s.settle(&result, m); err != nil {
			return err
		}
		s.Result, s.AuthRes, s.Issuer, s.Reason = object.Digest(), result.AuthRes, issuer, result.Reason
		if receipt := reply[payment.KindReceipt]; receipt != "" {
			s.Receipt = payment.Object(receipt).Digest()
			if err := tx.Schedule(agent.Job{Name: "hold", ID: s.ID, At: expires.Add(m.Timeout())}); err != nil {
				return err
			}
			if m.cfg.AutoShip && s.Shipped.IsZero() {
				if err := tx.Schedule(agent.Job{Name: "ship", ID: s.ID, At: m.Now(), AtStart: true}); err != nil {
					return err
				}
			}
		}
		return errors.Join(tx.Keep(&c.Exchange), tx.Cancel("submit", s.ID), tx.Finish(c, reply))
	})
}

// settle moves a sale to what the result says.
func (s *sale) settle(r *payment.Result, m *Merchant) error {
	steps := []payment.State{payment.Authorizing, payment.Authorized, payment.Confirmed, payment.Opened}
	switch {
	case r.Result == payment.Deliver && s.Mode == payment.ConfirmNone:
		steps = []payment.State{payment.Authorizing, payment.Authorized, payment.Opened}
	case r.Result == payment.Failed && r.AuthRes != "" && r.Reason == payment.Refused:
		steps = []payment.State{payment.Authorizing, payment.Declined}
	case r.Result == payment.Failed:
		steps = []payment.State{payment.Authorizing, payment.Reversing, payment.Released}
	}
	for _, step := range steps {
		if err := s.Move(step, m.Now()); err != nil {
			return err
		}
	}
	return nil
}

// approval checks the bank's decision that comes with a result, and returns the bank and when its hold ends.
func (m *Merchant) approval(ctx context.Context, c *agent.Call, msg agent.Message, s *sale, result *payment.Result) (issuer string, expires time.Time, err error) {
	if result.AuthRes == "" {
		return "", expires, nil // the gateway reversed before there was a decision
	}
	var authres payment.AuthRes
	object, bank, err := c.Open(ctx, msg, payment.KindAuthRes, &authres)
	if err != nil {
		return "", expires, err
	}
	dual := &payment.Dual{Merchant: m.URI()}
	dual.ID, dual.Amount = s.ID, &s.Amount
	if err := payment.CheckApproval(object, &authres, result.AuthRes, dual, s.Consumer); err != nil {
		return "", expires, err
	}
	if result.Result == payment.Deliver && authres.Result != payment.Approved {
		return "", expires, payment.Refuse(payment.ApprovalMismatch, "authres.result", authres.Result, payment.Approved+", to deliver")
	}
	if result.Result == payment.Deliver && s.Mode != payment.ConfirmNone && result.Confirm == "" {
		return "", expires, payment.Refuse(payment.ApprovalMismatch, "result.confirm", "missing", "the digest of the confirmation")
	}
	expires = time.Unix(authres.HoldExpires, 0)
	if result.Result == payment.Deliver && !m.Now().Before(expires) {
		return "", expires, payment.Refuse(payment.ApprovalMismatch, "authres.hold_exp", expires.UTC().Format(time.RFC3339), "a hold that still is, to deliver")
	}
	return bank.String(), expires, nil
}

// oih is the digest by which the dual signature names the accepted offer.
func (s *sale) oih(m *Merchant) string {
	var offer string
	_ = m.Read(func(tx *agent.Tx) (err error) { // without it the receipt is refused when it is signed
		offer, err = tx.Object(s.ID, s.Offer)
		return err
	})
	return payment.OIH(payment.Object(offer))
}

// delivered: POST /orders/{id}/delivered, key ID/delivered/1: the consumer signs for the goods.
func (m *Merchant) delivered(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	if err := c.Operation(id, "delivered", 1); err != nil {
		return nil, err
	}
	s, err := m.read(id, c.URI)
	if err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var d payment.Delivered
	object, signer, err := c.Open(ctx, msg, payment.KindDelivered, &d)
	switch {
	case err != nil:
		return nil, err
	case signer.String() != s.Consumer:
		return nil, payment.Refuse(payment.ConsumerMismatch, "signer of delivered", signer.String(), s.Consumer)
	case s.Receipt == "" || d.ID != id || d.Ref != s.Receipt || d.OIH != s.oih(m):
		return nil, payment.Refuse(payment.OIHMismatch, "delivered", "for another order or receipt", "the receipt of payment "+id)
	}
	reply := agent.Message{}
	return reply, m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		s.Delivered = object.Digest()
		if m.cfg.CaptureRule == payment.CaptureOnDelivery && m.cfg.AutoShip {
			if err := tx.Schedule(agent.Job{Name: "ship", ID: id, At: m.Now(), AtStart: true}); err != nil {
				return err
			}
		}
		return errors.Join(tx.Keep(&c.Exchange), tx.Finish(c, reply))
	})
}
