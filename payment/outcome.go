package payment

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment/money"
)

// The results of an authorisation.
const (
	Approved = "approved"
	Refused  = "declined"
)

// The response codes of ISO 8583:1987 (DE39) that an issuing bank answers with.
const (
	CodeApproved     = "00"
	CodeDoNotHonor   = "05"
	CodeInvalidCard  = "14"
	CodeNoFunds      = "51"
	CodeExpiredCard  = "54"
	CodeExceedsLimit = "61"
)

// An AuthRes is the issuing bank's decision. Approved, the amount is held until HoldExpires.
type AuthRes struct {
	Head               // Ref is the auth
	Merchant    string `json:"merchant"`           // identity URI of the payee
	Consumer    string `json:"consumer"`           // identity URI of the payer
	Result      string `json:"result"`             // approved, declined
	Code        string `json:"code"`               // ISO 8583 DE39
	Hold        string `json:"hold,omitempty"`     // id of the hold
	HoldExpires int64  `json:"hold_exp,omitempty"` // seconds since 1970
	Expect      string `json:"expect,omitempty"`   // digest of what the confirmer is to expect
}

func (*AuthRes) kind() Kind { return KindAuthRes }

func (a *AuthRes) check() error {
	c := checker{kind: KindAuthRes}
	c.amount(&a.Head)
	c.digest("ref", a.Ref)
	c.uri("merchant", a.Merchant)
	c.uri("consumer", a.Consumer)
	c.oneOf("result", a.Result, Approved, Refused)
	c.digits("code", a.Code, 2, 2)
	if a.Result == Approved {
		c.text("hold", a.Hold, 1, 64)
		c.between("hold_exp", a.HoldExpires, a.IssuedAt+1, a.IssuedAt+maxLife)
		c.oneOf("code", a.Code, CodeApproved)
	} else if a.Hold != "" || a.HoldExpires != 0 || a.Code == CodeApproved {
		c.refuse("hold", quote(a.Hold+" "+a.Code), "none, as it was declined")
	}
	if a.Expect != "" {
		c.digest("expect", a.Expect)
	}
	return c.err
}

// An Expect is what the confirmer waits for: the code that only the consumer and its bank can
// compute. It is sealed to the confirmer, so that the gateway carries what it cannot read.
type Expect struct {
	ID       string      `json:"id"`       // of the payment
	Consumer string      `json:"consumer"` // identity URI of who has to answer
	Merchant string      `json:"merchant"` // identity URI of the payee
	Amount   money.Money `json:"amount"`
	Nonce    string      `json:"nonce"`
	MAC      string      `json:"mac"`   // see [ConfirmationMAC], base64url
	Tries    int64       `json:"tries"` // wrong answers until it is rejected
	Expires  int64       `json:"exp"`   // seconds since 1970
}

// Encode returns the JSON to seal.
func (e Expect) Encode() ([]byte, error) { return json.Marshal(e) }

// ReadExpect reads what [Unseal] returned.
func ReadExpect(data []byte) (Expect, error) {
	var e Expect
	if err := strictjson.Unmarshal(data, &e); err != nil {
		return Expect{}, BadJSONError(string(KindExpect), err)
	}
	c := checker{kind: KindExpect}
	c.id("id", e.ID)
	c.uri("consumer", e.Consumer)
	c.uri("merchant", e.Merchant)
	c.nonce("nonce", e.Nonce)
	c.digest("mac", e.MAC)
	c.between("tries", e.Tries, 1, 10)
	c.between("exp", e.Expires, 1, maxInt)
	if c.err != nil {
		return Expect{}, c.err
	}
	return e, checkAmount("expect.amount", e.Amount)
}

// ConfirmationMAC returns the code by which a consumer confirms one payment: HMAC-SHA-256 with the secret
// that it shares with its bank, over "pay-confirm-v1", payment id, minor units, currency, payee and nonce,
// joined by zero octets. Another amount or payee has another code (dynamic linking).
func ConfirmationMAC(secret []byte, id string, amount money.Money, merchant, nonce string) []byte {
	h := hmac.New(sha256.New, secret)
	for i, part := range []string{"pay-confirm-v1", id, strconv.FormatInt(amount.Minor, 10), string(amount.Currency), merchant, nonce} {
		if i > 0 {
			h.Write([]byte{0})
		}
		h.Write([]byte(part))
	}
	return h.Sum(nil)
}

// EncodeMAC writes a code as it is sent online.
func EncodeMAC(mac []byte) string { return b64.EncodeToString(mac) }

// Digits shortens a code to the eight digits that can be read aloud (RFC 4226 section 5.3).
func Digits(mac []byte) string {
	offset := mac[len(mac)-1] & 0x0f
	if len(mac) > 20 {
		offset = mac[19] & 0x0f // as with the 20 octets of HMAC-SHA-1
	}
	n := binary.BigEndian.Uint32(mac[offset:]) & 0x7fffffff
	return fmt.Sprintf("%08d", n%100_000_000)
}

