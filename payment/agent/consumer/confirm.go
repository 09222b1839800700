package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// Pending asks the confirmer what there is to confirm, waiting for as long as wait.
func (c *Consumer) Pending(ctx context.Context, confirmer string, wait time.Duration) ([]agent.Notice, error) {
	var list agent.Notices
	err := c.Fetch(ctx, confirmer, fmt.Sprintf("/confirmations?wait=%d", int(wait.Seconds())), wait, &list)
	return list.Confirmations, err
}

// An Answered is what came of a confirmation.
type Answered struct {
	ID     string `json:"id"`
	Result string `json:"result"` // confirmed, rejected
}

// An answer is what was signed for the confirmer, kept so that it can be sent again.
type answer struct {
	Object  string `json:"object"`  // digest
	AuthRes string `json:"authres"` // digest
	Try     int64  `json:"try"`
}

// Confirm answers the confirmer for one payment, if it asks for the amount and payee that were signed. It can be
// repeated: what was answered before is answered again.
func (c *Consumer) Confirm(ctx context.Context, id string, wait time.Duration) (*Answered, error) {
	p, err := c.read(id)
	if err != nil {
		return nil, err
	}
	link, err := c.linkFor(p.Issuer, p.Amount.Currency)
	if err != nil {
		return nil, err
	}
	if p.Answer != nil {
		return c.sendAnswer(ctx, p, link.Confirmer)
	}
	secret, err := c.vault.Open("secret", link.Key)
	if err != nil {
		return nil, err
	}
	notices, err := c.Pending(ctx, link.Confirmer, wait)
	if err != nil {
		return nil, err
	}
	for _, n := range notices {
		if n.ID == id {
			return c.answer(ctx, p, link.Confirmer, n, payment.ConfirmationMAC(secret, id, p.Amount, p.Merchant, n.Nonce))
		}
	}
	return nil, payment.Refuse(payment.NotFound, "confirmation of "+id, "not asked for", "a payment that was authorised")
}

// answer signs the answer and keeps it before it is sent.
func (c *Consumer) answer(ctx context.Context, p *purchase, confirmer string, n agent.Notice, mac []byte) (*Answered, error) {
	if n.Amount != p.Amount || n.Merchant != p.Merchant {
		return nil, payment.Refuse(payment.AmountMismatch, "confirmation", n.Amount.String()+" to "+n.Merchant, p.Amount.String()+" to "+p.Merchant+", as signed")
	}
	x := c.Exchange(confirmer)
	object, err := x.Sign(&payment.Answer{
		Head:     payment.Head{ID: p.ID, Audience: []string{confirmer}, Amount: &p.Amount, Ref: n.AuthRes},
		Merchant: p.Merchant, Code: payment.EncodeMAC(mac), Channel: "online",
	}, objectLife)
	if err != nil {
		return nil, err
	}
	const tries = 3
	err = c.change(ctx, p.ID, func(tx *agent.Tx, now *purchase) error {
		if now.Answer == nil { // else another call was faster, and its answer stands
			now.Answer = &answer{Object: object.Digest(), AuthRes: n.AuthRes, Try: tries - n.Tries + 1}
		}
		p = now
		return tx.Keep(x)
	})
	if err != nil {
		return nil, err
	}
	return c.sendAnswer(ctx, p, confirmer)
}

// sendAnswer sends the answer that is kept and reads the confirmer's word.
func (c *Consumer) sendAnswer(ctx context.Context, p *purchase, confirmer string) (*Answered, error) {
	var object string
	err := c.Read(func(tx *agent.Tx) (err error) {
		object, err = tx.Object(p.ID, p.Answer.Object)
		return err
	})
	if err != nil {
		return nil, err
	}
	reply, x := agent.Message{}, c.Exchange(confirmer)
	err = c.Send(ctx, confirmer, "/confirmations/"+p.ID+"/answer", agent.Key(p.ID, "answer", p.Answer.Try), agent.Message{payment.KindAnswer: object}, &reply)
	if agent.Final(err) { // the next one is signed anew
		sent := p.Answer.Object
		if err := c.change(ctx, p.ID, func(_ *agent.Tx, p *purchase) error {
			if p.Answer != nil && p.Answer.Object == sent {
				p.Answer = nil
			}
			return nil
		}); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	var m payment.Confirmation
	confirm, signer, err := x.Open(ctx, reply, payment.KindConfirm, &m)
	if err != nil {
		return nil, err
	}
	if signer.Role != policy.Confirmer || m.ID != p.ID || m.Ref != p.Answer.AuthRes {
		return nil, payment.Refuse(payment.ApprovalMismatch, "confirm", "of another payment", "that of "+p.ID)
	}
	err = c.change(ctx, p.ID, func(tx *agent.Tx, p *purchase) error {
		p.Confirm = confirm.Digest()
		return tx.Keep(x)
	})
	return &Answered{ID: p.ID, Result: m.Result}, err
}
