package payment

import (
	"slices"
	"strconv"
	"time"

	"github.com/payca/payca/payment/money"
)

// A State is where a payment stands. What follows [Open], captures, is counted in [Progress].
type State string

// The states.
const (
	Offered     State = "offered"     // the merchant made an offer
	Requested   State = "requested"   // the consumer accepted it, the merchant asked the gateway
	Authorizing State = "authorizing" // the banks are asked
	Authorized  State = "authorized"  // the amount is held, not yet confirmed
	Confirmed   State = "confirmed"   // the consumer confirmed
	Opened      State = "open"        // the merchant may capture
	Reversing   State = "reversing"   // what may be held is being released
	Released    State = "voided"      // nothing is held, nor ever will be
	Declined    State = "declined"    // the issuing bank refused
	Lapsed      State = "expired"     // nobody paid in time
	Closed      State = "closed"      // everything captured or released
)

// transitions lists what may follow each state.
var transitions = map[State][]State{
	Offered:     {Offered, Requested, Lapsed},
	Requested:   {Authorizing, Lapsed},
	Authorizing: {Authorized, Declined, Reversing},
	Authorized:  {Confirmed, Opened, Reversing},
	Confirmed:   {Opened},
	Opened:      {Reversing, Closed},
	Reversing:   {Released},
}

// Final reports whether nothing can follow the state.
func (s State) Final() bool { return len(transitions[s]) == 0 }

// Can reports whether next may follow the state.
func (s State) Can(next State) bool { return slices.Contains(transitions[s], next) }

// The states of a capture.
const (
	CaptureRequested   = "requested"
	CaptureTransferred = "transferred"
	CaptureRefused     = "refused"
)

// maxCaptures is how many parts a payment may be captured in.
const maxCaptures = 99

// A Part is one capture of a payment: an operation of its own, with its own state.
type Part struct {
	Seq     int64       `json:"seq"`
	Amount  money.Money `json:"amount"`
	Final   bool        `json:"final"`
	State   string      `json:"state"` // requested, transferred, refused
	Time    time.Time   `json:"time"`  // of the last change
	Request string      `json:"request"`
}

// A Progress is how far a payment has come, as one party knows it.
type Progress struct {
	ID      string      `json:"id"`
	State   State       `json:"state"`
	Mode    Mode        `json:"mode,omitempty"` // of confirmation; "" until the consumer chose
	Amount  money.Money `json:"amount"`
	Parts   []Part      `json:"parts,omitempty"`
	Changed time.Time   `json:"changed"`
}

// Move takes the payment to the next state. Without a confirmation only the mode none may open it.
func (p *Progress) Move(next State, now time.Time) error {
	skips := p.State == Authorized && next == Opened && p.Mode != ConfirmNone
	if !p.State.Can(next) || skips {
		return Refuse(BadState, "payment "+p.ID, string(p.State), "a state that "+string(next)+" may follow")
	}
	if next == Reversing && slices.ContainsFunc(p.Parts, func(part Part) bool { return part.State != CaptureRefused }) {
		return Refuse(BadState, "payment "+p.ID, "captured in part", "one of which nothing was captured")
	}
	p.State, p.Changed = next, now
	return nil
}

// Captured returns the sum of the parts that were asked for and not refused.
func (p *Progress) Captured() money.Money {
	sum := money.New(0, p.Amount.Currency)
	for _, part := range p.Parts {
		if part.State != CaptureRefused {
			sum.Minor += part.Amount.Minor // each part was checked against the amount
		}
	}
	return sum
}

// Part returns the part with that number, nil if there is none.
func (p *Progress) Part(seq int64) *Part {
	for i := range p.Parts {
		if p.Parts[i].Seq == seq {
			return &p.Parts[i]
		}
	}
	return nil
}

// Begin adds the next part. request is the digest of what asked for it: with the same one it may be begun
// again. Codes: [BadState], [ExceedsAuthorised], [Conflict].
func (p *Progress) Begin(c *Capture, request string, now time.Time) (*Part, error) {
	if part := p.Part(c.Seq); part != nil {
		if part.Request != request {
			return nil, Refuse(Conflict, "capture "+strconv.FormatInt(c.Seq, 10), "another than before", "the same bytes, or the next number")
		}
		return part, nil
	}
	switch {
	case p.State != Opened:
		return nil, Refuse(BadState, "payment "+p.ID, string(p.State), string(Opened)+", to be captured")
	case c.Seq != int64(len(p.Parts))+1:
		return nil, Refuse(BadState, "capture.seq", strconv.FormatInt(c.Seq, 10), strconv.Itoa(len(p.Parts)+1)+", the next one")
	case c.Sum().Currency != p.Amount.Currency:
		return nil, Refuse(AmountMismatch, "capture.amount", c.Sum().String(), "an amount in "+string(p.Amount.Currency))
	}
	if n := len(p.Parts); n > 0 && p.Parts[n-1].State == CaptureRequested {
		return nil, Refuse(BadState, "capture.seq", strconv.FormatInt(c.Seq, 10), "to wait until the one before is done")
	}
	if left := p.Amount.Minor - p.Captured().Minor; c.Sum().Minor > left {
		return nil, Refuse(ExceedsAuthorised, "capture.amount", c.Sum().String(), "at most "+money.New(left, p.Amount.Currency).String())
	}
	p.Parts = append(p.Parts, Part{Seq: c.Seq, Amount: c.Sum(), Final: c.Final, State: CaptureRequested, Time: now, Request: request})
	p.Changed = now
	return &p.Parts[len(p.Parts)-1], nil
}

// Finish notes the outcome of a part; the last one closes the payment.
func (p *Progress) Finish(seq int64, state string, now time.Time) error {
	part := p.Part(seq)
	switch {
	case part == nil:
		return Refuse(BadState, "capture "+strconv.FormatInt(seq, 10), "not known", "one that was asked for")
	case part.State == state:
		return nil
	case part.State != CaptureRequested:
		return Refuse(BadState, "capture "+strconv.FormatInt(seq, 10), part.State, CaptureRequested)
	}
	part.State, part.Time, p.Changed = state, now, now
	if state == CaptureTransferred && p.State != Closed && (part.Final || p.Captured() == p.Amount) {
		return p.Move(Closed, now)
	}
	return nil
}
