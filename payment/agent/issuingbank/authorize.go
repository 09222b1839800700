package issuingbank

import (
	"context"
	"errors"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/policy"
)

// A case is one authorisation under review.
type review struct {
	auth     payment.Auth
	object   payment.Object // the auth
	dual     payment.Dual
	consumer policy.Identity
	opened   *account.Opened
	deposit  deposit
	mandate  mandate
	declined string // response code, "" while nothing speaks against it
}

// authorize: POST /authorizations, key ID/auth/1.
func (b *Bank) authorize(ctx context.Context, c *agent.Call) (any, error) {
	r, err := b.review(ctx, c)
	if err != nil {
		return nil, err
	}
	var reply agent.Message
	if r.declined == "" {
		reply, err = b.approve(ctx, c, r)
		var short *ledger.InsufficientError
		if errors.As(err, &short) {
			r.declined = payment.CodeNoFunds
		} else if err != nil {
			return nil, err
		}
	}
	if r.declined != "" {
		if reply, err = b.decline(ctx, c, r); err != nil {
			return nil, err
		}
	}
	b.Reached("issuingbank.authorised")
	return reply, nil
}

// review checks everything that does not depend on the balance.
func (b *Bank) review(ctx context.Context, c *agent.Call) (*review, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	r := &review{}
	var gateway policy.Identity
	if r.object, gateway, err = c.Open(ctx, msg, payment.KindAuth, &r.auth); err != nil {
		return nil, err
	}
	if err := c.Operation(r.auth.ID, "auth", 1); err != nil {
		return nil, err
	}
	dualObject, consumer, err := c.OpenFor(ctx, msg, payment.KindDual, &r.dual)
	if err != nil {
		return nil, err
	}
	r.consumer = consumer
	if err := r.dual.CheckAuth(dualObject, &r.auth); err != nil {
		return nil, err
	}
	if c.URI != r.dual.Acquirer || gateway.String() != r.dual.Gateway {
		return nil, payment.Refuse(payment.NotAddressedHere, "caller", c.URI, "the acquiring bank that the consumer signed, "+r.dual.Acquirer)
	}
	sealed, err := c.Sealed(r.auth.ID, msg, payment.KindInstruction)
	if err != nil {
		return nil, err
	}
	if sealed.Digest() != r.auth.Instruction {
		return nil, payment.Refuse(payment.PIHMismatch, "auth.instruction", r.auth.Instruction, sealed.Digest()+", the one that came along")
	}
	return r, b.open(r, sealed)
}

// open reads the instruction and finds the account.
func (b *Bank) open(r *review, sealed payment.Sealed) error {
	to, err := payment.SealedTo(payment.KindInstruction, sealed)
	if err != nil {
		return err
	}
	key, err := b.Key(to)
	if err != nil {
		return err
	}
	r.opened, err = account.Open(sealed, key, &r.dual, r.consumer, b.Now())
	if agent.CodeOf(err) == payment.InvalidAccount && r.opened != nil {
		r.declined = payment.CodeExpiredCard
	} else if err != nil {
		return err
	}
	in := r.opened
	if in.Issuer != b.URI() {
		return payment.Refuse(payment.NotAddressedHere, "instruction.issuer", in.Issuer, b.URI())
	}
	linked := true
	err = b.Read(func(tx *agent.Tx) (err error) {
		var id string
		if err = tx.Get("index/"+b.vault.Index(in.Number), &id); err != nil {
			return err
		}
		if err = tx.Get(id, &r.deposit); err != nil {
			return err
		}
		r.mandate, err = mandateOf(tx, r.consumer.String(), id)
		if errors.Is(err, agent.ErrNotFound) {
			linked, err = false, nil
		}
		return err
	})
	switch {
	case errors.Is(err, agent.ErrNotFound):
		r.declined = payment.CodeInvalidCard
	case err != nil:
		return err
	case !linked:
		return payment.Refuse(payment.AccountNotLinked, "account", "not linked to "+r.consumer.String(), "an account that the consumer linked")
	case in.Expiry != r.deposit.Expiry:
		r.declined = payment.CodeExpiredCard
	case in.Amount.Currency != r.deposit.Currency:
		r.declined = payment.CodeDoNotHonor
	case b.cfg.Limit > 0 && in.Amount.Minor > b.cfg.Limit:
		r.declined = payment.CodeExceedsLimit
	}
	return nil
}

// decision is the answer to an authorisation, before it is signed.
func (b *Bank) decision(r *review) *payment.AuthRes {
	amount := r.dual.Sum()
	return &payment.AuthRes{
		Head: payment.Head{
			ID: r.auth.ID, Ref: r.object.Digest(), Amount: &amount,
			Audience: []string{r.dual.Acquirer, r.dual.Gateway, r.dual.Merchant, r.consumer.String(), b.cfg.Confirmer},
		},
		Merchant: r.dual.Merchant, Consumer: r.consumer.String(),
	}
}

func (b *Bank) payout(r *review, authres payment.Object, result string) payout {
	return payout{
		ID: r.auth.ID, Account: r.deposit.ID, Acquirer: r.dual.Acquirer, Gateway: r.dual.Gateway, Merchant: r.dual.Merchant, Consumer: r.consumer.String(),
		Mode: r.dual.Confirm.Mode, Amount: r.dual.Sum(), Auth: r.object.Digest(), AuthRes: authres.Digest(), Result: result,
	}
}

