package payment

import (
	"crypto/sha256"
	"slices"

	"github.com/payca/payca/policy"
)

// OIH returns the digest by which the dual signature names an order: SHA-256 over "pay-oi-v1", a zero
// octet and the offer as it was signed, in base64url.
func OIH(offer Object) string { return tagged("pay-oi-v1", []byte(offer)) }

// PIH returns the digest by which the dual signature names an instruction: SHA-256 over "pay-pi-v1",
// a zero octet and the JSON of the instruction as the consumer wrote it, in base64url.
func PIH(instruction []byte) string { return tagged("pay-pi-v1", instruction) }

// tagged hashes under a domain, so that one thing is never taken for another.
func tagged(domain string, data []byte) string {
	h := sha256.New()
	h.Write([]byte(domain))
	h.Write([]byte{0})
	h.Write(data)
	return b64.EncodeToString(h.Sum(nil))
}

// A Mode says how a payment is confirmed after the issuing bank approved it.
type Mode string

// The modes.
const (
	ConfirmNone     Mode = "none"     // not at all: the flow of SET
	ConfirmRealtime Mode = "realtime" // the consumer answers the confirmer at once
	ConfirmDeferred Mode = "deferred" // the consumer answers within a window
)

// A Confirm is the consumer's choice of how to confirm.
type Confirm struct {
	Mode    Mode   `json:"mode"`
	Channel string `json:"channel"` // online, phone, mail-link
}

func (c *checker) confirm(m Confirm) {
	c.oneOf("confirm.mode", string(m.Mode), string(ConfirmNone), string(ConfirmRealtime), string(ConfirmDeferred))
	c.oneOf("confirm.channel", m.Channel, "online", "phone", "mail-link")
}

// A Dual is the dual signature: the consumer's one signature over order and
// instruction, each known only by its digest. Its readers are merchant, gateway and acquirer; the
// issuing bank, which the merchant need not know, reads it because the instruction names that bank.
type Dual struct {
	Head
	OIH        string  `json:"oih"`         // see [OIH]
	PIH        string  `json:"pih"`         // see [PIH]
	Merchant   string  `json:"merchant"`    // identity URI of the payee
	Gateway    string  `json:"gateway"`     // identity URI of the only gateway that may take the instruction
	GatewayEnc string  `json:"gateway_enc"` // thumbprint of the certificate to which the instruction is sealed
	Acquirer   string  `json:"acquirer"`    // identity URI of the merchant's bank
	Instrument string  `json:"instrument"`  // one that the offer lists
	Confirm    Confirm `json:"confirm"`
}

func (*Dual) kind() Kind { return KindDual }

func (d *Dual) check() error {
	c := checker{kind: KindDual}
	c.amount(&d.Head)
	c.digest("oih", d.OIH)
	c.digest("pih", d.PIH)
	c.uri("merchant", d.Merchant)
	c.uri("gateway", d.Gateway)
	c.digest("gateway_enc", d.GatewayEnc)
	c.uri("acquirer", d.Acquirer)
	c.text("instrument", d.Instrument, 1, 32)
	c.confirm(d.Confirm)
	return c.err
}

// CheckOffer checks what the merchant, or anyone else who holds the offer, can: that the dual signature
// is over this offer and agrees with it. consumer is the signer of the dual.
func (d *Dual) CheckOffer(offer Object, o *Offer, consumer policy.Identity) error {
	switch {
	case d.ID != o.ID || d.OIH != OIH(offer):
		return Refuse(OIHMismatch, "dual.oih", d.OIH+" of payment "+d.ID, OIH(offer)+" of payment "+o.ID)
	case !slices.Contains(o.Audience, consumer.String()):
		return Refuse(ConsumerMismatch, "signer of dual", consumer.String(), "the consumer to whom the offer was made")
	case d.Sum() != o.Sum():
		return Refuse(AmountMismatch, "dual.amount", d.Sum().String(), o.Sum().String())
	case d.Merchant != o.Issuer:
		return Refuse(NotAddressedHere, "dual.merchant", quote(d.Merchant), o.Issuer)
	case d.Gateway != o.Gateway || d.Acquirer != o.Acquirer:
		return Refuse(NotAddressedHere, "dual.gateway, dual.acquirer", quote(d.Gateway+" "+d.Acquirer), o.Gateway+" "+o.Acquirer)
	case d.GatewayEnc != o.GatewayEnc:
		return Refuse(BadRecipient, "dual.gateway_enc", d.GatewayEnc, o.GatewayEnc)
	case d.Expires > o.Expires:
		return Refuse(Expired, "dual.exp", stamp(d.Expires), "not later than the offer, "+stamp(o.Expires))
	}
	return o.allows(d.Instrument)
}

// CheckRequest checks what the gateway can: that the merchant asks for what the consumer signed.
func (d *Dual) CheckRequest(dual Object, r *Request) error {
	switch {
	case r.ID != d.ID || r.OIH != d.OIH || r.Dual != dual.Digest():
		return Refuse(OIHMismatch, "request", "about payment "+r.ID+" with oih "+r.OIH, "payment "+d.ID+" with oih "+d.OIH)
	case r.Issuer != d.Merchant:
		return Refuse(NotAddressedHere, "signer of request", r.Issuer, "the merchant that the dual signature names, "+d.Merchant)
	case r.Sum() != d.Sum():
		return Refuse(AmountMismatch, "request.amount", r.Sum().String(), d.Sum().String())
	}
	return nil
}

// CheckAuth checks what both banks can, without the instruction: that the gateway asks for what the
// consumer signed, and is the gateway that the consumer named.
func (d *Dual) CheckAuth(dual Object, a *Auth) error {
	switch {
	case a.ID != d.ID || a.Dual != dual.Digest():
		return Refuse(OIHMismatch, "auth.dual", a.Dual+" of payment "+a.ID, dual.Digest()+" of payment "+d.ID)
	case a.Issuer != d.Gateway:
		return Refuse(NotAddressedHere, "signer of auth", a.Issuer, "the gateway that the dual signature names, "+d.Gateway)
	case a.Sum() != d.Sum():
		return Refuse(AmountMismatch, "auth.amount", a.Sum().String(), d.Sum().String())
	case a.Merchant != d.Merchant:
		return Refuse(NotAddressedHere, "auth.merchant", quote(a.Merchant), d.Merchant)
	}
	return a.Fields.agree(d.Sum())
}
