package acquiringbank

import (
	"context"
	"errors"
	"net/url"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// inquire: GET /inquiries/{id}?issuer=URI: what the issuing bank decided, if it did.
func (b *Bank) inquire(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	issuer := c.Request.URL.Query().Get("issuer")
	if _, err := b.Identity(issuer, payment.IssuingRoles()...); err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := b.Fetch(ctx, issuer, "/inquiries/"+id+"?gateway="+url.QueryEscape(c.URI), 0, &reply); err != nil {
		return nil, unavailable(err)
	}
	var a payment.AuthRes
	object, bank, err := c.Open(ctx, reply, payment.KindAuthRes, &a)
	if err == nil && (bank.String() != issuer || a.ID != id || a.Amount == nil) {
		err = payment.Refuse(payment.ApprovalMismatch, "authres", "of payment "+a.ID+" by "+bank.String(), id+" by "+issuer)
	}
	if err != nil {
		return nil, agent.Unusable(err, issuer)
	}
	// If the decision did not come back through here when it was made, its payment is not known yet.
	p := payin{ID: id, Merchant: a.Merchant, Gateway: c.URI, Issuer: issuer, Amount: a.Sum(), AuthRes: object.Digest()}
	if _, err := b.payment(id, c.URI); !errors.Is(err, agent.ErrNotFound) {
		return reply, err
	}
	return reply, b.Write(ctx, func(tx *agent.Tx) error {
		if err := tx.Get("payment/"+id, new(payin)); !errors.Is(err, agent.ErrNotFound) {
			return err
		}
		return errors.Join(tx.Keep(&c.Exchange), tx.Put("payment/"+id, p))
	})
}

// void: POST /voids, key ID/void/1. It goes to the issuing bank, whether or not a hold is known here.
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
	if gateway.String() != c.URI {
		return nil, payment.Refuse(payment.NotAddressedHere, "caller", c.URI, "the gateway that signed the void, "+gateway.String())
	}
	if p, err := b.payment(v.ID, c.URI); err != nil && (!errors.Is(err, agent.ErrNotFound) || p.ID != "") {
		return nil, err
	}
	issuer, err := b.issuerOf(v.Audience)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := b.Send(ctx, issuer, "/voids", c.Key, msg, &reply); err != nil {
		return nil, unavailable(err)
	}
	var voided payment.Voided
	_, bank, err := c.Open(ctx, reply, payment.KindVoided, &voided)
	if err == nil && (bank.String() != issuer || voided.Ref != object.Digest()) {
		err = payment.Refuse(payment.ApprovalMismatch, "voided.ref", voided.Ref+" by "+bank.String(), object.Digest()+" by "+issuer)
	}
	if err != nil {
		return nil, agent.Unusable(err, issuer)
	}
	return reply, b.Write(ctx, func(tx *agent.Tx) error { return errors.Join(tx.Keep(&c.Exchange), tx.Finish(c, reply)) })
}
