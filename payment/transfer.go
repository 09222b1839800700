package payment

// A Capture asks for a part of what is held, or for all of it.
type Capture struct {
	Head             // Ref is the authres
	Seq       int64  `json:"seq"`                 // 1, 2 and so on
	Final     bool   `json:"final"`               // releases what is left
	Shipped   int64  `json:"shipped,omitempty"`   // when the goods left, seconds since 1970
	Delivered string `json:"delivered,omitempty"` // digest of the consumer's signature for the goods
}

func (*Capture) kind() Kind { return KindCapture }

func (m *Capture) check() error {
	c := checker{kind: KindCapture}
	c.amount(&m.Head)
	c.digest("ref", m.Ref)
	c.between("seq", m.Seq, 1, maxCaptures)
	c.between("shipped", m.Shipped, 0, maxInt)
	if m.Delivered != "" {
		c.digest("delivered", m.Delivered)
	}
	return c.err
}

// Rule checks a capture against the rule of the offer.
func (m *Capture) Rule(rule string) error {
	switch {
	case rule == CaptureOnShipment && m.Shipped == 0:
		return Refuse(BadState, "capture.shipped", "missing", "when the goods left, as the offer says "+rule)
	case rule == CaptureOnDelivery && m.Delivered == "":
		return Refuse(BadState, "capture.delivered", "missing", "the consumer's signature for the goods, as the offer says "+rule)
	case m.Shipped > m.IssuedAt+int64(MaxSkew.Seconds()):
		return Refuse(BadState, "capture.shipped", stamp(m.Shipped), "not later than the capture, "+stamp(m.IssuedAt))
	}
	return nil
}

// A Transfer is a capture as the gateway passes it to the banks.
type Transfer struct {
	Head           // Ref is the authres
	Seq     int64  `json:"seq"`
	Final   bool   `json:"final"`
	Capture string `json:"capture"`           // digest of the merchant's capture
	Confirm string `json:"confirm,omitempty"` // digest of the confirmation, unless the mode is none
}

func (*Transfer) kind() Kind { return KindTransfer }

func (t *Transfer) check() error {
	c := checker{kind: KindTransfer}
	c.amount(&t.Head)
	c.digest("ref", t.Ref)
	c.between("seq", t.Seq, 1, maxCaptures)
	c.digest("capture", t.Capture)
	if t.Confirm != "" {
		c.digest("confirm", t.Confirm)
	}
	return c.err
}

// A Transferred says that the money has left the consumer's account.
type Transferred struct {
	Head            // Ref is the transfer
	Merchant string `json:"merchant"` // identity URI of the payee
	Seq      int64  `json:"seq"`
	Final    bool   `json:"final"`
	Posting  string `json:"posting"` // id of the transfer in the issuing bank's ledger
}

func (*Transferred) kind() Kind { return KindTransferred }

func (t *Transferred) check() error {
	c := checker{kind: KindTransferred}
	c.amount(&t.Head)
	c.digest("ref", t.Ref)
	c.uri("merchant", t.Merchant)
	c.between("seq", t.Seq, 1, maxCaptures)
	c.text("posting", t.Posting, 1, 64)
	return c.err
}

// CheckTransfer checks that the money that moved is the money that was asked for.
func (t *Transferred) CheckTransfer(object Object, x *Transfer) error {
	switch {
	case t.Ref != object.Digest() || t.ID != x.ID || t.Seq != x.Seq || t.Final != x.Final:
		return Refuse(ApprovalMismatch, "transferred.ref", t.Ref, "the transfer that was asked for, "+object.Digest())
	case t.Sum() != x.Sum():
		return Refuse(AmountMismatch, "transferred.amount", t.Sum().String(), x.Sum().String())
	}
	return nil
}

// A Void asks to release what is held: the merchant the gateway, the gateway the banks. A gateway that
// had no answer to its auth voids without knowing whether there is a hold.
type Void struct {
	Head          // Ref is the authres, or the auth if there was no answer
	Reason string `json:"reason"`
}

func (*Void) kind() Kind { return KindVoid }

func (v *Void) check() error {
	c := checker{kind: KindVoid}
	c.digest("ref", v.Ref)
	c.text("reason", v.Reason, 1, 200)
	return c.err
}

// A Voided says that nothing is held for the payment, nor ever will be.
type Voided struct {
	Head            // Ref is the void
	Merchant string `json:"merchant"`
	Released bool   `json:"released"` // whether there was a hold
}

func (*Voided) kind() Kind { return KindVoided }

func (v *Voided) check() error {
	c := checker{kind: KindVoided}
	c.digest("ref", v.Ref)
	c.uri("merchant", v.Merchant)
	return c.err
}