// approve signs the approval and holds the amount, in one commit with the reply. *ledger.InsufficientError if
// there is too little.
func (b *Bank) approve(ctx context.Context, c *agent.Call, r *review) (agent.Message, error) {
	now := b.Now()
	expires := now.Add(b.cfg.HoldLife).Truncate(time.Second)
	reply := agent.Message{}
	a := b.decision(r)
	hold := holdID(a.ID)
	a.Result, a.Code, a.Hold, a.HoldExpires = payment.Approved, payment.CodeApproved, hold.String(), expires.Unix()
	x := c.Exchange
	if r.dual.Confirm.Mode != payment.ConfirmNone {
		sealed, err := b.expectation(ctx, r, expires)
		if err != nil {
			return nil, err
		}
		a.Expect = sealed.Digest()
		reply[payment.KindExpect] = string(sealed)
		x.MadeSealed(a.ID, payment.KindExpect, sealed, b.cfg.Confirmer)
	}
	object, err := x.Sign(a, objectLife)
	if err != nil {
		return nil, err
	}
	reply[payment.KindAuthRes] = string(object)
	p := b.payout(r, object, payment.Approved)
	p.Expect = a.Expect
	return reply, b.Write(ctx, func(tx *agent.Tx) error {
		if _, _, err := tx.Book().Post(ledger.Transfer{
			ID: hold, Kind: ledger.KindHold, Debit: r.deposit.ID, Credit: dueToClearing(p.Amount.Currency), Amount: p.Amount,
			Code: "authorisation", Expires: expires, Time: now, Ref: object.Digest(),
		}); err != nil {
			return err
		}
		if !r.mandate.Used {
			m := r.mandate
			m.Used = true
			if err := tx.Put(mandateName(m.ID), m); err != nil {
				return err
			}
		}
		return errors.Join(b.record(tx, c, &x, p, r, reply), tx.Schedule(agent.Job{Name: "expire", ID: p.ID, At: expires}))
	})
}

// decline signs the refusal. Nothing is held.
func (b *Bank) decline(ctx context.Context, c *agent.Call, r *review) (agent.Message, error) {
	a := b.decision(r)
	a.Result, a.Code = payment.Refused, r.declined
	object, err := c.Sign(a, objectLife)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{payment.KindAuthRes: string(object)}
	return reply, b.Write(ctx, func(tx *agent.Tx) error {
		return b.record(tx, c, &c.Exchange, b.payout(r, object, payment.Refused), r, reply)
	})
}

// record keeps a decision and its reply.
func (b *Bank) record(tx *agent.Tx, c *agent.Call, x *agent.Exchange, p payout, r *review, reply agent.Message) error {
	var before payout
	if err := tx.Get("payment/"+p.ID, &before); !errors.Is(err, agent.ErrNotFound) {
		return errors.Join(err, payment.Refuse(payment.BadState, "payment "+p.ID, before.Result, "one that is new"))
	}
	return errors.Join(tx.Keep(x), tx.Put("payment/"+p.ID, p), tx.Finish(c, reply), tx.Event(audit.Event{
		Time: b.Now().UTC(), Kind: agent.Reviewed,
		Attrs: map[string]string{
			"payment": p.ID, "object": r.auth.Dual, "checked": "dual signature, instruction, account link, expiry, limit, funds", "result": p.Result,
		},
	}))
}

// expectation seals what the confirmer is to wait for.
func (b *Bank) expectation(ctx context.Context, r *review, holdExpires time.Time) (payment.Sealed, error) {
	secret, err := b.vault.Open(r.mandate.ID, r.mandate.Secret)
	if err != nil {
		return "", err
	}
	to, err := b.EncryptionOf(ctx, b.cfg.Confirmer)
	if err != nil {
		return "", err
	}
	expires := holdExpires
	if r.dual.Confirm.Mode == payment.ConfirmRealtime {
		expires = b.Now().Add(b.cfg.ConfirmLife)
	}
	e := payment.Expect{
		ID: r.auth.ID, Consumer: r.consumer.String(), Merchant: r.dual.Merchant, Amount: r.dual.Sum(),
		Nonce: payment.NewNonce(), Tries: confirmTries, Expires: expires.Unix(),
	}
	e.MAC = payment.EncodeMAC(payment.ConfirmationMAC(secret, e.ID, e.Amount, e.Merchant, e.Nonce))
	plain, err := e.Encode()
	if err != nil {
		return "", err
	}
	return payment.Seal(payment.KindExpect, to, plain)
}

// inquire: GET /inquiries/{id}?gateway=URI: the decision, if there is one.
func (b *Bank) inquire(_ context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	return reply, b.Read(func(tx *agent.Tx) error {
		p, err := b.load(tx, id, c.URI)
		if err != nil {
			return err
		}
		if p.Gateway != c.Request.URL.Query().Get("gateway") || p.AuthRes == "" {
			return agent.ErrNotFound
		}
		for kind, digest := range map[payment.Kind]string{payment.KindAuthRes: p.AuthRes, payment.KindExpect: p.Expect} {
			if digest == "" {
				continue
			}
			if reply[kind], err = tx.Object(id, digest); err != nil {
				return err
			}
		}
		return nil
	})
}
