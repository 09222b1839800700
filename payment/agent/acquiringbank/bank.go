package acquiringbank

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// Config says whose bank it is.
type Config struct {
	Agent *agent.Agent
	Fee   int64 // of each transfer, hundredths of a percent
}

// A Bank is an acquiring bank's agent.
type Bank struct {
	*agent.Agent
	cfg Config
}

// New adds an acquiring bank's routes to an agent.
func New(cfg Config) (*Bank, error) {
	if cfg.Agent == nil || cfg.Fee < 0 || cfg.Fee > 10000 {
		return nil, errors.New("new acquiring bank: want Agent and a Fee of 0 to 10000")
	}
	if !agent.Is(cfg.Agent.Self().Role, payment.AcquiringRoles()) {
		return nil, fmt.Errorf("new acquiring bank: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	b := &Bank{Agent: cfg.Agent, cfg: cfg}
	b.Post("/authorizations", b.authorize)
	b.Get("/inquiries/{id}", b.inquire)
	b.Post("/transfers", b.transfer)
	b.Post("/voids", b.void)
	b.Post("/merchants", b.onboard)
	b.Get("/balance", b.balance)
	agent.Control(b.Agent, "/invite", b.Invite)
	return b, nil
}

// A client is what is kept of a merchant, under merchant/URI.
type client struct {
	URI      string         `json:"uri"`
	Account  string         `json:"account"` // in the ledger
	Currency money.Currency `json:"currency"`
	Fee      int64          `json:"fee"`
}

// A payin is what is kept of a payment, under payment/ID.
type payin struct {
	ID       string      `json:"id"`
	Merchant string      `json:"merchant"`
	Gateway  string      `json:"gateway"`
	Issuer   string      `json:"issuer"`
	Amount   money.Money `json:"amount"`
	AuthRes  string      `json:"authres"` // digest
}

// An InviteRequest opens a merchant's account.
type InviteRequest struct {
	Party    string         `json:"party"`
	Currency money.Currency `json:"currency"`
}

// Invited is a bank's invitation: a token to be redeemed once, by that party alone.
type Invited struct {
	Party string `json:"party"`
	Token string `json:"token"`
}

// invitation is what is kept of a token, under invitation/ID.
type invitation struct {
	agent.Invitation
	InviteRequest
	UsedBy string `json:"used_by,omitempty"`
}

// Invite makes a one-time token with which a merchant gets an account.
func (b *Bank) Invite(ctx context.Context, in InviteRequest) (any, error) {
	if err := policy.CheckPartyID(in.Party); err != nil {
		return nil, err
	}
	if _, err := money.ParseCurrency(string(in.Currency)); err != nil {
		return nil, &payment.Refusal{Code: payment.BadAmount, Field: "currency", Got: fmt.Sprintf("%.10q", in.Currency), Want: "an ISO 4217 code", Err: err}
	}
	token, kept := agent.NewInvitation(b.Now())
	return Invited{Party: in.Party, Token: token}, b.Write(ctx, func(tx *agent.Tx) error {
		return tx.Put("invitation/"+kept.TokenID, invitation{Invitation: kept, InviteRequest: in})
	})
}

// onboard: POST /merchants, key TOKENID/onboard/1.
func (b *Bank) onboard(ctx context.Context, c *agent.Call) (any, error) {
	var in agent.TokenRequest
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	id := agent.InvitationID(in.Token)
	if err := c.Operation(id, "onboard", 1); err != nil {
		return nil, err
	}
	var reply agent.Onboarded
	return &reply, b.Write(ctx, func(tx *agent.Tx) error {
		var inv invitation
		if err := tx.Get("invitation/"+id, &inv); err != nil {
			return err
		}
		if !inv.Admits(in.Token) || inv.Party != c.Peer.Party {
			return agent.ErrNotFound
		}
		if inv.UsedBy != "" {
			return payment.Refuse(payment.BadState, "token "+id, "used by "+inv.UsedBy, "a new one from the bank")
		}
		inv.UsedBy = c.URI
		m := client{URI: c.URI, Account: "merchant/" + c.Peer.Party, Currency: inv.Currency, Fee: b.cfg.Fee}
		reply = agent.Onboarded{Merchant: c.URI, Payout: m.Account, Fee: m.Fee}
		book := tx.Book()
		return errors.Join(
			book.Open(ledger.Account{ID: m.Account, Kind: "merchant", Currency: m.Currency, Rule: ledger.Unrestricted}),
			book.Open(ledger.Account{ID: dueFromClearing(m.Currency), Kind: "clearing", Currency: m.Currency, Rule: ledger.Unrestricted}),
			book.Open(ledger.Account{ID: feeIncome(m.Currency), Kind: "income", Currency: m.Currency, Rule: ledger.Unrestricted}),
			tx.Put("invitation/"+id, inv), tx.Put("merchant/"+c.URI, m), tx.Finish(c, reply),
		)
	})
}

func dueFromClearing(c money.Currency) string { return "due-from-clearing/" + string(c) }
func feeIncome(c money.Currency) string       { return "fee-income/" + string(c) }

// balance: GET /balance
func (b *Bank) balance(_ context.Context, c *agent.Call) (any, error) {
	var reply agent.Balance
	return &reply, b.Read(func(tx *agent.Tx) error {
		var m client
		if err := tx.Get("merchant/"+c.URI, &m); err != nil {
			return err
		}
		a, err := tx.Book().Account(m.Account)
		reply = agent.Balance{
			Account: m.Account, Posted: money.New(a.Balance(), m.Currency), Held: money.New(a.CreditsPending, m.Currency), Available: money.New(a.Balance(), m.Currency),
		}
		return err
	})
}

// standing checks that the merchant is a client of this bank and trades in that currency.
func (b *Bank) standing(merchant string, amount money.Money) (m client, err error) {
	err = b.Read(func(tx *agent.Tx) error { return tx.Get("merchant/"+merchant, &m) })
	if errors.Is(err, agent.ErrNotFound) {
		return m, payment.Refuse(payment.NotAddressedHere, "dual.merchant", merchant, "a merchant with an account at "+b.URI())
	}
	if err == nil && m.Currency != amount.Currency {
		return m, payment.Refuse(payment.AmountMismatch, "amount", amount.String(), "an amount in "+string(m.Currency)+", the currency of the merchant's account")
	}
	return m, err
}

// authorize: POST /authorizations, key ID/auth/1. The objects go to the issuing bank as they are.
func (b *Bank) authorize(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var auth payment.Auth
	var dual payment.Dual
	authObject, gateway, err := c.Open(ctx, msg, payment.KindAuth, &auth)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(auth.ID, "auth", 1); err != nil {
		return nil, err
	}
	dualObject, consumer, err := c.Open(ctx, msg, payment.KindDual, &dual)
	if err != nil {
		return nil, err
	}
	if err := b.review(ctx, c, &auth, &dual, dualObject, gateway); err != nil {
		return nil, err
	}
	sealed, err := c.Sealed(auth.ID, msg, payment.KindInstruction)
	if err != nil {
		return nil, err
	}
	if sealed.Digest() != auth.Instruction {
		return nil, payment.Refuse(payment.PIHMismatch, "auth.instruction", auth.Instruction, sealed.Digest()+", the one that came along")
	}
	issuer, err := b.issuerOf(auth.Audience)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := b.Send(ctx, issuer, "/authorizations", c.Key, msg, &reply); err != nil {
		return nil, unavailable(err)
	}
	var authres payment.AuthRes
	object, bank, err := c.Open(ctx, reply, payment.KindAuthRes, &authres)
	if err == nil && (bank.String() != issuer || authres.Ref != authObject.Digest()) {
		err = payment.Refuse(payment.ApprovalMismatch, "authres.ref", authres.Ref, authObject.Digest()+", answered by "+issuer)
	}
	if err == nil {
		err = payment.CheckApproval(object, &authres, object.Digest(), &dual, consumer.String())
	}
	if err != nil {
		return nil, agent.Unusable(err, issuer)
	}
	p := payin{ID: auth.ID, Merchant: dual.Merchant, Gateway: gateway.String(), Issuer: issuer, Amount: dual.Sum(), AuthRes: object.Digest()}
	return reply, b.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(tx.Keep(&c.Exchange), tx.Put("payment/"+p.ID, p), tx.Finish(c, reply), tx.Event(audit.Event{
			Time: b.Now().UTC(), Kind: agent.Reviewed,
			Attrs: map[string]string{"payment": p.ID, "object": dualObject.Digest(), "checked": "dual signature, gateway, merchant standing, amount, approval", "result": authres.Result},
		}))
	})
}

