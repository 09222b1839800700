package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"time"

	"github.com/payca/payca/cmd/internal/agents"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// Who pays in a measurement, and how.
const (
	buyers       = 16 // goroutines
	consumers    = 4  // agents that they share
	perPair      = 96 // payments
	currency     = money.Currency("CNY")
	bin          = "622848"         // starts the account numbers
	payPatience  = 10 * time.Second // with one step of a payment
	fortune      = 1 << 50          // of each consumer, minor units
	acquirersFee = 25               // hundredths of a percent
)

// payments measures payments with the stores left to the operating system, then durable.
func payments(ctx context.Context, r *runner) error {
	for _, mode := range []struct {
		name   string
		noSync bool
		atMost float64
	}{{"warm", true, 1.9}, {"durable", false, 2.4}} {
		m, closeMarket, err := r.newMarket(ctx, mode.noSync)
		if err != nil {
			return err
		}
		if err := errors.Join(m.measure(ctx, r, mode.name, mode.atMost), closeMarket()); err != nil {
			return err
		}
	}
	return nil
}

// A market is a network with agents for every role.
type market struct {
	*site
	noSync   bool
	operator *api.Client
	peers    []config.AgentPeer
	agents   []*agents.Running
	stopped  []<-chan error // what becomes of them
	shop     *agents.Running
	buyers   []*consumer.Consumer
	commits  atomic.Uint64 // of all stores
}

// sellers are the agents that others call: id, which is also the DNS name's first label, and role.
var sellers = []struct {
	id   string
	role policy.Role
}{
	{"confirmer", policy.Confirmer}, {"ibank", policy.IssuingBank}, {"abank", policy.AcquiringBank}, {"gateway", policy.Gateway}, {"shop", policy.Merchant},
}

// newMarket makes the network, starts every agent and opens the accounts.
func (r *runner) newMarket(ctx context.Context, noSync bool) (m *market, closeMarket func() error, err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	m = &market{site: s, noSync: noSync}
	closeMarket = func() error {
		cancel()
		var errs []error
		for _, done := range m.stopped {
			errs = append(errs, <-done)
		}
		return errors.Join(append(errs, closeSite())...)
	}
	if err := m.staff(ctx); err != nil {
		return nil, nil, errors.Join(err, closeMarket())
	}
	return m, closeMarket, nil
}

// staff starts the agents and opens the accounts.
func (m *market) staff(ctx context.Context) (err error) {
	if m.operator, err = m.site.operator(); err != nil {
		return err
	}
	var listeners []net.Listener
	for _, s := range sellers {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listeners = append(listeners, l) // closed by the agent's server
		m.peers = append(m.peers, config.AgentPeer{ID: s.id, Role: s.role, URL: "https://" + s.id + ".test", Address: l.Addr().String()})
	}
	running := map[policy.Role]*agents.Running{}
	for i, s := range sellers {
		if running[s.role], err = m.start(ctx, s.id, s.role, listeners[i]); err != nil {
			return fmt.Errorf("the agent of the %s: %w", s.role, err)
		}
	}
	m.shop = running[policy.Merchant]
	invited, err := running[policy.AcquiringBank].AcquiringBank.Invite(ctx, acquiringbank.InviteRequest{Party: "shop", Currency: currency})
	if err != nil {
		return err
	}
	if _, err := m.shop.Merchant.Onboard(ctx, invited.(acquiringbank.Invited).Token); err != nil {
		return err
	}
	bank := running[policy.IssuingBank]
	for i := range consumers {
		id := fmt.Sprintf("school%d", i)
		school, err := m.start(ctx, id, policy.Consumer, nil)
		if err != nil {
			return err
		}
		opened, err := bank.IssuingBank.Invite(ctx, issuingbank.InviteRequest{Party: id, Balance: money.New(fortune, currency)})
		if err != nil {
			return err
		}
		if _, err := school.Consumer.Link(ctx, bank.URI(), opened.(issuingbank.Invited).Token); err != nil {
			return err
		}
		m.buyers = append(m.buyers, school.Consumer)
	}
	return nil
}

