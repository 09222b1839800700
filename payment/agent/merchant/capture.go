package merchant

import (
	"context"
	"errors"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/money"
)

// Ship notes that the goods have left. If the offer says so, and nothing was captured yet, the whole amount is captured.
func (m *Merchant) Ship(ctx context.Context, id string) (agent.View, error) {
	err := m.change(ctx, id, func(_ *agent.Tx, s *sale) error {
		if s.State != payment.Opened || s.Void != "" {
			return payment.Refuse(payment.BadState, "payment "+id, s.standing(), string(payment.Opened)+", to ship")
		}
		if s.Shipped.IsZero() {
			s.Shipped = m.Now()
		}
		return nil
	})
	if err != nil {
		return agent.View{}, err
	}
	s, err := m.read(id, "")
	if err != nil {
		return agent.View{}, err
	}
	if m.cfg.CaptureRule == payment.CaptureOnDelivery && s.Delivered == "" || len(s.Parts) > 0 {
		return m.view(s)
	}
	return m.Capture(ctx, id, nil, true)
}

// Capture asks for the next part of a payment, all that is left if amount is nil; final releases the rest. It
// returns once the money has moved, or with the refusal. After any other error it goes on by itself.
func (m *Merchant) Capture(ctx context.Context, id string, amount *money.Money, final bool) (agent.View, error) {
	x := m.Exchange(m.cfg.Gateway)
	s, err := m.read(id, "")
	if err != nil {
		return agent.View{}, err
	}
	if s.State != payment.Opened {
		return agent.View{}, payment.Refuse(payment.BadState, "payment "+id, string(s.State), string(payment.Opened)+", to be captured")
	}
	if amount == nil {
		left := money.New(s.Amount.Minor-s.Captured().Minor, s.Amount.Currency)
		amount = &left
	}
	c := &payment.Capture{
		Head: payment.Head{ID: id, Audience: []string{m.cfg.Gateway}, Amount: amount, Ref: s.AuthRes},
		Seq:  int64(len(s.Parts)) + 1, Final: final, Delivered: s.Delivered,
	}
	if !s.Shipped.IsZero() {
		c.Shipped = s.Shipped.Unix()
	}
	object, err := x.Sign(c, objectLife)
	if err != nil {
		return agent.View{}, err
	}
	if err := c.Rule(m.cfg.CaptureRule); err != nil {
		return agent.View{}, err
	}
	job := partID(id, c.Seq)
	err = m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		if s.Void != "" {
			return payment.Refuse(payment.BadState, "payment "+id, s.standing(), string(payment.Opened)+", to be captured")
		}
		if _, err := s.Begin(c, object.Digest(), m.Now()); err != nil {
			return err
		}
		return errors.Join(tx.Keep(x), tx.Schedule(agent.Job{Name: "capture", ID: job, At: m.Now().Add(2 * m.Timeout()), AtStart: true}))
	})
	if err != nil {
		return agent.View{}, err
	}
	if err := m.sendCapture(ctx, job); err != nil {
		return agent.View{}, err
	}
	if s, err = m.read(id, ""); err != nil {
		return agent.View{}, err
	}
	return m.view(s)
}

// sendCapture brings a capture to the gateway and notes what came of it. It can be repeated.
func (m *Merchant) sendCapture(ctx context.Context, job string) error {
	id, seq, err := parsePartID(job)
	if err != nil {
		return err
	}
	var s *sale
	var object string
	err = m.Read(func(tx *agent.Tx) (err error) {
		if s, err = load(tx, id, ""); err != nil {
			return err
		}
		part := s.Part(seq)
		if part == nil || part.State != payment.CaptureRequested {
			return nil
		}
		object, err = tx.Object(id, part.Request)
		return err
	})
	if err != nil || object == "" {
		return err
	}
	x := m.Exchange(m.cfg.Gateway)
	reply := agent.Message{}
	err = m.Send(ctx, m.cfg.Gateway, "/payments/"+id+"/capture", agent.Key(id, "capture", seq), agent.Message{payment.KindCapture: object}, &reply)
	state := payment.CaptureTransferred
	switch {
	case agent.Final(err):
		state = payment.CaptureRefused
	case err != nil:
		return err
	default:
		var t payment.Transferred
		_, bank, openErr := x.Open(ctx, reply, payment.KindTransferred, &t)
		if openErr != nil {
			return openErr
		}
		if bank.String() != s.Issuer || t.ID != id || t.Seq != seq || t.Merchant != m.URI() {
			return payment.Refuse(payment.ApprovalMismatch, "transferred", "for another payment", "that of capture "+job)
		}
		if part := s.Part(seq); t.Sum() != part.Amount {
			return payment.Refuse(payment.AmountMismatch, "transferred.amount", t.Sum().String(), part.Amount.String())
		}
	}
	refused := err
	err = m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		return errors.Join(s.Finish(seq, state, m.Now()), tx.Keep(x), tx.Cancel("capture", job))
	})
	return errors.Join(refused, err)
}

