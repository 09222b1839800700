package consumer

import (
	"context"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// The requests of the consumer's operator.
type (
	// A Target names a payment, or with Merchant where to look.
	Target struct {
		ID string `json:"id"`
	}
	// A LinkRequest redeems a bank's token.
	LinkRequest struct {
		Issuer string `json:"issuer"` // identity URI
		Token  string `json:"token"`
	}
	// An OrderRequest asks a merchant for an offer.
	OrderRequest struct {
		Merchant string        `json:"merchant"` // identity URI
		Terms    payment.Terms `json:"terms"`
	}
	// An AmendRequest asks for other terms.
	AmendRequest struct {
		ID    string        `json:"id"`
		Terms payment.Terms `json:"terms"`
	}
	// An AcceptRequest accepts the newest offer.
	AcceptRequest struct {
		ID string `json:"id"`
		Choice
	}
	// A WaitRequest names a payment, and how long to wait in seconds.
	WaitRequest struct {
		ID   string `json:"id"`
		Wait int64  `json:"wait"`
	}
	// A DeliveredRequest signs for the goods.
	DeliveredRequest struct {
		ID   string `json:"id"`
		What string `json:"what"`
	}
	// A MerchantRequest names a merchant, or a bank.
	MerchantRequest struct {
		URI string `json:"uri"`
	}
)

// A Linked is a linked account as it may be shown.
type Linked struct {
	Issuer    string `json:"issuer"`
	Confirmer string `json:"confirmer"`
	Currency  string `json:"currency"`
}

// control adds what the consumer's operator can do.
func (c *Consumer) control() {
	agent.Control(c.Agent, "/link", func(ctx context.Context, in LinkRequest) (any, error) {
		l, err := c.Link(ctx, in.Issuer, in.Token)
		return Linked{Issuer: l.Issuer, Confirmer: l.Confirmer, Currency: string(l.Currency)}, err
	})
	agent.Control(c.Agent, "/catalogue", func(ctx context.Context, in MerchantRequest) (any, error) { return c.Catalogue(ctx, in.URI) })
	agent.Control(c.Agent, "/order", func(ctx context.Context, in OrderRequest) (any, error) { return c.Order(ctx, in.Merchant, in.Terms) })
	agent.Control(c.Agent, "/amend", func(ctx context.Context, in AmendRequest) (any, error) { return c.Amend(ctx, in.ID, in.Terms) })
	agent.Control(c.Agent, "/refresh", func(ctx context.Context, in Target) (any, error) { return c.Refresh(ctx, in.ID) })
	agent.Control(c.Agent, "/accept", func(ctx context.Context, in AcceptRequest) (any, error) { return c.Accept(ctx, in.ID, in.Choice) })
	agent.Control(c.Agent, "/pay", func(ctx context.Context, in Target) (any, error) { return c.Pay(ctx, in.ID) })
	agent.Control(c.Agent, "/confirm", func(ctx context.Context, in WaitRequest) (any, error) {
		return c.Confirm(ctx, in.ID, time.Duration(in.Wait)*time.Second)
	})
	agent.Control(c.Agent, "/await", func(ctx context.Context, in WaitRequest) (any, error) {
		return c.Await(ctx, in.ID, time.Duration(in.Wait)*time.Second)
	})
	agent.Control(c.Agent, "/delivered", func(ctx context.Context, in DeliveredRequest) (any, error) {
		return struct{}{}, c.Delivered(ctx, in.ID, in.What)
	})
	agent.Control(c.Agent, "/balance", func(ctx context.Context, in MerchantRequest) (any, error) {
		var list []agent.Balance
		err := c.Fetch(ctx, in.URI, "/balance", 0, &list)
		return list, err
	})
	agent.Control(c.Agent, "/list", func(context.Context, struct{}) (any, error) { return c.Purchases() })
	agent.Control(c.Agent, "/show", func(_ context.Context, in Target) (any, error) { return c.read(in.ID) })
}

// Purchases lists every payment, oldest first.
func (c *Consumer) Purchases() (list []payment.Progress, err error) {
	list = []payment.Progress{}
	err = c.Read(func(tx *agent.Tx) error {
		for id := range tx.Payments("purchase") {
			var p purchase
			if err := tx.Get(name(id), &p); err != nil {
				return err
			}
			list = append(list, p.Progress)
		}
		return nil
	})
	return list, err
}