// An Answer is the consumer's word that it wants the payment.
type Answer struct {
	Head            // Ref is the authres
	Merchant string `json:"merchant"` // identity URI of the payee, as the consumer knows it
	Code     string `json:"code"`     // the MAC in base64url online, eight digits by phone
	Channel  string `json:"channel"`  // online, phone
}

func (*Answer) kind() Kind { return KindAnswer }

func (a *Answer) check() error {
	c := checker{kind: KindAnswer}
	c.amount(&a.Head)
	c.digest("ref", a.Ref)
	c.uri("merchant", a.Merchant)
	c.oneOf("channel", a.Channel, "online", "phone")
	c.text("code", a.Code, 1, 64)
	return c.err
}

// The results of a confirmation.
const (
	ConfirmedResult = "confirmed"
	RejectedResult  = "rejected"
	ExpiredResult   = "expired"
)

// A Confirmation is the confirmer's result. Only one is ever signed for a payment.
type Confirmation struct {
	Head          // Ref is the authres
	Result string `json:"result"` // confirmed, rejected, expired
}

func (*Confirmation) kind() Kind { return KindConfirm }

func (m *Confirmation) check() error {
	c := checker{kind: KindConfirm}
	c.amount(&m.Head)
	c.digest("ref", m.Ref)
	c.oneOf("result", m.Result, ConfirmedResult, RejectedResult, ExpiredResult)
	return c.err
}

// The results that a gateway tells a merchant.
const (
	Deliver = "deliver"
	Failed  = "failed"
)

// A Result tells the merchant whether to deliver.
type Result struct {
	Head           // Ref is the request
	Result  string `json:"result"`            // deliver, failed
	AuthRes string `json:"authres"`           // digest of the approval or the refusal
	Confirm string `json:"confirm,omitempty"` // digest of the confirmation
	Reason  string `json:"reason,omitempty"`  // why it failed
}

func (*Result) kind() Kind { return KindResult }

func (r *Result) check() error {
	c := checker{kind: KindResult}
	c.amount(&r.Head)
	c.digest("ref", r.Ref)
	c.oneOf("result", r.Result, Deliver, Failed)
	c.text("reason", r.Reason, 0, 100)
	if r.Result == Deliver || r.AuthRes != "" {
		c.digest("authres", r.AuthRes)
	}
	if r.Confirm != "" {
		c.digest("confirm", r.Confirm)
	}
	return c.err
}

// CheckApproval checks that an approval is that of this payment: what merchant and consumer need before they believe it.
func CheckApproval(object Object, a *AuthRes, digest string, dual *Dual, consumer string) error {
	switch {
	case object.Digest() != digest:
		return Refuse(ApprovalMismatch, "authres", object.Digest(), "the one that is referred to, "+quote(digest))
	case a.ID != dual.ID || a.Merchant != dual.Merchant || a.Consumer != consumer:
		return Refuse(ApprovalMismatch, "authres", fmt.Sprintf("for payment %s of %s to %s", a.ID, a.Consumer, a.Merchant), fmt.Sprintf("payment %s of %s to %s", dual.ID, consumer, dual.Merchant))
	case a.Sum() != dual.Sum():
		return Refuse(AmountMismatch, "authres.amount", a.Sum().String(), dual.Sum().String())
	}
	return nil
}

// A Receipt is the merchant's word that it was paid and delivers.
type Receipt struct {
	Head             // Ref is the dual signature
	OIH       string `json:"oih"`
	AuthRes   string `json:"authres"`   // digest
	Result    string `json:"result"`    // digest
	Estimated int64  `json:"estimated"` // when the goods arrive, seconds since 1970
}

func (*Receipt) kind() Kind { return KindReceipt }

func (r *Receipt) check() error {
	c := checker{kind: KindReceipt}
	c.amount(&r.Head)
	c.digest("ref", r.Ref)
	c.digest("oih", r.OIH)
	c.digest("authres", r.AuthRes)
	c.digest("result", r.Result)
	c.between("estimated", r.Estimated, 1, maxInt)
	return c.err
}

// A Delivered is the consumer's signature for the goods.
type Delivered struct {
	Head             // Ref is the receipt
	OIH       string `json:"oih"`
	What      string `json:"what"` // complete, or what was missing
	Delivered int64  `json:"when"` // seconds since 1970
}

func (*Delivered) kind() Kind { return KindDelivered }

func (d *Delivered) check() error {
	c := checker{kind: KindDelivered}
	c.digest("ref", d.Ref)
	c.digest("oih", d.OIH)
	c.text("what", d.What, 1, 400)
	c.between("when", d.Delivered, 1, maxInt)
	return c.err
}

// DigitsOf shortens a code that [EncodeMAC] wrote, as [Digits] does.
func DigitsOf(mac string) (string, error) {
	raw, err := b64.DecodeString(mac)
	if err != nil || len(raw) != sha256.Size {
		return "", Refuse(BadJSON, "mac", quote(mac), "32 octets in base64url")
	}
	return Digits(raw), nil
}
