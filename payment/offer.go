package payment

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/payment/money"
)

// The rules for when a merchant may capture.
const (
	CaptureAnytime    = "anytime"     // as soon as the payment is open
	CaptureOnShipment = "on-shipment" // when the goods have left
	CaptureOnDelivery = "on-delivery" // when the consumer has signed for them
)

// An Offer is what the merchant promises for a price. Its amount is the total of its lines.
type Offer struct {
	Head
	Order string `json:"order"` // the consumer's id for what it asked for
	Rev   int64  `json:"rev"`   // 1, 2 and so on; only the newest can be accepted
	Nonce string `json:"nonce"` // 128 random bits, so that the digest gives nothing away
	Terms
	PaymentTerms string       `json:"payment_terms"` // what the consumer agrees to (E-Commerce Law article 53)
	Attachments  []Attachment `json:"attachments,omitempty"`
	Instruments  []Instrument `json:"instruments"`
	Gateway      string       `json:"gateway"`     // identity URI
	GatewayEnc   string       `json:"gateway_enc"` // thumbprint of the gateway's encryption certificate
	Acquirer     string       `json:"acquirer"`    // identity URI
	CaptureRule  string       `json:"capture_rule"`
}

// An Attachment is a document that belongs to the contract, by its digest.
type Attachment struct {
	Name   string `json:"name"`
	Type   string `json:"type"`   // media type
	SHA256 string `json:"sha256"` // base64url
}

// An Instrument is a way to pay.
type Instrument struct {
	Name  string       `json:"name"`            // card, wallet, mobile-bank, escrow
	Fee   int64        `json:"fee"`             // what it costs the consumer, hundredths of a percent
	Limit *money.Money `json:"limit,omitempty"` // the most that can be paid with it
}

func (*Offer) kind() Kind { return KindOffer }

func (o *Offer) check() error {
	c := checker{kind: KindOffer}
	c.amount(&o.Head)
	c.id("order", o.Order)
	c.between("rev", o.Rev, 1, 1000)
	c.nonce("nonce", o.Nonce)
	c.terms(o.Terms)
	c.text("payment_terms", o.PaymentTerms, 1, 2000)
	c.between("attachments", int64(len(o.Attachments)), 0, 32)
	for _, a := range o.Attachments {
		c.text("attachments.name", a.Name, 1, 200)
		c.text("attachments.type", a.Type, 1, 100)
		c.digest("attachments.sha256", a.SHA256)
	}
	c.between("instruments", int64(len(o.Instruments)), 1, 16)
	for _, i := range o.Instruments {
		c.text("instruments.name", i.Name, 1, 32)
		c.between("instruments.fee", i.Fee, 0, 10000)
	}
	c.uri("gateway", o.Gateway)
	c.digest("gateway_enc", o.GatewayEnc)
	c.uri("acquirer", o.Acquirer)
	c.oneOf("capture_rule", o.CaptureRule, CaptureAnytime, CaptureOnShipment, CaptureOnDelivery)
	if c.err != nil {
		return c.err
	}
	total, err := o.Total()
	if err != nil {
		return err
	}
	if total != o.Sum() {
		return Refuse(AmountMismatch, "offer.amount", o.Sum().String(), "the sum of its lines, "+total.String())
	}
	return nil
}

// allows checks the choice of an instrument.
func (o *Offer) allows(name string) error {
	var names strings.Builder
	for _, i := range o.Instruments {
		if i.Name == name {
			if i.Limit == nil {
				return nil
			}
			if order, err := o.Sum().Compare(*i.Limit); err != nil || order > 0 {
				return Refuse(MethodNotAllowed, "instrument", quote(name)+" for "+o.Sum().String(), "at most "+i.Limit.String())
			}
			return nil
		}
		names.WriteString(" " + i.Name)
	}
	return Refuse(MethodNotAllowed, "instrument", quote(name), "one of"+names.String())
}

// Allows checks that the offer can be accepted with that instrument at that time.
func (o *Offer) Allows(instrument string, now time.Time) error {
	if now.Unix() >= o.Expires {
		return Refuse(Expired, "offer.exp", stamp(o.Expires), "later than "+now.UTC().Format(time.RFC3339))
	}
	return o.allows(instrument)
}

// A Request asks the gateway for a payment in the merchant's name.
type Request struct {
	Head
	OIH         string `json:"oih"`
	Dual        string `json:"dual"`         // digest of the dual signature
	Payout      string `json:"payout"`       // the merchant's account reference at the acquirer
	CaptureRule string `json:"capture_rule"` // as in the offer
}

