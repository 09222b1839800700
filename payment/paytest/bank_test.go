package paytest_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// An asked authorisation is what a gateway sends the banks, made by hand.
type asked struct {
	*purchase
	auth   payment.Auth
	plain  []byte         // the instruction that is sealed
	sealed payment.Sealed // to the issuing bank
	key    string
}

// asked prepares a good one for n workstations, with a dual signature that confirms in that mode.
func (f *forger) asked(n int64, forge func(p *purchase)) *asked {
	f.t.Helper()
	p := f.order(n)
	if forge != nil {
		forge(p)
	}
	f.seal(p)
	plain, err := p.in.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	amount := p.dual.Sum()
	fields, err := payment.NewFields(amount, f.Shop.ID, paytest.BIN, 1, time.Now())
	if err != nil {
		f.t.Fatal(err)
	}
	return &asked{purchase: p, plain: plain, key: agent.Key(p.id, "auth", 1), auth: payment.Auth{
		Head: payment.Head{ID: p.id, Audience: []string{f.ABank.URI, f.IBank.URI}, Amount: &amount}, Dual: p.signed.Digest(), Merchant: f.Shop.URI, Fields: fields,
	}}
}

// message seals the instruction to the issuing bank and signs the auth as the gateway.
func (f *forger) message(a *asked) agent.Message {
	f.t.Helper()
	to, err := f.GW.Agent.EncryptionOf(f.t.Context(), f.IBank.URI)
	if err != nil {
		f.t.Fatal(err)
	}
	if a.sealed, err = payment.Seal(payment.KindInstruction, to, a.plain); err != nil {
		f.t.Fatal(err)
	}
	if a.auth.Instruction == "" {
		a.auth.Instruction = a.sealed.Digest()
	}
	return agent.Message{payment.KindAuth: string(f.sign(f.GW, &a.auth)), payment.KindDual: string(a.signed), payment.KindInstruction: string(a.sealed)}
}

// TestTheBanksRefuseAnAuthorisation: N1, N4, N6 and N8 at both banks, each of which checks by itself, and N18 at the issuing bank.
func TestTheBanksRefuseAnAuthorisation(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	foreign, err := account.RandomNumber("411111")
	if err != nil {
		t.Fatal(err)
	}
	swap := func(a *asked) {
		in := a.in
		in.Number = foreign
		a.plain, _ = in.Encode()
	}
	for _, tt := range []struct {
		name     string
		purchase func(p *purchase) // before the consumer signs
		forge    func(a *asked)    // before the gateway signs
		status   int
		code     payment.Code
	}{
		{"N1 for another amount than the consumer signed", nil, func(a *asked) { a.auth.Amount = cny(60_001) }, unprocessable, payment.AmountMismatch},
		{"N1 whose bank fields say another amount", nil, func(a *asked) { a.auth.Fields.Amount = "000000060001" }, unprocessable, payment.AmountMismatch},
		{"N1 whose bank fields say another currency", nil, func(a *asked) { a.auth.Fields.Currency = "840" }, unprocessable, payment.AmountMismatch},
		{"N8 with the dual signature of another payment", nil, func(a *asked) { a.auth.Dual = payment.Object("x").Digest() }, unprocessable, payment.OIHMismatch},
		{"for another merchant", nil, func(a *asked) { a.auth.Merchant += "x" }, forbidden, payment.NotAddressedHere},
		{"N6 through a gateway that the consumer did not name", func(p *purchase) { p.dual.Gateway += "x"; p.in.Gateway += "x" }, nil, forbidden, payment.NotAddressedHere},
		{"for a merchant of another bank", func(p *purchase) { p.dual.Acquirer += "x" }, nil, forbidden, payment.NotAddressedHere},
		{"N4 with another sealed instruction than it names", nil, func(a *asked) { a.auth.Instruction = payment.Object("x").Digest() }, unprocessable, payment.PIHMismatch},
		{"N4 with another instruction than the consumer signed", nil, swap, unprocessable, payment.PIHMismatch},
		{"N8 with the instruction of another consumer", func(p *purchase) { p.in.Consumer += "x" }, nil, forbidden, payment.ConsumerMismatch},
		{"for an account at another bank", func(p *purchase) { p.in.Issuer += "x" }, nil, forbidden, payment.NotAddressedHere},
	} {
		// What only the issuing bank can know it refuses through the acquiring bank.
		for _, r := range []struct{ from, to *paytest.Node }{{f.GW, f.ABank}, {f.ABank, f.IBank}} {
			a := f.asked(2, tt.purchase)
			if tt.forge != nil {
				tt.forge(a)
			}
			got := f.post(r.from, r.to, "/authorizations", a.key, f.message(a))
			t.Run(tt.name+" at "+r.to.ID, func(t *testing.T) {
				got.want(t, tt.status, tt.code)
				f.untouched(a.purchase, "")
			})
		}
	}
	lost := f.asked(2, nil) // a caller who is not the signer
	f.post(f.ABank, f.IBank, "/authorizations", agent.Key(lost.id, "auth", 2), f.message(lost)).want(t, unprocessable, payment.Conflict)
}

