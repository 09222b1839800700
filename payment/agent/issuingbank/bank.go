package issuingbank

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// Config says whose bank it is.
type Config struct {
	Agent     *agent.Agent
	BIN       string        // six digits that start its account numbers
	Confirmer string        // identity URI
	HoldLife  time.Duration // 0 for 7 days
	Limit     int64         // the most of one payment in minor units, 0 for none
	// ConfirmLife is how long a consumer may take to confirm; 0 for 5 minutes in realtime mode. A deferred
	// confirmation has as long as the hold.
	ConfirmLife time.Duration
}

const (
	defaultHoldLife    = 7 * 24 * time.Hour
	defaultConfirmLife = 5 * time.Minute
	objectLife         = 365 * 24 * time.Hour // of a bank's signed word
	confirmTries       = 3
	binSize            = 6
	cardLife           = 3 // years
)

// A Bank is an issuing bank's agent.
type Bank struct {
	*agent.Agent
	cfg   Config
	vault *account.Vault
}

// VaultFile is the name of the vault's key in the agent's directory.
const VaultFile = "vault.key"

// New adds an issuing bank's routes and jobs to an agent.
func New(cfg Config) (*Bank, error) {
	if cfg.Agent == nil || len(cfg.BIN) != binSize || cfg.Confirmer == "" {
		return nil, errors.New("new issuing bank: want Agent, Confirmer and a BIN of six digits")
	}
	if !agent.Is(cfg.Agent.Self().Role, payment.IssuingRoles()) {
		return nil, fmt.Errorf("new issuing bank: the certificate is of a %s", cfg.Agent.Self().Role)
	}
	if cfg.HoldLife == 0 {
		cfg.HoldLife = defaultHoldLife
	}
	if cfg.ConfirmLife == 0 {
		cfg.ConfirmLife = defaultConfirmLife
	}
	vault, err := account.OpenVault(filepath.Join(cfg.Agent.Dir(), VaultFile))
	if err != nil {
		return nil, err
	}
	b := &Bank{Agent: cfg.Agent, cfg: cfg, vault: vault}
	banks, consumers := payment.AcquiringRoles(), []policy.Role{policy.Consumer}
	b.Post("/authorizations", banks, b.authorize)
	b.Get("/inquiries/{id}", banks, b.inquire)
	b.Post("/transfers", banks, b.transfer)
	b.Post("/voids", banks, b.void)
	b.Post("/links", consumers, b.link)
	b.Get("/balance", consumers, b.balance)
	b.Handle("expire", b.expire)
	agent.Control(b.Agent, "/invite", b.Invite)
	agent.Control(b.Agent, "/check", func(context.Context, struct{}) (any, error) {
		return struct{}{}, b.Read(func(tx *agent.Tx) error { return tx.Book().Check() })
	})
	return b, nil
}

// A holding is what is kept of an account, under account/ID. Number and secret are encrypted.
type holding struct {
	ID       string         `json:"id"` // in the ledger too
	Party    string         `json:"party"`
	Holder   string         `json:"holder,omitempty"` // identity URI, once linked
	Currency money.Currency `json:"currency"`
	Number   []byte         `json:"number"`
	Expiry   string         `json:"expiry"` // YYMM
	Secret   []byte         `json:"secret"` // for confirmation codes
	Used     bool           `json:"used,omitempty"`
	agent.Invitation
}

// An InviteRequest opens an account for a party.
type InviteRequest struct {
	Party   string      `json:"party"`
	Balance money.Money `json:"balance"`         // what is on it at the start; zero minor units for nothing
	Credit  int64       `json:"credit,omitzero"` // limit of credit in minor units
}

// Invited is the bank's answer: a token to be redeemed once, by that party alone.
type Invited struct {
	Party   string `json:"party"`
	Account string `json:"account"` // the bank's own name for it, not its number
	Token   string `json:"token"`
}

// Invite opens an account with a new number and returns a one-time token with which its holder links it.
func (b *Bank) Invite(ctx context.Context, in InviteRequest) (any, error) {
	if err := policy.CheckPartyID(in.Party); err != nil {
		return nil, err
	}
	if _, err := money.ParseCurrency(string(in.Balance.Currency)); err != nil || in.Balance.Minor < 0 || in.Credit < 0 || in.Balance.Minor > money.MaxMinor {
		return nil, &payment.Refusal{Code: payment.BadAmount, Field: "balance", Got: in.Balance.String(), Want: "zero or more, in an ISO 4217 currency", Err: err}
	}
	number, err := account.RandomNumber(b.cfg.BIN)
	if err != nil {
		return nil, err
	}
	token, kept := agent.NewInvitation(b.Now())
	id := "account/" + kept.TokenID
	h := holding{
		ID: id, Party: in.Party, Currency: in.Balance.Currency, Number: b.vault.Seal(id, []byte(number.Reveal())),
		Expiry: b.Now().UTC().AddDate(cardLife, 0, 0).Format("0601"), Secret: b.vault.Seal(id+"/secret", account.NewSecret()), Invitation: kept,
	}
	return Invited{Party: in.Party, Account: id, Token: token}, b.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(tx.Put(id, h), tx.Put("index/"+b.vault.Index(number), id), b.fund(tx, h, in))
	})
}

