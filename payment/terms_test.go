package payment_test

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
)

// TestTermsThatCannotBePaid is N9.
func TestTermsThatCannotBePaid(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *payment.Terms){
		"no lines":              func(t *payment.Terms) { t.Lines = nil },
		"quantity 0":            func(t *payment.Terms) { t.Lines[0].Quantity = 0 },
		"a negative quantity":   func(t *payment.Terms) { t.Lines[0].Quantity = -1 },
		"the largest quantity":  func(t *payment.Terms) { t.Lines[0].Quantity = math.MaxInt64 },
		"a price of nothing":    func(t *payment.Terms) { t.Lines[0].UnitPrice.Minor = 0 },
		"a negative price":      func(t *payment.Terms) { t.Lines[0].UnitPrice.Minor = -5 },
		"an unknown currency":   func(t *payment.Terms) { t.Lines[0].UnitPrice.Currency = "XQX" },
		"two currencies":        func(t *payment.Terms) { t.Lines = append(t.Lines, t.Lines[0]); t.Lines[1].UnitPrice.Currency = "JPY" },
		"a sum beyond 2^53 - 1": func(t *payment.Terms) { t.Lines[0].UnitPrice.Minor = money.MaxMinor },
	} {
		terms := terms()
		change(&terms)
		if _, err := terms.Total(); codeOf(err) != payment.BadAmount {
			t.Errorf("%s: got %v, want %s", name, err, payment.BadAmount)
		}
		if err := terms.Check(); err == nil {
			t.Errorf("%s: the check passed", name)
		}
	}
	if total, err := terms().Total(); err != nil || total != *amount(1_234_500) {
		t.Errorf("got %v, %v; want 12345.00 CNY", total, err)
	}
}

func TestAWrongQuantityIsSeen(t *testing.T) {
	t.Parallel()
	was, is := terms(), terms()
	if d := payment.Diff(was, is); len(d) != 0 {
		t.Errorf("equal terms differ: %v", d)
	}
	was.Lines[0].Quantity, is.Lines[0].Quantity = 40, 400
	is.Lines[0].Options = []payment.Option{{Name: "graphics card", Value: "GX 5"}, {Name: "sound card", Value: "SX 1"}}
	is.Lines = append(is.Lines, payment.Line{SKU: "K", Model: "Keyboard", Quantity: 1, UnitPrice: *amount(100)})
	is.Delivery.Place, is.Contact = "room 5", "office"
	var got []string
	for _, c := range payment.Diff(was, is) {
		got = append(got, c.String())
	}
	want := []string{
		"lines[0].quantity: 40 -> 400", "lines[0].graphics card: GX 4 -> GX 5", "delivery.place: room 4 -> room 5", "lines[0].sound card: added SX 1",
		"lines[1].sku: added K", "lines[1].model: added Keyboard", "lines[1].quantity: added 1", "lines[1].unit_price: added 1.00 CNY", "contact: added office",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q\nwant %q", got, want)
	}
	if back := payment.Diff(is, was); len(back) != len(want) || !strings.Contains(back[len(back)-1].String(), "removed") {
		t.Errorf("the other way round: got %v", back)
	}
}

func TestTheDualSignatureIsForOneOffer(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	s := c.specimens()
	offer := s[payment.KindOffer].body.(*payment.Offer)
	object := sign(t, c.merchant, offer)
	for _, tt := range []struct {
		name   string
		change func(d *payment.Dual)
		by     *party
		code   payment.Code
	}{
		{"as it should be", func(*payment.Dual) {}, c.consumer, ""},
		{"over another offer", func(d *payment.Dual) { d.OIH = digest("other") }, c.consumer, payment.OIHMismatch},
		{"by another consumer", func(*payment.Dual) {}, c.merchant, payment.ConsumerMismatch},
		{"over another amount", func(d *payment.Dual) { d.Amount = amount(1) }, c.consumer, payment.AmountMismatch},
		{"for another merchant", func(d *payment.Dual) { d.Merchant = c.gateway.uri() }, c.consumer, payment.NotAddressedHere},
		{"through another gateway", func(d *payment.Dual) { d.Gateway = c.merchant.uri() }, c.consumer, payment.NotAddressedHere},
		{"for another bank", func(d *payment.Dual) { d.Acquirer = c.issuer.uri() }, c.consumer, payment.NotAddressedHere},
		{"with another key", func(d *payment.Dual) { d.GatewayEnc = digest("other") }, c.consumer, payment.BadRecipient},
		{"that outlives the offer", func(d *payment.Dual) { d.Expires = offer.Expires + 1 }, c.consumer, payment.Expired},
		{"with what was not offered", func(d *payment.Dual) { d.Instrument = "barter" }, c.consumer, payment.MethodNotAllowed},
	} {
		d := *s[payment.KindDual].body.(*payment.Dual)
		d.OIH = payment.OIH(object)
		tt.change(&d)
		if err := d.CheckOffer(object, offer, tt.by.id); codeOf(err) != tt.code || (err == nil) != (tt.code == "") {
			t.Errorf("a dual signature %s: got %v, want %q", tt.name, err, tt.code)
		}
	}
	limited := *offer
	limited.Instruments = []payment.Instrument{{Name: "card", Limit: amount(1_234_499)}}
	if err := limited.Allows("card", noon); codeOf(err) != payment.MethodNotAllowed { // N10
		t.Errorf("above the limit: got %v, want %s", err, payment.MethodNotAllowed)
	}
	if err := offer.Allows("card", noon.AddDate(0, 0, 1)); codeOf(err) != payment.Expired { // N7
		t.Errorf("an expired offer: got %v, want %s", err, payment.Expired)
	}
	if payment.OIH("x") == payment.PIH([]byte("x")) {
		t.Error("an offer could be taken for an instruction")
	}
}