// Onboard redeems a token of the acquiring bank for a payout account.
func (m *Merchant) Onboard(ctx context.Context, token string) (agent.Onboarded, error) {
	var reply agent.Onboarded
	key := agent.Key(agent.InvitationID(token), "onboard", 1)
	if err := m.Send(ctx, m.cfg.Acquirer, "/merchants", key, agent.TokenRequest{Token: token}, &reply); err != nil {
		return reply, err
	}
	return reply, m.Write(ctx, func(tx *agent.Tx) error { return tx.Put("payout", reply.Payout) })
}

// A Sale is one line of the merchant's list.
type Sale struct {
	ID       string        `json:"id"`
	State    payment.State `json:"state"`
	Amount   money.Money   `json:"amount"`
	Captured money.Money   `json:"captured"`
	Consumer string        `json:"consumer"`
	Changed  time.Time     `json:"changed"`
}

// Sales lists every sale, oldest first.
func (m *Merchant) Sales() (list []Sale, err error) {
	list = []Sale{}
	err = m.Read(func(tx *agent.Tx) error {
		for id := range tx.Payments("sale") {
			var s sale
			if err := tx.Get(saleName(id), &s); err != nil {
				return err
			}
			list = append(list, Sale{ID: s.ID, State: s.State, Amount: s.Amount, Captured: s.Captured(), Consumer: s.Consumer, Changed: s.Changed})
		}
		return nil
	})
	return list, err
}

// The requests of the merchant's operator.
type (
	// A Target names a payment.
	Target struct {
		ID string `json:"id"`
	}
	// A CaptureRequest asks for a part of a payment.
	CaptureRequest struct {
		ID     string       `json:"id"`
		Amount *money.Money `json:"amount,omitempty"` // all that is left if it is missing
		Final  bool         `json:"final"`            // releases the rest
	}
	// A VoidRequest gives a payment up.
	VoidRequest struct {
		ID     string `json:"id"`
		Reason string `json:"reason"`
	}
	// A Revision replaces the terms of an offer.
	Revision struct {
		ID    string        `json:"id"`
		Terms payment.Terms `json:"terms"`
	}
)

// control adds what the merchant's operator can do.
func (m *Merchant) control() {
	agent.Control(m.Agent, "/list", func(context.Context, struct{}) (any, error) { return m.Sales() })
	agent.Control(m.Agent, "/show", func(_ context.Context, in Target) (any, error) {
		s, err := m.read(in.ID, "")
		if err != nil {
			return nil, err
		}
		return m.view(s)
	})
	agent.Control(m.Agent, "/ship", func(ctx context.Context, in Target) (any, error) { return m.Ship(ctx, in.ID) })
	agent.Control(m.Agent, "/capture", func(ctx context.Context, in CaptureRequest) (any, error) {
		return m.Capture(ctx, in.ID, in.Amount, in.Final)
	})
	agent.Control(m.Agent, "/void", func(ctx context.Context, in VoidRequest) (any, error) { return m.Void(ctx, in.ID, in.Reason) })
	agent.Control(m.Agent, "/onboard", func(ctx context.Context, in agent.TokenRequest) (any, error) { return m.Onboard(ctx, in.Token) })
	agent.Control(m.Agent, "/balance", func(ctx context.Context, _ struct{}) (any, error) {
		var b agent.Balance
		return &b, m.Fetch(ctx, m.cfg.Acquirer, "/balance", 0, &b)
	})
	agent.Control(m.Agent, "/revise", func(ctx context.Context, in Revision) (any, error) {
		s, err := m.read(in.ID, "")
		if err != nil {
			return nil, err
		}
		x := m.Exchange(s.Consumer)
		reply, err := m.revise(ctx, x, s, in.Terms)
		if err != nil {
			return nil, err
		}
		return reply, m.replace(ctx, s, func(tx *agent.Tx) error { return tx.Keep(x) })
	})
}
