package consumer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// The routes of an instruction: one object, two ways.
const (
	Direct = "direct" // from the consumer to the gateway
	Relay  = "relay"  // through the merchant, as in SET
)

// Config says whose agent it is.
type Config struct{ Agent *agent.Agent }

// A Consumer is a consumer's agent.
type Consumer struct {
	*agent.Agent
	vault *account.Vault
}

// objectLife is of what a consumer signs, unless the offer ends before.
const objectLife = 24 * time.Hour

// New adds a consumer's operations to an agent.
func New(cfg Config) (*Consumer, error) {
	if cfg.Agent == nil {
		return nil, errors.New("new consumer: want Agent")
	}
	if cfg.Agent.Self().Role != policy.Consumer {
		return nil, fmt.Errorf("new consumer: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	vault, err := account.OpenVault(filepath.Join(cfg.Agent.Dir(), "vault.key"))
	if err != nil {
		return nil, err
	}
	c := &Consumer{Agent: cfg.Agent, vault: vault}
	c.control()
	return c, nil
}

// A purchase is what a consumer keeps of a payment, under purchase/ID.
type purchase struct {
	payment.Progress
	Merchant  string        `json:"merchant"`
	Order     string        `json:"order"`
	Terms     payment.Terms `json:"terms"` // what was asked for last
	Rev       int64         `json:"rev"`
	Offer     string        `json:"offer"` // digest of the newest
	Gateway   string        `json:"gateway"`
	Issuer    string        `json:"issuer,omitempty"`
	Route     string        `json:"route,omitempty"`
	Dual      string        `json:"dual,omitempty"`
	Sealed    string        `json:"sealed,omitempty"` // the instruction
	AuthRes   string        `json:"authres,omitempty"`
	Answer    *answer       `json:"answer,omitempty"` // to the confirmer
	Confirm   string        `json:"confirm,omitempty"`
	Receipt   string        `json:"receipt,omitempty"`
	Delivered string        `json:"delivered,omitempty"`
	Reason    string        `json:"reason,omitempty"`
}

// Take makes it a copy of another, for the agent to remember.
func (p *purchase) Take(from any) bool {
	other, ok := from.(*purchase)
	if ok {
		*p = *other
		p.Parts = slices.Clone(p.Parts) // a part moves in place; terms and answers are never changed
	}
	return ok
}

func name(id string) string { return "purchase/" + id }

func (c *Consumer) read(id string) (*purchase, error) {
	var p purchase
	return &p, c.Read(func(tx *agent.Tx) error { return tx.Get(name(id), &p) })
}

// change loads a purchase, changes and keeps it.
func (c *Consumer) change(ctx context.Context, id string, change func(tx *agent.Tx, p *purchase) error) error {
	return c.Write(ctx, func(tx *agent.Tx) error {
		var p purchase
		if err := tx.Get(name(id), &p); err != nil {
			return err
		}
		if err := change(tx, &p); err != nil {
			return err
		}
		return tx.Put(name(id), &p)
	})
}

// Link redeems a token of an issuing bank: from then on the consumer can pay from the account there.
func (c *Consumer) Link(ctx context.Context, issuer, token string) (account.Link, error) {
	var link account.Link
	key := agent.Key(agent.InvitationID(token), "link", 1)
	if err := c.Send(ctx, issuer, "/links", key, agent.TokenRequest{Token: token}, &link); err != nil {
		return link, err
	}
	number, err := account.ParseNumber(link.Number)
	if err != nil {
		return link, err
	}
	if link.Issuer != issuer {
		return link, payment.Refuse(payment.NotAddressedHere, "link.issuer", link.Issuer, issuer)
	}
	kept := link
	kept.Number, kept.Secret = "", nil
	return link, c.Write(ctx, func(tx *agent.Tx) error {
		return tx.Put("link/"+issuer, linked{Link: kept, Digits: c.vault.Seal("number", []byte(number.Reveal())), Key: c.vault.Seal("secret", link.Secret)})
	})
}

// linked is an account as it is kept, under link/ISSUER.
type linked struct {
	account.Link
	Digits []byte `json:"digits"` // the number, encrypted
	Key    []byte `json:"key"`    // the secret, encrypted
}

// linkFor finds a linked account in a currency, at that bank if it is not "".
func (c *Consumer) linkFor(issuer string, currency money.Currency) (found linked, err error) {
	err = c.Read(func(tx *agent.Tx) error {
		for entry := range tx.Names("link/") {
			var l linked
			if err := tx.Get(entry, &l); err != nil {
				return err
			}
			if (issuer == "" || l.Issuer == issuer) && l.Currency == currency {
				found = l
				return nil
			}
		}
		return payment.Refuse(payment.AccountNotLinked, "account", "none in "+string(currency), "one that was linked with a token of its bank")
	})
	return found, err
}

// An Offered is an offer as the consumer sees it.
type Offered struct {
	ID      string           `json:"id"`
	Rev     int64            `json:"rev"`
	Total   money.Money      `json:"total"`
	Expires time.Time        `json:"expires"`
	Offer   payment.Terms    `json:"offer"`
	Changes []payment.Change `json:"changes"` // against what was asked for: empty if it is exactly that
	Since   []payment.Change `json:"since"`   // against the revision before
}

// Order asks a merchant for an offer. Nothing is agreed to yet.
func (c *Consumer) Order(ctx context.Context, merchant string, terms payment.Terms) (*Offered, error) {
	o := payment.Order{Order: payment.NewID(c.Now()), Terms: terms}
	if err := o.Check(); err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := c.Send(ctx, merchant, "/orders", agent.Key(o.Order, "order", 1), o, &reply); err != nil {
		return nil, err
	}
	p := &purchase{Merchant: merchant, Order: o.Order, Terms: terms}
	return c.offered(ctx, p, reply)
}

// Amend asks for other terms, which the merchant offers as a new revision.
func (c *Consumer) Amend(ctx context.Context, id string, terms payment.Terms) (*Offered, error) {
	p, err := c.read(id)
	if err != nil {
		return nil, err
	}
	if err := p.Move(payment.Offered, c.Now()); err != nil {
		return nil, err
	}
	if err := terms.Check(); err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := c.Send(ctx, p.Merchant, "/orders/"+id+"/amend", agent.Key(id, "amend", p.Rev+1), terms, &reply); err != nil {
		return nil, err
	}
	p.Terms = terms
	return c.offered(ctx, p, reply)
}

// Refresh looks whether the merchant has made a new revision by itself.
func (c *Consumer) Refresh(ctx context.Context, id string) (*Offered, error) {
	p, err := c.read(id)
	if err != nil {
		return nil, err
	}
	var v agent.View
	if err := c.Fetch(ctx, p.Merchant, "/orders/"+id, 0, &v); err != nil {
		return nil, err
	}
	offers := v.Objects[string(payment.KindOffer)]
	if len(offers) == 0 {
		return nil, payment.Refuse(payment.BadState, "order", "without an offer", "an offer")
	}
	return c.offered(ctx, p, agent.Message{payment.KindOffer: offers[len(offers)-1]})
}

// offered checks an offer, compares it with what was asked for, and keeps it.
func (c *Consumer) offered(ctx context.Context, p *purchase, reply agent.Message) (*Offered, error) {
	x := c.Exchange(p.Merchant)
	var o payment.Offer
	object, signer, err := x.Open(ctx, reply, payment.KindOffer, &o)
	switch {
	case err != nil:
		return nil, err
	case signer.String() != p.Merchant:
		return nil, payment.Refuse(payment.NotAddressedHere, "signer of offer", signer.String(), p.Merchant)
	case o.Order != p.Order || p.ID != "" && o.ID != p.ID:
		return nil, payment.Refuse(payment.OIHMismatch, "offer.order", o.Order, p.Order+", the order that was placed")
	case p.Offer != "" && object.Digest() != p.Offer && (o.Rev <= p.Rev || o.Ref != p.Offer && o.Rev == p.Rev+1):
		return nil, payment.Refuse(payment.OfferSuperseded, "offer.rev", fmt.Sprint(o.Rev), fmt.Sprintf("one that follows %d", p.Rev))
	}
	result := &Offered{
		ID: o.ID, Rev: o.Rev, Total: o.Sum(), Expires: time.Unix(o.Expires, 0).UTC(), Offer: o.Terms,
		Changes: payment.Diff(p.Terms, o.Terms), Since: []payment.Change{},
	}
	if before, err := c.offer(ctx, p); err == nil {
		result.Since = payment.Diff(before.Terms, o.Terms)
	}
	next := purchase{Merchant: p.Merchant, Order: p.Order, Terms: p.Terms, Rev: o.Rev, Offer: object.Digest(), Gateway: o.Gateway}
	next.Progress = payment.Progress{ID: o.ID, State: payment.Offered, Amount: o.Sum(), Changed: c.Now()}
	return result, c.Write(ctx, func(tx *agent.Tx) error { return errors.Join(next.keep(tx), tx.Keep(x)) })
}

// keep keeps a purchase with a new offer, which takes the place of older ones and of what was signed for them: a merchant
// that offers again has not accepted. An offer that is known already changes nothing.
func (p *purchase) keep(tx *agent.Tx) error {
	var now purchase
	err := tx.Get(name(p.ID), &now)
	switch {
	case errors.Is(err, agent.ErrNotFound):
	case err != nil:
		return err
	case now.Order != p.Order || now.Merchant != p.Merchant:
		return payment.Refuse(payment.OIHMismatch, "offer.id", p.ID+", which another order has", "an id of its own")
	case now.Offer == p.Offer:
		now.Terms = p.Terms
		return tx.Put(name(p.ID), &now)
	case now.State != payment.Offered && now.State != payment.Requested:
		return payment.Refuse(payment.BadState, "payment "+p.ID, string(now.State), string(payment.Offered)+", for another offer")
	case p.Rev <= now.Rev:
		return payment.Refuse(payment.OfferSuperseded, "offer.rev", fmt.Sprint(p.Rev), fmt.Sprintf("one that follows %d", now.Rev))
	}
	return tx.Put(name(p.ID), p)
}

// offer reads the newest offer that is kept.
func (c *Consumer) offer(ctx context.Context, p *purchase) (*payment.Offer, error) {
	var object string
	err := c.Read(func(tx *agent.Tx) (err error) {
		object, err = tx.Object(p.ID, p.Offer)
		return err
	})
	if err != nil {
		return nil, err
	}
	var o payment.Offer
	_, _, err = c.Reopen(ctx, object, &o)
	return &o, err
}

// Catalogue asks a merchant what it sells.
func (c *Consumer) Catalogue(ctx context.Context, merchant string) (agent.Catalogue, error) {
	var reply agent.Catalogue
	err := c.Fetch(ctx, merchant, "/catalogue", 0, &reply)
	return reply, err
}
