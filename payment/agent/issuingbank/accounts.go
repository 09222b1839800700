package issuingbank

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// A deposit is what is kept of an account, under account/ID; its balance is in the ledger.
type deposit struct {
	ID       string         `json:"id"` // in the ledger too
	Currency money.Currency `json:"currency"`
	Number   []byte         `json:"number"` // encrypted
	Expiry   string         `json:"expiry"` // YYMM
}

// A mandate is one party's right to pay from an account, under mandate/ID, and by its holder under holder/URI/ACCOUNT once it
// is linked. An account may have several, each with a secret of its own.
type mandate struct {
	ID      string `json:"id"`
	Account string `json:"account"`
	Party   string `json:"party"`
	Holder  string `json:"holder,omitempty"` // identity URI, once linked
	Secret  []byte `json:"secret"`           // for confirmation codes, encrypted
	Used    bool   `json:"used,omitempty"`
	agent.Invitation
}

func mandateName(id string) string             { return "mandate/" + id }
func holderName(holder, account string) string { return "holder/" + holder + "/" + account }

// An InviteRequest opens an account for a party, or lets the party pay from one that is there.
type InviteRequest struct {
	Party   string      `json:"party"`
	Account string      `json:"account,omitempty"` // the bank's name for an account; "" to open one
	Balance money.Money `json:"balance,omitzero"`  // what is on a new account; zero minor units for nothing
	Credit  int64       `json:"credit,omitzero"`   // limit of credit of a new account, minor units
}

// Invited is the bank's answer: a token to be redeemed once, by that party alone.
type Invited struct {
	Party   string `json:"party"`
	Account string `json:"account"` // the bank's own name for it, not its number
	Token   string `json:"token"`
}

// Invite opens an account with a new number, or takes one that is there, and returns a one-time token with which the party
// links it.
func (b *Bank) Invite(ctx context.Context, in InviteRequest) (any, error) {
	if err := policy.CheckPartyID(in.Party); err != nil {
		return nil, err
	}
	token, kept := agent.NewInvitation(b.Now())
	m := mandate{ID: kept.TokenID, Account: in.Account, Party: in.Party, Invitation: kept, Secret: b.vault.Seal(kept.TokenID, account.NewSecret())}
	if in.Account != "" {
		return Invited{Party: in.Party, Account: in.Account, Token: token}, b.Write(ctx, func(tx *agent.Tx) error {
			if !strings.HasPrefix(in.Account, "account/") {
				return agent.ErrNotFound
			}
			return errors.Join(tx.Get(in.Account, new(deposit)), tx.Put(mandateName(m.ID), m))
		})
	}
	if _, err := money.ParseCurrency(string(in.Balance.Currency)); err != nil || in.Balance.Minor < 0 || in.Credit < 0 || in.Balance.Minor > money.MaxMinor {
		return nil, &payment.Refusal{Code: payment.BadAmount, Field: "balance", Got: in.Balance.String(), Want: "zero or more, in an ISO 4217 currency", Err: err}
	}
	number, err := account.RandomNumber(b.cfg.BIN)
	if err != nil {
		return nil, err
	}
	m.Account = "account/" + kept.TokenID
	d := deposit{
		ID: m.Account, Currency: in.Balance.Currency, Number: b.vault.Seal(m.Account, []byte(number.Reveal())),
		Expiry: b.Now().UTC().AddDate(cardLife, 0, 0).Format("0601"),
	}
	return Invited{Party: in.Party, Account: d.ID, Token: token}, b.Write(ctx, func(tx *agent.Tx) error {
		return errors.Join(tx.Put(d.ID, d), tx.Put(mandateName(m.ID), m), tx.Put("index/"+b.vault.Index(number), d.ID), b.fund(tx, d, in))
	})
}

// fund opens the ledger accounts and books the first balance.
func (b *Bank) fund(tx *agent.Tx, d deposit, in InviteRequest) error {
	a := ledger.Account{ID: d.ID, Kind: "customer", Currency: d.Currency, Rule: ledger.NoOverdraft}
	if in.Credit > 0 {
		a.Rule, a.Limit = ledger.CreditLimit, in.Credit
	}
	book := tx.Book()
	err := errors.Join(
		book.Open(a),
		book.Open(ledger.Account{ID: dueToClearing(d.Currency), Kind: "clearing", Currency: d.Currency, Rule: ledger.Unrestricted}),
		book.Open(ledger.Account{ID: cash(d.Currency), Kind: "cash", Currency: d.Currency, Rule: ledger.Unrestricted}),
	)
	if err != nil || in.Balance.Minor == 0 {
		return err
	}
	_, _, err = book.Post(ledger.Transfer{
		ID: ledger.TransferID(d.ID, "first balance"), Kind: ledger.KindDirect, Debit: cash(d.Currency), Credit: d.ID, Amount: in.Balance, Code: "deposit", Time: b.Now(),
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
	var m mandate
	var d deposit
	err := b.Write(ctx, func(tx *agent.Tx) error {
		m, d = mandate{}, deposit{}
		if err := tx.Get(mandateName(token), &m); err != nil {
			return err
		}
		if !m.Admits(in.Token) || m.Party != c.Peer.Party || m.Holder != "" && m.Holder != c.URI {
			return agent.ErrNotFound
		}
		if m.Used {
			return payment.Refuse(payment.BadState, "token "+token, "used, and the account with it", "a new token from the bank")
		}
		m.Holder = c.URI
		return errors.Join(tx.Get(m.Account, &d), tx.Put(mandateName(m.ID), m), tx.Put(holderName(c.URI, m.Account), m.ID))
	})
	if err != nil {
		return nil, err
	}
	number, err := b.vault.Open(d.ID, d.Number)
	if err != nil {
		return nil, err
	}
	secret, err := b.vault.Open(m.ID, m.Secret)
	if err != nil {
		return nil, err
	}
	return account.Link{Issuer: b.URI(), Confirmer: b.cfg.Confirmer, Currency: d.Currency, Number: string(number), Expiry: d.Expiry, Secret: secret}, nil
}

// mandateOf finds the right of a holder to pay from an account; agent.ErrNotFound if it has none.
func mandateOf(tx *agent.Tx, holder, account string) (m mandate, err error) {
	var id string
	if err = tx.Get(holderName(holder, account), &id); err == nil {
		err = tx.Get(mandateName(id), &m)
	}
	return m, err
}

// balance: GET /balance, of the caller's accounts.
func (b *Bank) balance(_ context.Context, c *agent.Call) (any, error) {
	var list []agent.Balance
	prefix := holderName(c.URI, "")
	return &list, b.Read(func(tx *agent.Tx) error {
		for name := range tx.Names(prefix) {
			a, err := tx.Book().Account(strings.TrimPrefix(name, prefix))
			if err != nil {
				return fmt.Errorf("account of %s: %w", c.URI, err)
			}
			list = append(list, agent.Balance{
				Account: a.ID, Posted: money.New(a.Balance(), a.Currency), Held: money.New(a.DebitsPending, a.Currency), Available: money.New(a.Available(), a.Currency),
			})
		}
		if list == nil {
			return agent.ErrNotFound
		}
		return nil
	})
}
