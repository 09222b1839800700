package merchant

import (
	"context"
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

// Config says how a merchant does business.
type Config struct {
	Agent        *agent.Agent
	Items        []agent.Item
	Gateway      string // identity URI
	Acquirer     string // identity URI
	PaymentTerms string
	Instruments  []payment.Instrument
	CaptureRule  string        // one of payment.CaptureAnytime and so on
	OfferLife    time.Duration // 0 for 15 minutes
	AutoShip     bool          // ship as soon as it is paid
}

// A Merchant is a merchant's agent.
type Merchant struct {
	*agent.Agent
	cfg Config
}

const (
	defaultOfferLife = 15 * time.Minute
	objectLife       = 30 * 24 * time.Hour // of what is signed after the offer
	deliveryTime     = 3 * 24 * time.Hour
)

// New adds a merchant's routes and jobs to an agent.
func New(cfg Config) (*Merchant, error) {
	if cfg.Agent == nil || cfg.Gateway == "" || cfg.Acquirer == "" || len(cfg.Instruments) == 0 {
		return nil, errors.New("new merchant: want Agent, Gateway, Acquirer and Instruments")
	}
	if cfg.Agent.Self().Role != policy.Merchant {
		return nil, fmt.Errorf("new merchant: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	if cfg.OfferLife == 0 {
		cfg.OfferLife = defaultOfferLife
	}
	if cfg.CaptureRule == "" {
		cfg.CaptureRule = payment.CaptureOnShipment
	}
	if cfg.PaymentTerms == "" {
		cfg.PaymentTerms = "Payment by electronic instruction; the goods are delivered as offered."
	}
	m := &Merchant{Agent: cfg.Agent, cfg: cfg}
	m.Get("/catalogue", m.catalogue)
	m.Post("/orders", m.order)
	m.Post("/orders/{id}/amend", m.amend)
	m.Post("/orders/{id}/accept", m.accept)
	m.Post("/orders/{id}/delivered", m.delivered)
	m.Get("/orders/{id}", m.show)
	m.Post("/results", m.result)
	m.Handle("submit", m.submit)
	m.Handle("lapse", m.lapse)
	m.Handle("ship", func(ctx context.Context, id string) error { _, err := m.Ship(ctx, id); return err })
	m.Handle("capture", m.sendCapture)
	m.Handle("void", m.sendVoid)
	m.Handle("hold", m.holdEnded)
	m.control()
	return m, nil
}

// A sale is what a merchant keeps of a payment, under sale/ID.
type sale struct {
	payment.Progress
	Consumer  string        `json:"consumer"`
	Order     string        `json:"order"`
	Terms     payment.Terms `json:"terms"`
	Rev       int64         `json:"rev"`
	Offer     string        `json:"offer"` // digest of the newest
	Expires   time.Time     `json:"expires"`
	Dual      string        `json:"dual,omitempty"`    // digests
	Request   string        `json:"request,omitempty"` //
	AuthRes   string        `json:"authres,omitempty"`
	Result    string        `json:"result,omitempty"`
	Receipt   string        `json:"receipt,omitempty"`
	Delivered string        `json:"delivered,omitempty"`
	Void      string        `json:"void,omitempty"`   // what gives it up, until it is refused
	Issuer    string        `json:"issuer,omitempty"` // who approved
	Shipped   time.Time     `json:"shipped,omitzero"`
	Relay     bool          `json:"relay,omitempty"` // the instruction came through here
	Reason    string        `json:"reason,omitempty"`
}

// Take makes it a copy of another, for the agent to remember.
func (s *sale) Take(from any) bool {
	other, ok := from.(*sale)
	if ok {
		*s = *other
		s.Parts = slices.Clone(s.Parts) // a part moves in place; the terms are never changed
	}
	return ok
}

func saleName(id string) string { return "sale/" + id }

// load reads a sale; for a caller who is not its consumer there is none.
func load(tx *agent.Tx, id, consumer string) (*sale, error) {
	var s sale
	if err := tx.Get(saleName(id), &s); err != nil {
		return nil, err
	}
	if consumer != "" && s.Consumer != consumer {
		return nil, agent.ErrNotFound
	}
	return &s, nil
}

// read loads a sale outside of a write.
func (m *Merchant) read(id, consumer string) (s *sale, err error) {
	err = m.Read(func(tx *agent.Tx) error {
		s, err = load(tx, id, consumer)
		return err
	})
	return s, err
}

// change loads a sale, changes and keeps it.
func (m *Merchant) change(ctx context.Context, id string, change func(tx *agent.Tx, s *sale) error) error {
	return m.Write(ctx, func(tx *agent.Tx) error {
		s, err := load(tx, id, "")
		if err != nil {
			return err
		}
		if err := change(tx, s); err != nil {
			return err
		}
		tx.Ring(saleName(id))
		return tx.Put(saleName(id), s)
	})
}

func (m *Merchant) catalogue(context.Context, *agent.Call) (any, error) {
	return agent.Catalogue{Merchant: m.URI(), Items: m.cfg.Items}, nil
}

// price writes the merchant's prices into terms.
func (m *Merchant) price(t payment.Terms) (payment.Terms, error) {
	t.Lines = slices.Clone(t.Lines)
	for i := range t.Lines {
		line := &t.Lines[i]
		at := slices.IndexFunc(m.cfg.Items, func(item agent.Item) bool { return item.SKU == line.SKU })
		if at < 0 {
			return t, payment.Refuse(payment.NotFound, fmt.Sprintf("lines[%d].sku", i), strconv.Quote(line.SKU), "one of the catalogue")
		}
		item := m.cfg.Items[at]
		if line.Model != item.Model {
			return t, payment.Refuse(payment.NotFound, fmt.Sprintf("lines[%d].model", i), strconv.Quote(line.Model), strconv.Quote(item.Model)+", as the catalogue has")
		}
		for _, option := range line.Options {
			c := slices.IndexFunc(item.Choices, func(c agent.Choice) bool { return c.Name == option.Name })
			if c < 0 || !slices.Contains(item.Choices[c].Values, option.Value) {
				return t, payment.Refuse(payment.NotFound, fmt.Sprintf("lines[%d].options", i), strconv.Quote(option.Name+" "+option.Value), "what the catalogue has for "+item.SKU)
			}
		}
		line.UnitPrice = item.UnitPrice
	}
	return t, nil
}

// order: POST /orders, key ORDER/order/1.
func (m *Merchant) order(ctx context.Context, c *agent.Call) (any, error) {
	var o payment.Order
	if err := c.Decode(&o); err != nil {
		return nil, err
	}
	if err := c.Operation(o.Order, "order", 1); err != nil {
		return nil, err
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	s := &sale{Consumer: c.URI, Order: o.Order}
	s.Progress = payment.Progress{ID: payment.NewID(m.Now()), State: payment.Offered}
	reply, err := m.offer(ctx, &c.Exchange, s, o.Terms)
	if err != nil {
		return nil, err
	}
	return reply, m.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(
			tx.Keep(&c.Exchange), tx.Put(saleName(s.ID), s), tx.Finish(c, reply),
			tx.Schedule(agent.Job{Name: "lapse", ID: s.ID, At: s.Expires}),
		)
	})
}

// offer signs the next revision for a sale.
func (m *Merchant) offer(ctx context.Context, x *agent.Exchange, s *sale, terms payment.Terms) (agent.Message, error) {
	terms, err := m.price(terms)
	if err != nil {
		return nil, err
	}
	total, err := terms.Total()
	if err != nil {
		return nil, err
	}
	enc, err := m.EncryptionOf(ctx, m.cfg.Gateway)
	if err != nil {
		return nil, err
	}
	o := &payment.Offer{
		Head:  payment.Head{ID: s.ID, Audience: []string{s.Consumer}, Amount: &total, Ref: s.Offer},
		Order: s.Order, Rev: s.Rev + 1, Nonce: payment.NewNonce(), Terms: terms,
		PaymentTerms: m.cfg.PaymentTerms, Instruments: m.cfg.Instruments,
		Gateway: m.cfg.Gateway, GatewayEnc: payment.Thumbprint(enc.Raw), Acquirer: m.cfg.Acquirer, CaptureRule: m.cfg.CaptureRule,
	}
	object, err := x.Sign(o, m.cfg.OfferLife)
	if err != nil {
		return nil, err
	}
	s.Terms, s.Rev, s.Offer, s.Amount, s.Expires = terms, o.Rev, object.Digest(), total, time.Unix(o.Expires, 0)
	s.Changed = m.Now()
	return agent.Message{payment.KindOffer: string(object)}, nil
}

// amend: POST /orders/{id}/amend, key ID/amend/REV with the revision that is wanted.
func (m *Merchant) amend(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	var terms payment.Terms
	if err := c.Decode(&terms); err != nil {
		return nil, err
	}
	if err := terms.Check(); err != nil {
		return nil, err
	}
	s, err := m.read(id, c.URI)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(id, "amend", s.Rev+1); err != nil {
		return nil, err
	}
	reply, err := m.revise(ctx, &c.Exchange, s, terms)
	if err != nil {
		return nil, err
	}
	return reply, m.replace(ctx, s, func(tx *agent.Tx) error { return errors.Join(tx.Keep(&c.Exchange), tx.Finish(c, reply)) })
}

// revise signs a new revision of what is not yet accepted.
func (m *Merchant) revise(ctx context.Context, x *agent.Exchange, s *sale, terms payment.Terms) (agent.Message, error) {
	if err := s.Move(payment.Offered, m.Now()); err != nil {
		return nil, err
	}
	return m.offer(ctx, x, s, terms)
}

// replace keeps a revised sale, unless another revision or an acceptance came first.
func (m *Merchant) replace(ctx context.Context, s *sale, also func(tx *agent.Tx) error) error {
	return m.change(ctx, s.ID, func(tx *agent.Tx, now *sale) error {
		if now.Rev != s.Rev-1 || now.State != payment.Offered {
			return payment.Refuse(payment.OfferSuperseded, "revision", strconv.FormatInt(s.Rev, 10), "one that follows "+strconv.FormatInt(now.Rev, 10))
		}
		*now = *s
		return errors.Join(also(tx), tx.Schedule(agent.Job{Name: "lapse", ID: s.ID, At: s.Expires}))
	})
}

// lapse ends an offer that nobody accepted.
func (m *Merchant) lapse(ctx context.Context, id string) error {
	return m.change(ctx, id, func(_ *agent.Tx, s *sale) error {
		if s.State != payment.Offered || m.Now().Before(s.Expires) {
			return nil
		}
		return s.Move(payment.Lapsed, m.Now())
	})
}

// show: GET /orders/{id}?wait=SECONDS
func (m *Merchant) show(ctx context.Context, c *agent.Call) (any, error) {
	id, err := c.PathID()
	if err != nil {
		return nil, err
	}
	changed := m.Wait(saleName(id))
	s, err := m.read(id, c.URI)
	if err != nil {
		return nil, err
	}
	if wait := c.Wait(); wait > 0 && s.Receipt == "" && !s.State.Final() {
		select {
		case <-changed:
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		if s, err = m.read(id, c.URI); err != nil {
			return nil, err
		}
	}
	return m.view(s)
}

func (m *Merchant) view(s *sale) (v agent.View, err error) {
	v = agent.View{
		ID: s.ID, State: s.State, Amount: s.Amount, Merchant: m.URI(), Gateway: m.cfg.Gateway, Parts: s.Parts, Reason: s.Reason,
	}
	err = m.Read(func(tx *agent.Tx) (err error) {
		v.Objects, err = tx.Objects(s.ID, payment.KindOffer, payment.KindResult, payment.KindAuthRes, payment.KindReceipt, payment.KindTransferred, payment.KindVoided)
		return err
	})
	return v, err
}

// partID names a capture for a job, and reads such a name.
func partID(id string, seq int64) string { return id + "#" + strconv.FormatInt(seq, 10) }

func parsePartID(s string) (id string, seq int64, err error) {
	id, number, ok := strings.Cut(s, "#")
	if seq, err = strconv.ParseInt(number, 10, 64); !ok || err != nil {
		return "", 0, fmt.Errorf("job about %q, want PAYMENT#NUMBER", s)
	}
	return id, seq, nil
}