// fund opens the ledger accounts and books the first balance.
func (b *Bank) fund(tx *agent.Tx, h holding, in InviteRequest) error {
	a := ledger.Account{ID: h.ID, Kind: "customer", Currency: h.Currency, Rule: ledger.NoOverdraft}
	if in.Credit > 0 {
		a.Rule, a.Limit = ledger.CreditLimit, in.Credit
	}
	book := tx.Book()
	err := errors.Join(
		book.Open(a),
		book.Open(ledger.Account{ID: dueToClearing(h.Currency), Kind: "clearing", Currency: h.Currency, Rule: ledger.Unrestricted}),
		book.Open(ledger.Account{ID: cash(h.Currency), Kind: "cash", Currency: h.Currency, Rule: ledger.Unrestricted}),
	)
	if err != nil || in.Balance.Minor == 0 {
		return err
	}
	_, _, err = book.Post(ledger.Transfer{
		ID: ledger.TransferID(h.ID, "first balance"), Kind: ledger.KindDirect, Debit: cash(h.Currency), Credit: h.ID, Amount: in.Balance, Code: "deposit", Time: b.Now(),
	})
	return err
}

func dueToClearing(c money.Currency) string { return "due-to-clearing/" + string(c) }
func cash(c money.Currency) string          { return "cash/" + string(c) }

// link: POST /links, key TOKENID/link/1. The reply holds the account number and is not kept: the holder may ask again
// with the same token until it has paid for the first time.
func (b *Bank) link(ctx context.Context, c *agent.Call) (any, error) {
	var in agent.TokenRequest
	if err := c.Decode(&in); err != nil {
		return nil, err
	}
	token := agent.InvitationID(in.Token)
	if err := c.Operation(token, "link", 1); err != nil {
		return nil, err
	}
	var h holding
	err := b.Write(ctx, func(tx *agent.Tx) error {
		h = holding{}
		if err := tx.Get("account/"+token, &h); err != nil {
			return err
		}
		if !h.Admits(in.Token) || h.Party != c.Peer.Party || h.Holder != "" && h.Holder != c.URI {
			return agent.ErrNotFound
		}
		if h.Used {
			return payment.Refuse(payment.BadState, "token "+token, "used, and the account with it", "a new account from the bank")
		}
		h.Holder = c.URI
		return tx.Put(h.ID, h)
	})
	if err != nil {
		return nil, err
	}
	number, err := b.vault.Open(h.ID, h.Number)
	if err != nil {
		return nil, err
	}
	secret, err := b.vault.Open(h.ID+"/secret", h.Secret)
	if err != nil {
		return nil, err
	}
	return account.Link{Issuer: b.URI(), Confirmer: b.cfg.Confirmer, Currency: h.Currency, Number: string(number), Expiry: h.Expiry, Secret: secret}, nil
}

// balance: GET /balance?currency=CUR, of the caller's account.
func (b *Bank) balance(_ context.Context, c *agent.Call) (any, error) {
	var list []agent.Balance
	return &list, b.Read(func(tx *agent.Tx) error {
		for name := range tx.Names("account/") {
			var h holding
			if err := tx.Get(name, &h); err != nil {
				return err
			}
			if h.Holder != c.URI {
				continue
			}
			a, err := tx.Book().Account(h.ID)
			if err != nil {
				return err
			}
			list = append(list, agent.Balance{
				Account: h.ID, Posted: money.New(a.Balance(), h.Currency), Held: money.New(a.DebitsPending, h.Currency), Available: money.New(a.Available(), h.Currency),
			})
		}
		if list == nil {
			return agent.ErrNotFound
		}
		return nil
	})
}

// A payout is what is kept of a payment, under payment/ID.
type payout struct {
	ID       string       `json:"id"`
	Account  string       `json:"account"`
	Acquirer string       `json:"acquirer"`
	Gateway  string       `json:"gateway"`
	Merchant string       `json:"merchant"`
	Consumer string       `json:"consumer"`
	Mode     payment.Mode `json:"mode"`
	Amount   money.Money  `json:"amount"`
	Auth     string       `json:"auth"`             // digest
	AuthRes  string       `json:"authres"`          // digest
	Expect   string       `json:"expect,omitempty"` // digest
	Result   string       `json:"result"`           // approved, declined, voided
}

// load reads a payment; for another acquiring bank there is none.
func (b *Bank) load(tx *agent.Tx, id, acquirer string) (p payout, err error) {
	if err = tx.Get("payment/"+id, &p); err == nil && p.Acquirer != acquirer {
		err = agent.ErrNotFound
	}
	return p, err
}

// holdID names the one hold of a payment.
func holdID(id string) ledger.ID { return ledger.TransferID(id, "hold") }
