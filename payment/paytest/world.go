package paytest

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/confirmer"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/gateway"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// Options say how a [World] differs from the usual one.
type Options struct {
	Currency    money.Currency // "" for CNY
	Balance     int64          // of the consumer's account in minor units; 0 for 1,000,000.00
	CaptureRule string         // "" for payment.CaptureOnShipment
	AutoShip    bool
	Fee         int64                                                       // of the acquiring bank, hundredths of a percent; 0 for 25
	Limit       int64                                                       // of one payment at the issuing bank
	OfferLife   time.Duration                                               // 0 for the merchant's usual
	ConfirmLife time.Duration                                               // 0 for the issuing bank's usual
	HoldLife    time.Duration                                               // 0 for the issuing bank's usual
	Deadline    time.Duration                                               // of the gateway; 0 for its usual
	Timeout     time.Duration                                               // of one call
	Now         func() time.Time                                            `json:"-"` // of the agents
	Fail        func(node, point string)                                    `json:"-"` // called when a node reaches a point
	Dial        func(from, to, address string) string                       `json:"-"` // another address to call, such as a proxy's
	Status      mtls.StatusChecker                                          `json:"-"` // nil for one that asks the CA at every use
	FeedFor     func(net *catest.Network, node string) *feed.Client         `json:"-"` // what tells a node of revocations, beside the one question that it asks of each certificate in an hour
	StatusFor   func(node string) mtls.StatusChecker                        `json:"-"` // nil for Status for all
	Certificate func(thumbprint string) []*x509.Certificate                 `json:"-"`
	Logger      *slog.Logger                                                `json:"-"`
	Logs        func(node string) *slog.Logger                              `json:"-"` // a logger for each node, in place of Logger
	Wire        func(node string, body []byte)                              `json:"-"` // is shown what each node sends and receives, decrypted
	Commit      func(node string) error                                     `json:"-"` // called before each commit, which an error makes fail
	Access      func(node string) []policy.Access                           `json:"-"` // as in agent.Config
	Calling     func(node string, next http.RoundTripper) http.RoundTripper `json:"-"` // stands before the calls of each node
	NoSync      bool
}

// A World is a payment network that lives for one test.
type World struct {
	Net    *catest.Network
	Status mtls.StatusChecker

	School, Shop, GW, ABank, IBank, K *Node // the parties

	Consumer  *consumer.Consumer
	Merchant  *merchant.Merchant
	Gateway   *gateway.Gateway
	Acquirer  *acquiringbank.Bank
	Issuer    *issuingbank.Bank
	Confirmer *confirmer.Confirmer

	opts  Options
	dir   string
	nodes []*Node
}

// statusFor returns what tells a node who is revoked.
func (w *World) statusFor(t testing.TB, n *Node, changes *feed.Client) mtls.StatusChecker {
	if changes != nil {
		checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: time.Hour, Feed: changes})
		must(t, err)
		return checker
	}
	if w.opts.StatusFor != nil {
		return w.opts.StatusFor(n.ID)
	}
	return w.Status
}

// BIN starts the account numbers of the issuing bank.
const BIN = "622848"

// patience is the time-out of calls where a test sets none: that of a machine with other things to do.
const patience = 30 * time.Second

// New makes the world, starts all agents, links the consumer's account and onboards the merchant. The test's end
// stops them and checks that the ledgers add up.
func New(t testing.TB, opts Options) *World {
	t.Helper()
	if opts.Currency == "" {
		opts.Currency = "CNY"
	}
	if opts.Balance == 0 {
		opts.Balance = 100_000_000
	}
	if opts.Fee == 0 {
		opts.Fee = 25
	}
	if opts.Timeout == 0 {
		opts.Timeout = patience
	}
	dir, err := os.MkdirTemp("", "paytest") // short, since it holds sockets
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	w := &World{Net: catest.New(t), opts: opts, dir: dir}
	if w.Status = opts.Status; w.Status == nil {
		checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1})
		must(t, err)
		w.Status = checker
	}
	w.parties(t)
	for _, n := range w.nodes {
		n.Start(t)
	}
	t.Cleanup(func() { w.close(t) })
	w.Invite(t, w.Shop, w.Merchant)
	w.Link(t, w.School, w.Consumer, opts.Balance)
	return w
}

// parties enrolls everybody.
func (w *World) parties(t testing.TB) {
	w.ABank = w.Add(t, "abank", policy.AcquiringBank, w.builder(policy.AcquiringBank))
	w.K = w.Add(t, "confirm", policy.Confirmer, w.builder(policy.Confirmer))
	w.IBank = w.Add(t, "ibank", policy.IssuingBank, w.builder(policy.IssuingBank))
	w.GW = w.Add(t, "gw1", policy.Gateway, w.builder(policy.Gateway))
	w.Shop = w.Add(t, "shop1", policy.Merchant, w.builder(policy.Merchant))
	w.School = w.Add(t, "school", policy.Consumer, w.builder(policy.Consumer))
}

// builder returns what makes the world's party of that role out of an agent.
func (w *World) builder(role policy.Role) func(*agent.Agent) error {
	o := w.opts
	return func(a *agent.Agent) (err error) {
		switch role {
		case policy.AcquiringBank:
			w.Acquirer, err = acquiringbank.New(acquiringbank.Config{Agent: a, Fee: o.Fee})
		case policy.Confirmer:
			w.Confirmer, err = confirmer.New(confirmer.Config{Agent: a})
		case policy.IssuingBank:
			w.Issuer, err = issuingbank.New(issuingbank.Config{
				Agent: a, BIN: BIN, Confirmer: w.K.URI, Limit: o.Limit, ConfirmLife: o.ConfirmLife, HoldLife: o.HoldLife,
			})
		case policy.Gateway:
			w.Gateway, err = gateway.New(gateway.Config{
				Agent: a, Routes: []gateway.Route{{BIN: BIN, Issuer: w.IBank.URI}}, Confirmer: w.K.URI, Deadline: o.Deadline,
			})
		case policy.Merchant:
			w.Merchant, err = w.NewMerchant(a)
		default:
			w.Consumer, err = consumer.New(consumer.Config{Agent: a})
		}
		return err
	}
}