// decision reads the issuing bank's answer.
func decision(t *testing.T, got outcome) (a payment.AuthRes) {
	t.Helper()
	got.want(t, http.StatusOK, "")
	m := agent.Message{}
	if err := json.Unmarshal(got.body, &m); err != nil {
		t.Fatal(err)
	}
	if err := payment.Read(payment.Object(m[payment.KindAuthRes]), &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// TestTheIssuingBankDeclinesByCode: N10, N18 and N21: the bank's word is signed, with the code of ISO 8583, and nothing is held.
func TestTheIssuingBankDeclinesByCode(t *testing.T) {
	t.Parallel()
	opts := steady()
	opts.Balance, opts.Limit = 120_000, 150_000
	f := newForger(t, opts)
	nobodys, err := account.RandomNumber(paytest.BIN)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		n     int64
		forge func(p *purchase)
		code  string
	}{
		{"N10 above the limit of one payment", 6, nil, payment.CodeExceedsLimit},
		{"N18 a number that nobody has", 1, func(p *purchase) { p.in.Number = nobodys }, payment.CodeInvalidCard},
		{"N18 a card that has expired", 1, func(p *purchase) { p.in.Expiry = "2001" }, payment.CodeExpiredCard},
		{"N18 another date of expiry than the card's", 1, func(p *purchase) { p.in.Expiry = time.Now().AddDate(1, 0, 0).Format("0601") }, payment.CodeExpiredCard},
		{"N21 more than there is", 5, nil, payment.CodeNoFunds},
	} {
		a := f.asked(tt.n, tt.forge)
		got := f.post(f.GW, f.ABank, "/authorizations", a.key, f.message(a))
		t.Run(tt.name, func(t *testing.T) {
			if res := decision(t, got); res.Result != payment.Refused || res.Code != tt.code || res.Hold != "" {
				t.Errorf("got %s %s with hold %q, want declined %s without", res.Result, res.Code, res.Hold, tt.code)
			}
			f.untouched(a.purchase, "")
		})
	}
	exact := f.asked(4, nil) // N21: exactly the balance
	msg := f.message(exact)
	first := f.post(f.GW, f.ABank, "/authorizations", exact.key, msg)
	if res := decision(t, first); res.Result != payment.Approved {
		t.Errorf("exactly the balance: got %s %s, want approved", res.Result, res.Code)
	}
	if a := f.asked(1, nil); decision(t, f.post(f.GW, f.ABank, "/authorizations", a.key, f.message(a))).Code != payment.CodeNoFunds {
		t.Error("more than what is left after a hold was approved")
	}
	// N22: the same bytes have the same reply; other bytes are refused; another gateway finds nothing, and neither does another bank.
	again := f.post(f.GW, f.ABank, "/authorizations", exact.key, msg)
	if !again.replayed || !bytes.Equal(first.body, again.body) {
		t.Errorf("the same request again: replayed %v, same bytes %v; want both", again.replayed, bytes.Equal(first.body, again.body))
	}
	f.post(f.GW, f.ABank, "/authorizations", exact.key, f.message(exact)).want(t, unprocessable, payment.Conflict)
	second := f.Add(t, "gw2", policy.Gateway, nil)
	rival := f.Add(t, "abank2", policy.AcquiringBank, nil)
	f.post(second, f.ABank, "/authorizations", exact.key, msg).want(t, notFound, payment.NotFound)
	f.post(rival, f.IBank, "/authorizations", exact.key, msg).want(t, notFound, payment.NotFound)
	other := f.asked(1, nil)
	f.post(second, f.ABank, "/authorizations", other.key, f.message(other)).want(t, forbidden, payment.NotAddressedHere)
	f.post(rival, f.IBank, "/authorizations", other.key, f.message(other)).want(t, forbidden, payment.NotAddressedHere)
	f.holdsOnly(exact.id, 120_000)
}

// holdsOnly checks that the hold of one payment is all that is held.
func (f *forger) holdsOnly(id string, minor int64) {
	f.t.Helper()
	if hold := f.HoldOf(f.t, id); hold.Remaining.Minor != minor {
		f.t.Errorf("%d is held, want %d", hold.Remaining.Minor, minor)
	}
	f.Balanced(f.t, id)
}

// TestALuhnFailureIsRefusedWhereItIsRead: N18, for a number that no honest consumer's agent would send.
func TestALuhnFailureIsRefusedWhereItIsRead(t *testing.T) {
	t.Parallel()
	f := newForger(t, steady())
	broken := func(plain []byte) []byte {
		digits := f.number.Reveal()
		last := string('0' + (digits[len(digits)-1]-'0'+1)%10)
		return []byte(strings.Replace(string(plain), digits, digits[:len(digits)-1]+last, 1))
	}
	p := f.order(2)
	plain, err := p.in.Encode()
	if err != nil {
		t.Fatal(err)
	}
	plain = broken(plain)
	p.dual.PIH = payment.PIH(plain)
	f.seal(p)
	to, err := f.School.Agent.Recipient(t.Context(), p.terms.GatewayEnc, f.GW.URI)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := payment.Seal(payment.KindInstruction, to, plain)
	if err != nil {
		t.Fatal(err)
	}
	f.post(f.Shop, f.GW, "/payments", agent.Key(p.id, "request", 1), agent.Message{payment.KindRequest: string(f.sign(f.Shop, f.request(p))), payment.KindDual: string(p.signed)}).want(t, http.StatusOK, "")
	f.post(f.School, f.GW, "/payments/"+p.id+"/instruction", agent.Key(p.id, "instruction", 1), agent.Message{payment.KindInstruction: string(sealed)}).want(t, unprocessable, payment.InvalidAccount)
	f.untouched(p, payment.Requested)

	a := f.asked(2, func(p *purchase) {
		plain, _ := p.in.Encode()
		p.dual.PIH = payment.PIH(broken(plain))
	})
	a.plain = broken(a.plain)
	f.post(f.GW, f.ABank, "/authorizations", a.key, f.message(a)).want(t, unprocessable, payment.InvalidAccount)
	f.untouched(a.purchase, "")
}
