package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/payca/payca/cmd/internal/agents"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// bin starts the account numbers of the demo's issuing bank.
const bin = "622848"

// fee is what the acquiring bank takes of each transfer, hundredths of a percent.
const fee = 25

// troupe is the agents that buy and sell.
type troupe struct {
	cast      map[policy.Role]policy.Party
	addresses map[string]string // by party id
	listeners map[string]net.Listener
	running   map[policy.Role]*agents.Running
	stopped   []chan error
}

// players are the roles that a purchase takes.
var players = []policy.Role{policy.Confirmer, policy.IssuingBank, policy.AcquiringBank, policy.Gateway, policy.Merchant, policy.Consumer}

// withConfirmer adds a confirmer to a network that has none, as the purchase takes one.
func withConfirmer(n config.Network) config.Network {
	const id = "confirmer"
	if slices.ContainsFunc(n.Parties, func(p policy.Party) bool { return p.Role == policy.Confirmer || p.ID == id }) {
		return n
	}
	n.Parties = append(slices.Clone(n.Parties), policy.Party{
		ID: id, Role: policy.Confirmer, Name: "Payment Confirmation System", DNSNames: []string{"confirmer.test"},
	})
	return n
}

// troupeOf finds who plays what; missing lists the roles that the network has no party for.
func troupeOf(file config.Network) (t troupe, missing []policy.Role) {
	t = troupe{cast: map[policy.Role]policy.Party{}, addresses: map[string]string{}, listeners: map[string]net.Listener{}, running: map[policy.Role]*agents.Running{}}
	for _, role := range players {
		i := slices.IndexFunc(file.Parties, func(p policy.Party) bool {
			return p.Role == role && (role == policy.Consumer || len(p.DNSNames) > 0)
		})
		if i < 0 {
			missing = append(missing, role)
			continue
		}
		t.cast[role] = file.Parties[i]
	}
	return t, missing
}

// staff opens a listener for every agent, writes its configuration file, and starts it from that file.
func (d *demo) staff(ctx context.Context) error {
	t := &d.troupe
	begun := time.Now()
	for _, role := range players {
		party := t.cast[role]
		if role == policy.Consumer {
			continue
		}
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		t.listeners[party.ID], t.addresses[party.ID] = l, l.Addr().String()
	}
	if err := os.MkdirAll(d.agentDir(), 0o700); err != nil {
		return err
	}
	for _, role := range players {
		if err := d.startAgent(ctx, role); err != nil {
			return fmt.Errorf("starting the agent of the %s: %w", role, err)
		}
	}
	d.step("agents", map[string]any{"agents": len(players), "addresses": t.addresses, "configuration": d.agentDir()},
		"started %d agents in %s, each with its own store, keys, certificate and configuration file", len(players), time.Since(begun).Round(time.Millisecond))
	return nil
}

func (d *demo) agentDir() string { return filepath.Join(d.dir, "agents") }

func (d *demo) startAgent(ctx context.Context, role policy.Role) error {
	party := d.troupe.cast[role]
	conf := d.agentConfig(role)
	raw, err := conf.Marshal()
	if err != nil {
		return err
	}
	path := filepath.Join(d.agentDir(), party.ID+".yaml")
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		return err
	}
	loaded, err := config.LoadAgent(path)
	if err != nil {
		return err
	}
	r, err := agents.Open(ctx, &loaded, agents.Options{Logger: d.cfg.Logger})
	if err != nil {
		return err
	}
	d.troupe.running[role] = r
	stopped := make(chan error, 1)
	d.troupe.stopped = append(d.troupe.stopped, stopped)
	listener := d.troupe.listeners[party.ID]
	delete(d.troupe.listeners, party.ID)
	go func() { stopped <- errors.Join(r.Serve(ctx, listener), r.Close()) }()
	return nil
}

// agentConfig is what an agent's file says. Every use of a certificate asks for its status, so that nothing in the demo rests
// on an answer from before.
func (d *demo) agentConfig(role policy.Role) config.Agent {
	t := d.troupe
	id := func(role policy.Role) string { return t.cast[role].ID }
	c := config.DefaultAgent()
	c.Identity, c.Data, c.Listen, c.StatusAge = filepath.Join("..", id(role)), id(role), t.addresses[id(role)], 0
	for _, other := range players {
		if party := t.cast[other]; other != role && t.addresses[party.ID] != "" {
			c.Peers = append(c.Peers, config.AgentPeer{ID: party.ID, Role: other, URL: "https://" + party.DNSNames[0], Address: t.addresses[party.ID]})
		}
	}
	switch role {
	case policy.Merchant:
		c.Merchant = &config.MerchantAgent{
			Gateway: id(policy.Gateway), Acquirer: id(policy.AcquiringBank), Currency: d.currency(), CaptureRule: payment.CaptureOnShipment,
			OfferLife: policy.Duration(15 * time.Minute), Instruments: []config.InstrumentAgent{{Name: "card"}}, Catalogue: catalogueOf(d.cfg.Order),
		}
	case policy.Gateway:
		c.Gateway = &config.GatewayAgent{
			Confirmer: id(policy.Confirmer), Routes: []config.RouteAgent{{BIN: bin, Issuer: id(policy.IssuingBank)}}, Deadline: policy.Duration(15 * time.Second),
		}
	case policy.AcquiringBank:
		c.AcquiringBank = &config.AcquiringBankAgent{Fee: fee}
	case policy.IssuingBank:
		c.IssuingBank = &config.IssuingBankAgent{
			BIN: bin, Confirmer: id(policy.Confirmer), HoldLife: policy.Duration(7 * 24 * time.Hour), ConfirmLife: policy.Duration(5 * time.Minute),
		}
	}
	return c
}

func (d *demo) currency() money.Currency { return d.cfg.Order.Order.Lines[0].UnitPrice.Currency }

// catalogueOf lists what an order file orders, at its prices: the merchant sells just that.
func catalogueOf(f payment.OrderFile) []config.ItemAgent {
	var items []config.ItemAgent
	add := func(line payment.Line) {
		i := slices.IndexFunc(items, func(item config.ItemAgent) bool { return item.SKU == line.SKU })
		if i < 0 {
			i = len(items)
			items = append(items, config.ItemAgent{SKU: line.SKU, Model: line.Model, Price: line.UnitPrice.Decimal()})
		}
		for _, option := range line.Options {
			c := slices.IndexFunc(items[i].Choices, func(c config.ChoiceAgent) bool { return c.Name == option.Name })
			if c < 0 {
				c = len(items[i].Choices)
				items[i].Choices = append(items[i].Choices, config.ChoiceAgent{Name: option.Name})
			}
			if choice := &items[i].Choices[c]; !slices.Contains(choice.Values, option.Value) {
				choice.Values = append(choice.Values, option.Value)
			}
		}
	}
	for _, line := range f.Order.Lines {
		add(line)
	}
	if f.Amendment != nil {
		for _, line := range f.Amendment.Lines {
			add(line)
		}
	}
	return items
}

// dismiss waits for the agents, whose context has ended.
func (d *demo) dismiss() error {
	var errs []error
	for _, l := range d.troupe.listeners {
		errs = append(errs, l.Close())
	}
	for _, stopped := range d.troupe.stopped {
		errs = append(errs, <-stopped)
	}
	return errors.Join(errs...)
}