// NewMerchant makes a merchant that sells what [World.Terms] orders.
func (w *World) NewMerchant(a *agent.Agent) (*merchant.Merchant, error) {
	return merchant.New(merchant.Config{
		Agent: a, Gateway: w.GW.URI, Acquirer: w.ABank.URI, CaptureRule: w.opts.CaptureRule, AutoShip: w.opts.AutoShip, OfferLife: w.opts.OfferLife,
		Instruments: []payment.Instrument{{Name: "card"}},
		Items: []agent.Item{{
			SKU: "PC-1", Model: Goods, UnitPrice: money.New(30_000, w.opts.Currency),
			Choices: []agent.Choice{{Name: "graphics card", Values: []string{"GX 4", "GX 5"}}, {Name: "sound card", Values: []string{"SX 1"}}},
		}},
	})
}

// Goods is what the world's merchant sells: a name that is found nowhere else, so that a search for it proves something.
const Goods = "Canary-Workstation-7741"

// Terms are an order of n workstations.
func (w *World) Terms(n int64) payment.Terms {
	return payment.Terms{
		Lines: []payment.Line{{
			SKU: "PC-1", Model: Goods, Quantity: n, UnitPrice: money.New(30_000, w.opts.Currency),
			Options: []payment.Option{{Name: "graphics card", Value: "GX 4"}, {Name: "sound card", Value: "SX 1"}},
		}},
		Delivery: payment.Delivery{Time: time.Date(2030, 9, 1, 8, 0, 0, 0, time.UTC), Place: "Riverside School, Canary Lane 12"},
		Contact:  "office",
	}
}

// Invite onboards a merchant at the acquiring bank.
func (w *World) Invite(t testing.TB, n *Node, m *merchant.Merchant) {
	t.Helper()
	reply, err := w.Acquirer.Invite(t.Context(), acquiringbank.InviteRequest{Party: n.ID, Currency: w.opts.Currency})
	must(t, err)
	patiently(t, func() error {
		_, err := m.Onboard(t.Context(), reply.(acquiringbank.Invited).Token)
		return err
	})
}

// Link opens an account with a balance and links it to a consumer. It returns the account number.
func (w *World) Link(t testing.TB, n *Node, c *consumer.Consumer, balance int64) string {
	t.Helper()
	reply, err := w.Issuer.Invite(t.Context(), issuingbank.InviteRequest{Party: n.ID, Balance: money.New(balance, w.opts.Currency)})
	must(t, err)
	var link account.Link
	patiently(t, func() (err error) {
		link, err = c.Link(t.Context(), w.IBank.URI, reply.(issuingbank.Invited).Token)
		return err
	})
	return link.Number
}

// Accepted orders n workstations and accepts the offer.
func (w *World) Accepted(t testing.TB, n int64, choice consumer.Choice) string {
	t.Helper()
	var offered *consumer.Offered
	patiently(t, func() (err error) {
		offered, err = w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(n))
		return err
	})
	patiently(t, func() error {
		_, err := w.Consumer.Accept(t.Context(), offered.ID, choice)
		return err
	})
	return offered.ID
}

// Buy takes an order of n workstations as far as the receipt, and returns the payment's id.
func (w *World) Buy(t testing.TB, n int64, choice consumer.Choice) string {
	t.Helper()
	id := w.Accepted(t, n, choice)
	patiently(t, func() error {
		_, err := w.Consumer.Pay(t.Context(), id)
		return err
	})
	if choice.Mode != payment.ConfirmNone {
		var answered *consumer.Answered
		patiently(t, func() (err error) {
			answered, err = w.Consumer.Confirm(t.Context(), id, 5*time.Second)
			return err
		})
		if answered.Result != payment.ConfirmedResult {
			t.Fatalf("payment %s: %s", id, answered.Result)
		}
	}
	patiently(t, func() error {
		v, err := w.Consumer.Await(t.Context(), id, 5*time.Second)
		switch {
		case err != nil:
			return err
		case v.State == payment.Requested:
			return payment.Refuse(payment.NotFound, "receipt", "not there yet", "one")
		case v.State != payment.Opened && v.State != payment.Closed || len(v.Objects[string(payment.KindReceipt)]) != 1:
			return fmt.Errorf("payment %s is %s with %d receipts, want open with one", id, v.State, len(v.Objects[string(payment.KindReceipt)]))
		}
		return nil
	})
	return id
}

// Nodes lists every party.
func (w *World) Nodes() []*Node { return w.nodes }

func (w *World) close(t testing.TB) {
	ctx := context.Background()
	for _, bank := range []*agent.Agent{w.Issuer.Agent, w.Acquirer.Agent} {
		err := bank.Read(func(tx *agent.Tx) error { return tx.Book().Check() })
		if err != nil && ctx.Err() == nil {
			t.Errorf("ledger of %s: %v", bank.URI(), err)
		}
	}
	for _, n := range w.nodes {
		n.Stop(t)
	}
}

// patiently repeats what a busy machine was too slow for, or what has not come yet.
func patiently(t testing.TB, do func() error) {
	t.Helper()
	err := do()
	for end := time.Now().Add(time.Minute); err != nil && time.Now().Before(end); err = do() {
		if code := agent.CodeOf(err); code != payment.Unavailable && code != payment.NotFound && code != payment.InFlight {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