// review checks what a merchant's bank can: the dual signature, without the account.
func (b *Bank) review(_ context.Context, c *agent.Call, auth *payment.Auth, dual *payment.Dual, object payment.Object, gateway policy.Identity) error {
	if gateway.String() != c.URI {
		return payment.Refuse(payment.NotAddressedHere, "caller", c.URI, "the gateway that signed the auth, "+gateway.String())
	}
	if err := dual.CheckAuth(object, auth); err != nil {
		return err
	}
	if dual.Acquirer != b.URI() {
		return payment.Refuse(payment.NotAddressedHere, "dual.acquirer", dual.Acquirer, b.URI())
	}
	_, err := b.standing(dual.Merchant, dual.Sum())
	return err
}

// issuerOf finds the issuing bank among the readers of an object.
func (b *Bank) issuerOf(audience []string) (string, error) {
	for _, uri := range audience {
		if _, err := b.Identity(uri, payment.IssuingRoles()...); err == nil {
			return uri, nil
		}
	}
	return "", payment.Refuse(payment.NotAddressedHere, "aud", strings.Join(audience, " "), "an issuing bank among the readers")
}

// unavailable says that the issuing bank could not be reached; its refusals pass as they are.
func unavailable(err error) error {
	if agent.CodeOf(err) != "" {
		return err
	}
	return &payment.Refusal{Code: payment.Unavailable, Field: "issuing bank", Got: "no answer", Want: "one; ask again", Err: err}
}

