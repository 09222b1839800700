package confirmer

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// Config says whose agent it is.
type Config struct{ Agent *agent.Agent }

// A Confirmer is a payment confirmation system's agent.
type Confirmer struct{ *agent.Agent }

// objectLife is of a signed confirmation.
const objectLife = 365 * 24 * time.Hour

// New adds a confirmer's routes and jobs to an agent.
func New(cfg Config) (*Confirmer, error) {
	if cfg.Agent == nil {
		return nil, errors.New("new confirmer: want Agent")
	}
	if cfg.Agent.Self().Role != policy.Confirmer {
		return nil, fmt.Errorf("new confirmer: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	k := &Confirmer{Agent: cfg.Agent}
	k.Post("/confirmations", k.expect)
	k.Get("/confirmations", k.list)
	k.Post("/confirmations/{id}/answer", k.answer)
	k.Handle("expire", k.expire)
	k.Handle("tell", k.tell)
	return k, nil
}

// A pending is what is kept of a confirmation, under confirmation/ID; open ones also under consumer/URI/ID.
type pending struct {
	payment.Expect
	Gateway string `json:"gateway"`
	Issuer  string `json:"issuer"`
	AuthRes string `json:"authres"`           // digest
	Wrong   int64  `json:"wrong"`             // answers so far
	Result  string `json:"result,omitempty"`  // confirmed, rejected, expired
	Confirm string `json:"confirm,omitempty"` // digest of what was signed
}

func name(id string) string               { return "confirmation/" + id }
func listName(consumer, id string) string { return "consumer/" + consumer + "/" + id }

// expect: POST /confirmations, key ID/confirmation/1: the approval, and the expectation that is sealed to this confirmer.
func (k *Confirmer) expect(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var a payment.AuthRes
	object, bank, err := c.Open(ctx, msg, payment.KindAuthRes, &a)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(a.ID, "confirmation", 1); err != nil {
		return nil, err
	}
	if !slices.Contains(a.Audience, c.URI) {
		return nil, payment.Refuse(payment.NotAddressedHere, "caller", c.URI, "the gateway that the approval is for")
	}
	sealed, err := c.Sealed(a.ID, msg, payment.KindExpect)
	if err != nil {
		return nil, err
	}
	if a.Result != payment.Approved || a.Expect != sealed.Digest() {
		return nil, payment.Refuse(payment.ApprovalMismatch, "authres.expect", a.Expect, sealed.Digest()+" of an approval")
	}
	e, err := k.unseal(sealed)
	if err != nil {
		return nil, err
	}
	switch {
	case e.ID != a.ID || e.Merchant != a.Merchant || e.Consumer != a.Consumer:
		return nil, payment.Refuse(payment.ApprovalMismatch, "expect", "for payment "+e.ID, "payment "+a.ID+" with the same parties")
	case e.Amount != a.Sum():
		return nil, payment.Refuse(payment.AmountMismatch, "authres.amount", a.Sum().String(), e.Amount.String())
	}
	p := pending{Expect: e, Gateway: c.URI, Issuer: bank.String(), AuthRes: object.Digest()}
	reply := agent.Message{}
	return reply, k.Write(ctx, func(tx *agent.Tx) error {
		if err := tx.Get(name(e.ID), new(pending)); !errors.Is(err, agent.ErrNotFound) {
			return errors.Join(err, payment.Refuse(payment.Conflict, "confirmation of "+e.ID, "asked for before", "one for each payment"))
		}
		tx.Ring(e.Consumer)
		return errors.Join(
			tx.Keep(&c.Exchange), tx.Put(name(e.ID), p), tx.Put(listName(e.Consumer, e.ID), e.ID), tx.Finish(c, reply),
			tx.Schedule(agent.Job{Name: "expire", ID: e.ID, At: time.Unix(e.Expires, 0)}),
		)
	})
}

func (k *Confirmer) unseal(sealed payment.Sealed) (payment.Expect, error) {
	to, err := payment.SealedTo(payment.KindExpect, sealed)
	if err != nil {
		return payment.Expect{}, err
	}
	key, err := k.Key(to)
	if err != nil {
		return payment.Expect{}, err
	}
	plain, err := payment.Unseal(payment.KindExpect, sealed, key)
	if err != nil {
		return payment.Expect{}, err
	}
	return payment.ReadExpect(plain)
}

// list: GET /confirmations?wait=SECONDS: what the caller has to answer.
func (k *Confirmer) list(ctx context.Context, c *agent.Call) (any, error) {
	changed := k.Wait(c.URI)
	reply, err := k.open(c.URI)
	if wait := c.Wait(); err == nil && len(reply.Confirmations) == 0 && wait > 0 {
		select {
		case <-changed:
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		reply, err = k.open(c.URI)
	}
	return reply, err
}

func (k *Confirmer) open(consumer string) (list agent.Notices, err error) {
	list.Confirmations = []agent.Notice{}
	prefix := listName(consumer, "")
	err = k.Read(func(tx *agent.Tx) error {
		for entry := range tx.Names(prefix) {
			var p pending
			if err := tx.Get(name(strings.TrimPrefix(entry, prefix)), &p); err != nil {
				return err
			}
			if !k.Now().Before(time.Unix(p.Expires, 0)) {
				continue
			}
			list.Confirmations = append(list.Confirmations, agent.Notice{
				ID: p.ID, Merchant: p.Merchant, Amount: p.Amount, Nonce: p.Nonce, AuthRes: p.AuthRes, Tries: p.Tries - p.Wrong, Expires: time.Unix(p.Expires, 0).UTC(),
			})
		}
		return nil
	})
	return list, err
}

// answer: POST /confirmations/{id}/answer, key ID/answer/N for the Nth try.
func (k *Confirmer) answer(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	var p pending
	if err := k.Read(func(tx *agent.Tx) error { return tx.Get(name(id), &p) }); err != nil {
		return nil, err
	}
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var a payment.Answer
	_, signer, err := c.Open(ctx, msg, payment.KindAnswer, &a)
	switch {
	case err != nil:
		return nil, err
	case signer.String() != p.Consumer:
		return nil, payment.Refuse(payment.ConsumerMismatch, "signer of answer", signer.String(), "the consumer of the payment")
	case c.URI != p.Consumer:
		return nil, agent.ErrNotFound
	case a.ID != id || a.Ref != p.AuthRes:
		return nil, payment.Refuse(payment.NoMatch, "answer.ref", a.Ref+" of payment "+a.ID, p.AuthRes+" of payment "+id)
	case p.Result != "":
		return nil, payment.Refuse(payment.BadState, "confirmation", p.Result, "one that is open")
	case !k.Now().Before(time.Unix(p.Expires, 0)):
		return nil, payment.Refuse(payment.Expired, "confirmation", "open until "+time.Unix(p.Expires, 0).UTC().Format(time.RFC3339), "an answer in time")
	}
	if err := c.Operation(id, "answer", p.Wrong+1); err != nil {
		return nil, err
	}
	right := a.Sum() == p.Amount && a.Merchant == p.Merchant && matches(&a, &p)
	if !right && p.Wrong+1 < p.Tries {
		return nil, k.wrong(ctx, id, p.Wrong)
	}
	result := payment.ConfirmedResult
	if !right {
		result = payment.RejectedResult
	}
	reply, err := k.decide(ctx, &c.Exchange, c, p, result)
	if err != nil {
		return nil, err
	}
	if err := k.tell(ctx, id); err != nil {
		return reply, nil //nolint:nilerr // the job tells the gateway later; the consumer's answer counts
	}
	return reply, nil
}

// matches compares the code in constant time.
func matches(a *payment.Answer, p *pending) bool {
	want := p.MAC
	if a.Channel == "phone" {
		digits, err := payment.DigitsOf(p.MAC)
		if err != nil {
			return false
		}
		want = digits
	}
	return subtle.ConstantTimeCompare([]byte(a.Code), []byte(want)) == 1
}

// wrong counts a wrong answer and says how many are left.
func (k *Confirmer) wrong(ctx context.Context, id string, wrong int64) error {
	var p pending
	err := k.Write(ctx, func(tx *agent.Tx) error {
		p = pending{}
		if err := tx.Get(name(id), &p); err != nil {
			return err
		}
		if p.Wrong != wrong || p.Result != "" {
			return payment.Refuse(payment.BadState, "confirmation", "answered meanwhile", "one answer at a time")
		}
		p.Wrong++
		return tx.Put(name(id), p)
	})
	if err != nil {
		return err
	}
	return payment.Refuse(payment.NoMatch, "answer.code", "another than expected", "the code for this amount and payee; "+strconv.FormatInt(p.Tries-p.Wrong, 10)+" tries left")
}

// decide signs the one result of a confirmation. c is nil when the clock decides.
func (k *Confirmer) decide(ctx context.Context, x *agent.Exchange, c *agent.Call, p pending, result string) (agent.Message, error) {
	m := &payment.Confirmation{
		Head:   payment.Head{ID: p.ID, Audience: []string{p.Gateway, p.Issuer, p.Consumer}, Amount: &p.Amount, Ref: p.AuthRes},
		Result: result,
	}
	object, err := x.Sign(m, objectLife)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{payment.KindConfirm: string(object)}
	return reply, k.Write(ctx, func(tx *agent.Tx) error {
		var now pending
		if err := tx.Get(name(p.ID), &now); err != nil {
			return err
		}
		if now.Result != "" || now.Wrong != p.Wrong {
			return payment.Refuse(payment.BadState, "confirmation", "answered meanwhile", "one that is open")
		}
		now.Result, now.Confirm = result, object.Digest()
		if c != nil {
			if err := tx.Finish(c, reply); err != nil {
				return err
			}
		}
		tx.Ring(p.Consumer)
		return errors.Join(
			tx.Keep(x), tx.Put(name(p.ID), now), tx.Delete(listName(p.Consumer, p.ID)), tx.Cancel("expire", p.ID),
			tx.Schedule(agent.Job{Name: "tell", ID: p.ID, At: k.Now().Add(2 * k.Timeout()), AtStart: true}),
		)
	})
}

// expire ends a confirmation that was not answered in time.
func (k *Confirmer) expire(ctx context.Context, id string) error {
	var p pending
	if err := k.Read(func(tx *agent.Tx) error { return tx.Get(name(id), &p) }); err != nil {
		return err
	}
	if p.Result == "" {
		if _, err := k.decide(ctx, k.Exchange(p.Gateway), nil, p, payment.ExpiredResult); err != nil {
			return err
		}
	}
	return k.tell(ctx, id)
}

// tell brings the result to the gateway. It can be repeated.
func (k *Confirmer) tell(ctx context.Context, id string) error {
	var p pending
	var confirm string
	err := k.Read(func(tx *agent.Tx) (err error) {
		if err = tx.Get(name(id), &p); err == nil {
			confirm, err = tx.Object(id, p.Confirm)
		}
		return err
	})
	if err != nil {
		return err
	}
	err = k.Send(ctx, p.Gateway, "/payments/"+id+"/confirmed", agent.Key(id, "confirmed", 1), agent.Message{payment.KindConfirm: confirm}, nil)
	if err != nil && !agent.Final(err) {
		return err
	}
	k.Done("tell", id)
	return nil
}