func (*Request) kind() Kind { return KindRequest }

func (r *Request) check() error {
	c := checker{kind: KindRequest}
	c.amount(&r.Head)
	c.digest("oih", r.OIH)
	c.digest("dual", r.Dual)
	c.text("payout", r.Payout, 1, 64)
	c.oneOf("capture_rule", r.CaptureRule, CaptureAnytime, CaptureOnShipment, CaptureOnDelivery)
	return c.err
}

// Fields are the parts of an ISO 8583:1987 authorisation request (0100) that the acquiring bank may
// see: no account number (DE2), expiry (DE14) or track (DE35), which the issuing bank adds.
type Fields struct {
	ProcessingCode   string `json:"processing_code"`   // DE3, n6: 000000 purchase
	Amount           string `json:"amount"`            // DE4, n12 minor units
	TransmissionTime string `json:"transmission_time"` // DE7, MMDDhhmmss UTC
	STAN             string `json:"stan"`              // DE11, n6 system trace audit number
	RRN              string `json:"rrn"`               // DE37, an12 retrieval reference number
	Merchant         string `json:"merchant"`          // DE42, ans15: the start of the merchant's party id
	Currency         string `json:"currency"`          // DE49, n3 ISO 4217 numeric
	BIN              string `json:"bin"`               // the first digits of DE2, by which it is routed
}

// maxFields is the most that DE4 can hold.
const maxFields = 999_999_999_999

// NewFields converts a payment into the fields; trace counts the gateway's messages.
func NewFields(amount money.Money, merchant, bin string, trace uint64, now time.Time) (Fields, error) {
	if amount.Minor > maxFields {
		return Fields{}, Refuse(BadAmount, "amount", amount.String(), "at most 12 digits of minor units (ISO 8583 DE4)")
	}
	now = now.UTC()
	return Fields{
		ProcessingCode:   "000000",
		Amount:           fmt.Sprintf("%012d", amount.Minor),
		TransmissionTime: now.Format("0102150405"),
		STAN:             fmt.Sprintf("%06d", trace%1_000_000),
		RRN:              fmt.Sprintf("%d%03d%02d%06d", now.Year()%10, now.YearDay(), now.Hour(), trace%1_000_000),
		Merchant:         fmt.Sprintf("%-15.15s", merchant),
		Currency:         amount.Currency.Numeric(),
		BIN:              bin,
	}, nil
}

// agree checks the fields against the amount that was signed.
func (f Fields) agree(amount money.Money) error {
	if minor, err := strconv.ParseInt(f.Amount, 10, 64); err != nil || minor != amount.Minor || f.Currency != amount.Currency.Numeric() {
		return Refuse(AmountMismatch, "auth.fields", quote(f.Amount+" "+f.Currency), amount.String()+" as 12 digits and a numeric currency")
	}
	return nil
}

func (c *checker) digits(field, s string, least, most int) {
	for _, r := range s {
		if r < '0' || r > '9' {
			c.refuse(field, quote(s), "digits")
		}
	}
	c.between("length of "+field, int64(len(s)), int64(least), int64(most))
}

// An Auth asks the issuing bank to approve and hold the amount.
type Auth struct {
	Head
	Dual        string `json:"dual"`        // digest of the dual signature
	Instruction string `json:"instruction"` // digest of the instruction sealed to the issuing bank
	Merchant    string `json:"merchant"`    // identity URI of the payee
	Fields      Fields `json:"fields"`
}

func (*Auth) kind() Kind { return KindAuth }

func (a *Auth) check() error {
	c := checker{kind: KindAuth}
	c.amount(&a.Head)
	c.digest("dual", a.Dual)
	c.digest("instruction", a.Instruction)
	c.uri("merchant", a.Merchant)
	c.digits("fields.processing_code", a.Fields.ProcessingCode, 6, 6)
	c.digits("fields.amount", a.Fields.Amount, 12, 12)
	c.digits("fields.transmission_time", a.Fields.TransmissionTime, 10, 10)
	c.digits("fields.stan", a.Fields.STAN, 6, 6)
	c.digits("fields.rrn", a.Fields.RRN, 12, 12)
	c.text("fields.merchant", a.Fields.Merchant, 15, 15)
	c.digits("fields.currency", a.Fields.Currency, 3, 3)
	c.digits("fields.bin", a.Fields.BIN, 6, 8)
	return c.err
}
