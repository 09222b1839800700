package merchant

import (
	"context"
	"errors"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

// standing is the state, and whether the sale is being given up.
func (s *sale) standing() string {
	if s.Void != "" && s.State == payment.Opened {
		return "being given up"
	}
	return string(s.State)
}

// Void gives up a payment of which nothing was captured. It returns once nothing is held any more, or with the
// refusal. After any other error it goes on by itself; until then nothing can be captured.
func (m *Merchant) Void(ctx context.Context, id, reason string) (agent.View, error) {
	x := m.Exchange(m.cfg.Gateway)
	s, err := m.read(id, "")
	if err != nil {
		return agent.View{}, err
	}
	void := &payment.Void{Head: payment.Head{ID: id, Audience: []string{m.cfg.Gateway}, Ref: s.AuthRes}, Reason: reason}
	object, err := x.Sign(void, objectLife)
	if err != nil {
		return agent.View{}, err
	}
	err = m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		switch {
		case s.Void != "":
			return nil // the one that was asked for first stands
		case s.State != payment.Opened || s.Captured().Minor > 0:
			return payment.Refuse(payment.BadState, "payment "+id, string(s.State), string(payment.Opened)+" and nothing captured")
		}
		s.Void, s.Reason = object.Digest(), reason
		return errors.Join(tx.Keep(x), tx.Schedule(agent.Job{Name: "void", ID: id, At: m.Now().Add(2 * m.Timeout()), AtStart: true}))
	})
	if err != nil {
		return agent.View{}, err
	}
	if err := m.sendVoid(ctx, id); err != nil {
		return agent.View{}, err
	}
	if s, err = m.read(id, ""); err != nil {
		return agent.View{}, err
	}
	return m.view(s)
}

// sendVoid brings a void to the gateway and notes what came of it. It can be repeated.
func (m *Merchant) sendVoid(ctx context.Context, id string) error {
	var s *sale
	var object string
	err := m.Read(func(tx *agent.Tx) (err error) {
		if s, err = load(tx, id, ""); err != nil || s.Void == "" || s.State != payment.Opened {
			return err
		}
		object, err = tx.Object(id, s.Void)
		return err
	})
	if err != nil || object == "" {
		return err
	}
	x := m.Exchange(m.cfg.Gateway)
	reply := agent.Message{}
	err = m.Send(ctx, m.cfg.Gateway, "/payments/"+id+"/void", agent.Key(id, "void", 1), agent.Message{payment.KindVoid: object}, &reply)
	if agent.Final(err) {
		return errors.Join(err, m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
			s.Void, s.Reason = "", ""
			return tx.Cancel("void", id)
		}))
	}
	if err != nil {
		return err
	}
	var voided payment.Voided
	_, bank, err := x.Open(ctx, reply, payment.KindVoided, &voided)
	if err != nil {
		return err
	}
	if bank.String() != s.Issuer || voided.ID != id {
		return payment.Refuse(payment.ApprovalMismatch, "voided", "of payment "+voided.ID+" by "+bank.String(), id+" by "+s.Issuer)
	}
	return m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		if s.State != payment.Opened {
			return tx.Cancel("void", id) // noted meanwhile
		}
		return errors.Join(s.Move(payment.Reversing, m.Now()), s.Move(payment.Released, m.Now()), tx.Keep(x), tx.Cancel("void", id))
	})
}

// holdEnded asks the gateway what became of a sale that is still open when its hold is over: nothing can be captured any
// more. It can be repeated.
func (m *Merchant) holdEnded(ctx context.Context, id string) error {
	s, err := m.read(id, "")
	if err != nil || s.State != payment.Opened {
		return err
	}
	var v agent.View
	if err := m.Fetch(ctx, m.cfg.Gateway, "/payments/"+id, 0, &v); err != nil {
		return err
	}
	x := m.Exchange(m.cfg.Gateway)
	switch {
	case v.State == payment.Released:
		var voided payment.Voided
		objects := v.Objects[string(payment.KindVoided)]
		if len(objects) == 0 {
			return payment.Refuse(payment.ApprovalMismatch, "payment "+id, "voided without the bank's word", "with it")
		}
		_, bank, err := x.Open(ctx, agent.Message{payment.KindVoided: objects[0]}, payment.KindVoided, &voided)
		if err != nil {
			return err
		}
		if bank.String() != s.Issuer || voided.ID != id {
			return payment.Refuse(payment.ApprovalMismatch, "voided", "of payment "+voided.ID+" by "+bank.String(), id+" by "+s.Issuer)
		}
	case v.State != payment.Closed:
		return payment.Refuse(payment.BadState, "payment "+id, string(v.State)+" at the gateway", "its end; ask again")
	}
	return m.change(ctx, id, func(tx *agent.Tx, s *sale) error {
		if s.State != payment.Opened {
			return nil
		}
		if v.State == payment.Closed {
			return s.Move(payment.Closed, m.Now())
		}
		s.Reason = v.Reason
		return errors.Join(s.Move(payment.Reversing, m.Now()), s.Move(payment.Released, m.Now()), tx.Keep(x), tx.Cancel("void", id))
	})
}