// transfer: POST /transfers, key ID/transfer/SEQ. What the issuing bank transferred is booked to the merchant, less the fee.
func (b *Bank) transfer(ctx context.Context, c *agent.Call) (any, error) {
	msg, err := c.Message()
	if err != nil {
		return nil, err
	}
	var x payment.Transfer
	object, gateway, err := c.Open(ctx, msg, payment.KindTransfer, &x)
	if err != nil {
		return nil, err
	}
	if err := c.Operation(x.ID, "transfer", x.Seq); err != nil {
		return nil, err
	}
	p, err := b.payment(x.ID, gateway.String())
	if err != nil {
		return nil, err
	}
	if c.URI != p.Gateway { // who got hold of another's order must not have the reply to it
		return nil, agent.ErrNotFound
	}
	if x.Ref != p.AuthRes {
		return nil, payment.Refuse(payment.ApprovalMismatch, "transfer.ref", x.Ref, p.AuthRes+", the approval of this payment")
	}
	m, err := b.standing(p.Merchant, p.Amount)
	if err != nil {
		return nil, err
	}
	reply := agent.Message{}
	if err := b.Send(ctx, p.Issuer, "/transfers", c.Key, msg, &reply); err != nil {
		return nil, unavailable(err)
	}
	var t payment.Transferred
	done, bank, err := c.Open(ctx, reply, payment.KindTransferred, &t)
	if err == nil && bank.String() != p.Issuer {
		err = payment.Refuse(payment.ApprovalMismatch, "signer of transferred", bank.String(), p.Issuer)
	}
	if err == nil {
		err = t.CheckTransfer(object, &x)
	}
	if err != nil { // the money may have moved: this is no refusal
		return nil, agent.Unusable(err, p.Issuer)
	}
	fee, err := t.Sum().BasisPoints(m.Fee)
	if err != nil {
		return nil, err
	}
	return reply, b.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(tx.Keep(&c.Exchange), b.book(tx, m, &t, fee, done.Digest()), tx.Finish(c, reply))
	})
}

// book credits the merchant with a transfer, and the bank with its fee.
func (b *Bank) book(tx *agent.Tx, m client, t *payment.Transferred, fee money.Money, ref string) error {
	net, err := t.Sum().Sub(fee)
	if err != nil {
		return err
	}
	seq := fmt.Sprint(t.Seq)
	for _, posting := range []struct {
		name   string
		credit string
		amount money.Money
	}{{"merchant", m.Account, net}, {"fee", feeIncome(m.Currency), fee}} {
		if posting.amount.Minor == 0 {
			continue
		}
		if _, _, err := tx.Book().Post(ledger.Transfer{
			ID: ledger.TransferID(t.ID, "transferred", seq, posting.name), Kind: ledger.KindDirect, Debit: dueFromClearing(m.Currency), Credit: posting.credit,
			Amount: posting.amount, Code: posting.name, Time: b.Now(), Ref: ref,
		}); err != nil {
			return err
		}
	}
	return nil
}

// payment reads what is kept of a payment; for another gateway there is none.
func (b *Bank) payment(id, gateway string) (p payin, err error) {
	err = b.Read(func(tx *agent.Tx) error { return tx.Get("payment/"+id, &p) })
	if err == nil && p.Gateway != gateway {
		err = agent.ErrNotFound
	}
	return p, err
}