func TestConfirmationCodesAreForOneAmountAndPayee(t *testing.T) {
	t.Parallel()
	secret := []byte("0123456789abcdef0123456789abcdef")
	mac := payment.ConfirmationMAC(secret, paymentID, *amount(100), "spiffe://m", nonce)
	for name, other := range map[string][]byte{
		"amount": payment.ConfirmationMAC(secret, paymentID, *amount(101), "spiffe://m", nonce),
		"payee":  payment.ConfirmationMAC(secret, paymentID, *amount(100), "spiffe://n", nonce),
		"nonce":  payment.ConfirmationMAC(secret, paymentID, *amount(100), "spiffe://m", nonce+"A"),
		"secret": payment.ConfirmationMAC(secret[1:], paymentID, *amount(100), "spiffe://m", nonce),
		"id":     payment.ConfirmationMAC(secret, paymentID+"0", *amount(100), "spiffe://m", nonce),
	} {
		if string(mac) == string(other) {
			t.Errorf("another %s has the same code", name)
		}
	}
	digits, err := payment.DigitsOf(payment.EncodeMAC(mac))
	if err != nil || len(digits) != 8 || digits != payment.Digits(mac) || strings.Trim(digits, "0123456789") != "" {
		t.Errorf("got %q, %v; want eight digits", digits, err)
	}
	if _, err := payment.DigitsOf("short"); err == nil {
		t.Error("a short code was taken")
	}
}

func TestFieldsCarryNoAccountNumber(t *testing.T) {
	t.Parallel()
	f, err := payment.NewFields(*amount(1_234_500), "a-very-long-merchant-id", "622848", 1_234_567, noon)
	if err != nil {
		t.Fatal(err)
	}
	want := payment.Fields{
		ProcessingCode: "000000", Amount: "000001234500", TransmissionTime: "1123120000", STAN: "234567", RRN: "632712234567",
		Merchant: "a-very-long-mer", Currency: "156", BIN: "622848",
	}
	if f != want {
		t.Errorf("got %+v\nwant %+v", f, want)
	}
	if _, err := payment.NewFields(*amount(1_000_000_000_000), "m", "622848", 1, noon); codeOf(err) != payment.BadAmount {
		t.Errorf("13 digits: got %v, want %s", err, payment.BadAmount)
	}
}

func FuzzReadOrderFile(f *testing.F) {
	good, _ := json.Marshal(payment.OrderFile{Order: terms()})
	f.Add(good)
	f.Add([]byte(`{"order":{},"Order":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := payment.ReadOrderFile(data)
		if err != nil {
			if codeOf(err) == "" {
				t.Errorf("got %v, want a refusal", err)
			}
			return
		}
		if _, err := file.Order.Total(); err != nil {
			t.Errorf("an order that was read cannot be paid: %v", err)
		}
	})
}

func FuzzReadExpect(f *testing.F) {
	e := payment.Expect{ID: paymentID, Consumer: "spiffe://c", Merchant: "spiffe://m", Amount: *amount(1), Nonce: nonce, MAC: digest("x"), Tries: 3, Expires: 1}
	good, err := e.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := payment.ReadExpect(data); err == nil {
			again, _ := e.Encode()
			if back, err := payment.ReadExpect(again); err != nil || back != e {
				t.Errorf("%s: got %+v, then %+v, %v", data, e, back, err)
			}
		}
	})
}
