package account

import (
	"crypto/ecdh"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// An Instruction tells the gateway and the issuing bank what to pay from which account. It exists in
// clear only inside consumer, gateway and issuing bank.
type Instruction struct {
	ID       string // of the payment
	Nonce    string // 128 random bits, so that its digest gives nothing away
	Consumer string // identity URI of the payer
	Merchant string // identity URI of the payee
	Gateway  string // identity URI of the only gateway that may take it
	Issuer   string // identity URI of the bank that holds the account
	OIH      string // digest of the order, see payment.OIH
	Amount   money.Money
	Number   Number
	Expiry   string // YYMM
	Confirm  payment.Confirm
	Notify   string // where to tell the consumer: a mail address, may be empty
	Expires  int64  // seconds since 1970
}

// wire is the JSON of an instruction.
type wire struct {
	ID       string      `json:"id"`
	Nonce    string      `json:"nonce"`
	Consumer string      `json:"consumer"`
	Merchant string      `json:"merchant"`
	Gateway  string      `json:"gateway"`
	Issuer   string      `json:"issuer"`
	OIH      string      `json:"oih"`
	Amount   money.Money `json:"amount"`
	Account  struct {
		Number string `json:"number"`
		Expiry string `json:"expiry"`
	} `json:"account"`
	Confirm payment.Confirm `json:"confirm"`
	Notify  string          `json:"notify,omitempty"`
	Expires int64           `json:"exp"`
}

// Encode returns the JSON of the instruction: the bytes that payment.PIH hashes and payment.Seal seals.
func (in Instruction) Encode() ([]byte, error) {
	w := wire{
		ID: in.ID, Nonce: in.Nonce, Consumer: in.Consumer, Merchant: in.Merchant, Gateway: in.Gateway, Issuer: in.Issuer,
		OIH: in.OIH, Amount: in.Amount, Confirm: in.Confirm, Notify: in.Notify, Expires: in.Expires,
	}
	w.Account.Number, w.Account.Expiry = in.Number.Reveal(), in.Expiry
	return json.Marshal(w)
}

// Decode reads the JSON of an instruction strictly.
func Decode(data []byte) (Instruction, error) {
	var w wire
	if err := strictjson.Unmarshal(data, &w); err != nil {
		// The text of the error may hold what was found, which may be the account number.
		field := "document"
		if e, ok := errors.AsType[*strictjson.Error](err); ok {
			field = e.Rule
		}
		return Instruction{}, payment.Refuse(payment.BadJSON, "instruction", "malformed ("+field+")", "the JSON of an instruction")
	}
	if !payment.IsID(w.ID) || len(w.Nonce) < 22 || len(w.Nonce) > 64 || len(w.Notify) > 254 || w.Expires <= 0 {
		return Instruction{}, payment.Refuse(payment.BadJSON, "instruction", "incomplete", "id, nonce of 128 bits or more, and exp")
	}
	if err := w.Amount.Check(); err != nil {
		return Instruction{}, &payment.Refusal{Code: payment.BadAmount, Field: "instruction.amount", Got: w.Amount.String(), Want: "an amount that can be paid", Err: err}
	}
	number, err := ParseNumber(w.Account.Number)
	if err != nil {
		return Instruction{}, err
	}
	return Instruction{
		ID: w.ID, Nonce: w.Nonce, Consumer: w.Consumer, Merchant: w.Merchant, Gateway: w.Gateway, Issuer: w.Issuer, OIH: w.OIH,
		Amount: w.Amount, Number: number, Expiry: w.Account.Expiry, Confirm: w.Confirm, Notify: w.Notify, Expires: w.Expires,
	}, nil
}

// An Opened is an instruction that a gateway or bank has unsealed and found to be the one the consumer signed.
type Opened struct {
	Instruction
	Plain []byte // its JSON, as the consumer wrote it: to be sealed again
}

// Open unseals an instruction with the reader's encryption key and checks that it is what the consumer meant: its digest
// is in the dual signature, and every member that both have agrees. consumer signed the dual. The error is a
// *payment.Refusal.
func Open(sealed payment.Sealed, key *ecdh.PrivateKey, dual *payment.Dual, consumer policy.Identity, now time.Time) (*Opened, error) {
	plain, err := payment.Unseal(payment.KindInstruction, sealed, key)
	if err != nil {
		return nil, err
	}
	if pih := payment.PIH(plain); pih != dual.PIH {
		return nil, payment.Refuse(payment.PIHMismatch, "instruction", pih, "the one that was signed, "+dual.PIH)
	}
	in, err := Decode(plain)
	if err != nil {
		return nil, err
	}
	switch {
	case in.ID != dual.ID || in.OIH != dual.OIH:
		return nil, payment.Refuse(payment.OIHMismatch, "instruction", "for payment "+in.ID+" with oih "+in.OIH, "payment "+dual.ID+" with oih "+dual.OIH)
	case in.Consumer != consumer.String():
		return nil, payment.Refuse(payment.ConsumerMismatch, "instruction.consumer", strconv.Quote(in.Consumer), consumer.String())
	case in.Merchant != dual.Merchant || in.Gateway != dual.Gateway:
		return nil, payment.Refuse(payment.NotAddressedHere, "instruction", "for "+in.Merchant+" through "+in.Gateway, "as signed, "+dual.Merchant+" through "+dual.Gateway)
	case in.Amount != dual.Sum():
		return nil, payment.Refuse(payment.AmountMismatch, "instruction.amount", in.Amount.String(), dual.Sum().String())
	case in.Confirm != dual.Confirm:
		return nil, payment.Refuse(payment.PIHMismatch, "instruction.confirm", string(in.Confirm.Mode)+" "+in.Confirm.Channel, string(dual.Confirm.Mode)+" "+dual.Confirm.Channel)
	case now.Unix() >= in.Expires:
		return nil, payment.Refuse(payment.Expired, "instruction.exp", time.Unix(in.Expires, 0).UTC().Format(time.RFC3339), "later than "+now.UTC().Format(time.RFC3339))
	}
	return &Opened{Instruction: in, Plain: plain}, CheckExpiry(in.Expiry, now)
}
