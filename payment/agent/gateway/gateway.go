package gateway

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// A Route says which issuing bank has the accounts that start with some digits.
type Route struct {
	BIN    string // digits
	Issuer string // identity URI
}

// Config says whose gateway it is.
type Config struct {
	Agent     *agent.Agent
	Routes    []Route
	Confirmer string // identity URI
	// Deadline is how long the gateway asks for the outcome of an authorisation before it reverses (T2); 0 for 15 s.
	Deadline time.Duration
}

const (
	defaultDeadline = 15 * time.Second
	objectLife      = 30 * 24 * time.Hour
)

// A Gateway is a gateway's agent.
type Gateway struct {
	*agent.Agent
	cfg    Config
	traces atomic.Uint64 // counts messages to the banks
}

// New adds a gateway's routes and jobs to an agent.
func New(cfg Config) (*Gateway, error) {
	if cfg.Agent == nil || len(cfg.Routes) == 0 || cfg.Confirmer == "" {
		return nil, errors.New("new gateway: want Agent, Routes and Confirmer")
	}
	if !agent.Is(cfg.Agent.Self().Role, payment.GatewayRoles()) {
		return nil, fmt.Errorf("new gateway: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	if cfg.Deadline == 0 {
		cfg.Deadline = defaultDeadline
	}
	g := &Gateway{Agent: cfg.Agent, cfg: cfg}
	g.Post("/payments", g.request)
	g.Get("/payments/{id}", g.show)
	g.Post("/payments/{id}/instruction", g.instruction)
	g.Post("/payments/{id}/confirmed", g.confirmed)
	g.Post("/payments/{id}/capture", g.capture)
	g.Post("/payments/{id}/void", g.void)
	g.Handle("lapse", g.lapse)
	g.Handle("authorize", g.authorize)
	g.Handle("confirm", g.sendConfirm)
	g.Handle("result", g.sendResult)
	g.Handle("reverse", func(ctx context.Context, id string) error { _, err := g.reverse(ctx, id); return err })
	g.Handle("transfer", g.sendTransfer)
	g.Handle("hold", g.holdExpired)
	agent.Control(g.Agent, "/show", func(_ context.Context, in struct {
		ID string `json:"id"`
	},
	) (any, error) {
		p, err := g.read(in.ID)
		if err != nil {
			return nil, err
		}
		return g.view(p)
	})
	return g, nil
}

// A record is what a gateway keeps of a payment, under payment/ID. Objects are named by their digests.
type record struct {
	payment.Progress
	Merchant    string           `json:"merchant"`
	Consumer    string           `json:"consumer"`
	Acquirer    string           `json:"acquirer"`
	Issuer      string           `json:"issuer,omitempty"`
	CaptureRule string           `json:"capture_rule"`
	GatewayEnc  string           `json:"gateway_enc"`
	Expires     int64            `json:"exp"` // of the dual signature
	Dual        string           `json:"dual"`
	Request     string           `json:"request"`
	Sealed      string           `json:"sealed,omitempty"`      // the instruction as it came
	Instruction string           `json:"instruction,omitempty"` // sealed again for the issuing bank
	Auth        string           `json:"auth,omitempty"`
	AuthRes     string           `json:"authres,omitempty"`
	Expect      string           `json:"expect,omitempty"`
	Confirm     string           `json:"confirm,omitempty"`
	Result      string           `json:"result,omitempty"`
	Void        string           `json:"void,omitempty"`
	Voided      string           `json:"voided,omitempty"`
	Reason      string           `json:"reason,omitempty"`
	Begun       time.Time        `json:"begun,omitzero"` // when the banks were asked first
	Transfers   map[int64]string `json:"transfers,omitempty"`

	Refusals map[int64]payment.Code `json:"refusals,omitempty"` // of transfers
}

// Take makes it a copy of another, for the agent to remember.
func (r *record) Take(from any) bool {
	other, ok := from.(*record)
	if ok {
		*r = *other
		r.Parts, r.Transfers, r.Refusals = slices.Clone(r.Parts), maps.Clone(r.Transfers), maps.Clone(r.Refusals)
	}
	return ok
}

func name(id string) string { return "payment/" + id }

func load(tx *agent.Tx, id string) (*record, error) {
	var p record
	return &p, tx.Get(name(id), &p)
}

func (g *Gateway) read(id string) (p *record, err error) {
	err = g.Read(func(tx *agent.Tx) error {
		p, err = load(tx, id)
		return err
	})
	return p, err
}

// own reads a payment for a caller who takes part in it; for others there is none.
func (g *Gateway) own(c *agent.Call) (*record, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	p, err := g.read(id)
	if err == nil && c.URI != p.Consumer && c.URI != p.Merchant {
		return nil, agent.ErrNotFound
	}
	return p, err
}

// change loads a payment, changes and keeps it.
func (g *Gateway) change(ctx context.Context, id string, change func(tx *agent.Tx, p *record) error) error {
	return g.Write(ctx, func(tx *agent.Tx) error {
		p, err := load(tx, id)
		if err != nil {
			return err
		}
		if err := change(tx, p); err != nil {
			return err
		}
		return tx.Put(name(id), p)
	})
}

// message collects objects of a payment by their digests.
func (g *Gateway) message(id string, digests map[payment.Kind]string) (m agent.Message, err error) {
	m = agent.Message{}
	err = g.Read(func(tx *agent.Tx) error {
		for kind, digest := range digests {
			if digest == "" {
				continue
			}
			if m[kind], err = tx.Object(id, digest); err != nil {
				return err
			}
		}
		return nil
	})
	return m, err
}

// show: GET /payments/{id}
func (g *Gateway) show(_ context.Context, c *agent.Call) (any, error) {
	p, err := g.own(c)
	if err != nil {
		return nil, err
	}
	return g.view(p)
}

func (g *Gateway) view(p *record) (v agent.View, err error) {
	v = agent.View{
		ID: p.ID, State: p.State, Amount: p.Amount, Merchant: p.Merchant, Gateway: g.URI(), GatewayEnc: p.GatewayEnc, Parts: p.Parts, Reason: p.Reason,
	}
	if p.Mode != payment.ConfirmNone {
		v.Confirmer = g.cfg.Confirmer
	}
	err = g.Read(func(tx *agent.Tx) (err error) {
		v.Objects, err = tx.Objects(p.ID, payment.KindAuthRes, payment.KindConfirm, payment.KindTransferred, payment.KindVoided)
		return err
	})
	return v, err
}

// request: POST /payments, key ID/request/1: the merchant's request with the consumer's dual signature.
func (g *Gateway) request(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var r payment.Request
	var dual payment.Dual
	object, merchant, err := c.Open(ctx, msg, payment.KindRequest, &r)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(r.ID, "request", 1); err != nil {
		return nil, err
	}
	dualObject, consumer, err := c.Open(ctx, msg, payment.KindDual, &dual)
	if err != nil {
		return nil, err
	}
	if err := g.checkRequest(c, &r, &dual, dualObject, merchant); err != nil {
		return nil, err
	}
	p := record{
		Merchant: merchant.String(), Consumer: consumer.String(), Acquirer: dual.Acquirer, CaptureRule: r.CaptureRule,
		GatewayEnc: dual.GatewayEnc, Expires: dual.Expires, Dual: dualObject.Digest(), Request: object.Digest(),
	}
	p.Progress = payment.Progress{ID: r.ID, State: payment.Requested, Mode: dual.Confirm.Mode, Amount: dual.Sum(), Changed: g.Now()}
	view, err := g.view(&p)
	if err != nil {
		return nil, err
	}
	return view, g.Write(ctx, func(tx *agent.Tx) error {
		if known, err := load(tx, p.ID); err == nil && known.Request != p.Request {
			return payment.Refuse(payment.Conflict, "request", "another for payment "+p.ID, "one request for each payment")
		}
		return errors.Join(
			tx.Keep(&c.Exchange), tx.Put(name(p.ID), &p), tx.Finish(c, view),
			tx.Schedule(agent.Job{Name: "lapse", ID: p.ID, At: time.Unix(p.Expires, 0)}),
		)
	})
}

// checkRequest checks that merchant and consumer mean the same payment, through this gateway.
func (g *Gateway) checkRequest(c *agent.Call, r *payment.Request, dual *payment.Dual, object payment.Object, merchant policy.Identity) error {
	if dual.Gateway != g.URI() {
		return payment.Refuse(payment.NotAddressedHere, "dual.gateway", dual.Gateway, g.URI())
	}
	if merchant.String() != c.URI {
		return payment.Refuse(payment.NotAddressedHere, "caller", c.URI, "the merchant that signed the request, "+merchant.String())
	}
	if err := dual.CheckRequest(object, r); err != nil {
		return err
	}
	_, err := g.Key(dual.GatewayEnc)
	return err
}

// lapse ends a payment for which no instruction came in time.
func (g *Gateway) lapse(ctx context.Context, id string) error {
	return g.change(ctx, id, func(tx *agent.Tx, p *record) error {
		if p.State != payment.Requested {
			return nil
		}
		return errors.Join(p.Move(payment.Lapsed, g.Now()), g.fail(ctx, tx, p, "expired"))
	})
}

// issuerOf finds the bank for an account by the longest route.
func (g *Gateway) issuerOf(bin string) (string, error) {
	best := Route{}
	for _, r := range g.cfg.Routes {
		if strings.HasPrefix(bin, r.BIN) && len(r.BIN) > len(best.BIN) {
			best = r
		}
	}
	if best.Issuer == "" {
		return "", payment.Refuse(payment.InvalidAccount, "account number", "one that starts with an unknown BIN, response code 14", "one of a bank that this gateway has a route to")
	}
	return best.Issuer, nil
}