// start registers and enrolls a party, and starts its agent.
func (m *market) start(ctx context.Context, id string, role policy.Role, l net.Listener) (*agents.Running, error) {
	p := policy.Party{ID: id, Role: role, Name: id}
	if role != policy.Consumer {
		p.DNSNames = []string{id + ".test"}
	}
	if _, err := m.operator.AddParty(ctx, p); err != nil {
		return nil, err
	}
	token, err := m.operator.CreateToken(ctx, api.TokenRequest{Party: id})
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(m.dir, "agents", id)
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return nil, err
	}
	if _, err := enroll.Enroll(ctx, enroll.EnrollConfig{Token: token.Token, Dir: dir}); err != nil {
		return nil, err
	}
	conf := agentConfig(role)
	conf.Identity, conf.Data, conf.Peers = dir, dir+".data", m.peers
	a, err := agents.Open(ctx, &conf, agents.Options{
		Logger: slog.New(slog.DiscardHandler),
		Agent: func(c *agent.Config) {
			c.NoSync = m.noSync || role == policy.Consumer // it is the others who answer for the money
			c.BeforeCommit = func() error { m.commits.Add(1); return nil }
		},
	})
	if err != nil {
		return nil, err
	}
	m.agents = append(m.agents, a)
	done := make(chan error, 1)
	go func() { done <- errors.Join(a.Serve(ctx, l), a.Close()) }()
	m.stopped = append(m.stopped, done)
	return a, nil
}

// agentConfig is what the file of an agent would say.
func agentConfig(role policy.Role) config.Agent {
	c := config.DefaultAgent()
	switch role {
	case policy.Merchant:
		c.Merchant = &config.MerchantAgent{
			Gateway: "gateway", Acquirer: "abank", Currency: currency, CaptureRule: payment.CaptureOnDelivery,
			OfferLife: policy.Duration(time.Hour), Instruments: []config.InstrumentAgent{{Name: "card"}},
			Catalogue: []config.ItemAgent{{SKU: "PC-1", Model: "Acme 4100", Price: "300.00", Choices: []config.ChoiceAgent{{Name: "graphics card", Values: []string{"GX 4"}}, {Name: "sound card", Values: []string{"SX 1"}}}}},
		}
	case policy.Gateway:
		c.Gateway = &config.GatewayAgent{
			Confirmer: "confirmer", Routes: []config.RouteAgent{{BIN: bin, Issuer: "ibank"}}, Deadline: policy.Duration(time.Minute),
		}
	case policy.AcquiringBank:
		c.AcquiringBank = &config.AcquiringBankAgent{Fee: acquirersFee}
	case policy.IssuingBank:
		c.IssuingBank = &config.IssuingBankAgent{
			BIN: bin, Confirmer: "confirmer", HoldLife: policy.Duration(time.Hour), ConfirmLife: policy.Duration(time.Minute),
		}
	}
	return c
}

// terms are those of each payment.
func terms() payment.Terms {
	return payment.Terms{
		Lines: []payment.Line{{
			SKU: "PC-1", Model: "Acme 4100", Quantity: 2, UnitPrice: money.New(30_000, currency),
			Options: []payment.Option{{Name: "graphics card", Value: "GX 4"}, {Name: "sound card", Value: "SX 1"}},
		}},
		Delivery: payment.Delivery{Time: time.Now().AddDate(0, 1, 0).UTC().Truncate(time.Second), Place: "Riverside School, Canary Lane 12"},
		Contact:  "office",
	}
}

