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
	b.Post("/authorizations", b.authorize)
	b.Get("/inquiries/{id}", b.inquire)
	b.Post("/transfers", b.transfer)
	b.Post("/voids", b.void)
	b.Post("/links", b.link)
	b.Get("/balance", b.balance)
	b.Handle("expire", b.expire)
	agent.Control(b.Agent, "/invite", b.Invite)
	agent.Control(b.Agent, "/check", func(context.Context, struct{}) (any, error) {
		return struct{}{}, b.Read(func(tx *agent.Tx) error { return tx.Book().Check() })
	})
	return b, nil
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