// pay takes a payment from the order to the transfer, by the direct route with a realtime confirmation and one capture, and
// returns its id.
func (m *market) pay(ctx context.Context, c *consumer.Consumer) (string, error) {
	offered, err := c.Order(ctx, m.shop.URI(), terms())
	if err != nil {
		return "", err
	}
	id := offered.ID
	if _, err := c.Accept(ctx, id, consumer.Choice{}); err != nil {
		return id, err
	}
	if _, err := c.Pay(ctx, id); err != nil {
		return id, err
	}
	if _, err := c.Confirm(ctx, id, payPatience); err != nil {
		return id, err
	}
	v, err := c.Await(ctx, id, payPatience)
	if err != nil || v.State != payment.Opened {
		return id, errors.Join(err, wantState(id, v.State, payment.Opened))
	}
	if err := c.Delivered(ctx, id, "two workstations"); err != nil {
		return id, err
	}
	v, err = m.shop.Merchant.Capture(ctx, id, nil, true)
	return id, errors.Join(err, wantState(id, v.State, payment.Closed))
}

func wantState(id string, got, want payment.State) error {
	if got != want {
		return fmt.Errorf("payment %s is %q, want %s", id, got, want)
	}
	return nil
}

// measure takes the pairs, then payments one at a time.
func (m *market) measure(ctx context.Context, r *runner, name string, atMost float64) error {
	id, err := m.pay(ctx, m.buyers[0])
	if err != nil {
		return err
	}
	work, err := m.workOf(id)
	if err != nil {
		return err
	}
	var turn atomic.Uint64
	paying := func(n int) error {
		return together(n, buyers, func() error {
			_, err := m.pay(ctx, m.buyers[turn.Add(1)%consumers])
			return err
		})
	}
	if err := paying(r.n(2 * buyers)); err != nil { // connections are made and certificates known
		return err
	}
	bare, err := r.newBare(m.noSync)
	if err != nil {
		return err
	}
	before, commits, n := m.counts(), m.commits.Load(), r.n(perPair)
	costs, ratios, err := r.compare(n, func(n int) error { return together(n, buyers, work.do) }, paying, func(n int) error {
		return together(n, buyers, func() error { return bare.do(ctx) })
	})
	if err = errors.Join(err, bare.close()); err != nil {
		return err
	}
	after, commits := m.counts(), m.commits.Load()-commits
	took, err := m.alone(ctx, r.n(100))
	if err != nil {
		return err
	}
	r.add(name+", CPU of a payment, all parties", micros(costs[1].cpu), "us", 0)
	r.add(name+", floor: its cryptography", micros(costs[0].cpu), "us", 0)
	r.add(name+", CPU over the floor", ratios[1], "x", atMost)
	r.add(name+", bare exchanges and commits, CPU", micros(costs[2].cpu), "us", 0)
	r.add(name+", the floor with them, over the floor", 1+ratios[2], "x", 0)
	r.add(name+", payments", float64(time.Second)/float64(costs[1].wall), "/s", 0)
	r.add(name+", one at a time, median", median(took), "ms", 0)
	r.add(name+", one at a time, 99th percentile", took[len(took)*99/100], "ms", 0)
	for _, f := range []struct {
		name string
		n    uint64
	}{
		{"exchanges", after.Served - before.Served},
		{"signatures", after.Signed - before.Signed},
		{"verifications", after.Verified - before.Verified},
		{"commits", commits},
	} {
		r.add(name+", "+f.name, float64(f.n)/float64(r.Pairs*n), "each", 0)
	}
	return nil
}

// alone measures payments one at a time, milliseconds in ascending order.
func (m *market) alone(ctx context.Context, n int) (took []float64, err error) {
	for range n {
		start := time.Now()
		if _, err := m.pay(ctx, m.buyers[0]); err != nil {
			return nil, err
		}
		took = append(took, millis(time.Since(start)))
	}
	slices.Sort(took)
	return took, nil
}

// counts adds up what all agents have done.
func (m *market) counts() (sum agent.Counts) {
	for _, a := range m.agents {
		c := a.Counts()
		sum.Signed += c.Signed
		sum.Verified += c.Verified
		sum.Served += c.Served
	}
	return sum
}
