package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// Config says what to run.
type Config struct {
	Network config.Network    // who takes part
	Order   payment.OrderFile // what is bought
	Confirm payment.Mode      // how the first purchase is confirmed: none or realtime; the second is the other
	Route   string            // of the first purchase's instruction: direct or relay; the second is the other
	Keep    string            // directory to leave the network in, "" for none
	Step    func(Step)        // called after every step, in order
	Logger  *slog.Logger
}

// A Step is one thing that happened.
type Step struct {
	Name string         `json:"step"`           // stable name: "create", "revoke"
	Text string         `json:"text"`           // one line for people
	Data map[string]any `json:"data,omitempty"` // the same for programs
}

// Run runs the demo and returns nil only if every step did what it should.
func Run(ctx context.Context, cfg Config) error {
	cfg.Network = withConfirmer(cfg.Network)
	cast, err := castOf(cfg.Network)
	if err != nil {
		return err
	}
	dir := cfg.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "payca-demo-"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }()
	}
	d := &demo{cfg: cfg, cast: cast, dir: dir}
	d.troupe, d.missing = troupeOf(cfg.Network)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, part := range []func(context.Context) error{
		d.create, d.serve, d.register, d.enroll, d.open, d.converse, d.attack, d.trade, d.revoke,
	} {
		if err = part(ctx); err != nil {
			break
		}
	}
	cancel()
	return errors.Join(err, d.close())
}

// demo is a run under way.
type demo struct {
	cfg      Config
	cast     cast
	dir      string
	network  *network.Network
	url      string      // of the CA
	operator *api.Client // the first operator
	served   chan error  // what Serve returned
	agents   map[string]*talker
	line     *line // the merchant's open connection to the gateway
	troupe   troupe
	missing  []policy.Role // that a purchase would take
	open2    string        // the payment that is left open
	account  string        // the consumer's account number
}

// cast is who plays what.
type cast struct{ merchant, gateway, bank policy.Party }

// castOf finds the parties that the conversation needs.
func castOf(file config.Network) (cast, error) {
	var c cast
	find := func(into *policy.Party, role policy.Role) error {
		for _, party := range file.Parties {
			if party.Role == role && (len(party.DNSNames) > 0 || role == policy.Merchant) {
				*into = party
				return nil
			}
		}
		return fmt.Errorf("network %s has no %s with a DNS name, want at least a merchant, a gateway and an acquiring bank", file.Name, role)
	}
	return c, errors.Join(find(&c.merchant, policy.Merchant), find(&c.gateway, policy.Gateway), find(&c.bank, policy.AcquiringBank))
}

func (d *demo) step(name string, data map[string]any, format string, args ...any) {
	d.cfg.Step(Step{Name: name, Text: fmt.Sprintf(format, args...), Data: data})
}

// create makes the network on two free ports, which the certificates then carry for life.
func (d *demo) create(ctx context.Context) error {
	conf, err := config.Loopback(d.cfg.Network.Name)
	if err != nil {
		return err
	}
	begun := time.Now()
	created, err := network.Create(ctx, network.CreateConfig{Dir: d.dir, Config: conf})
	if err != nil {
		return err
	}
	d.step("create", map[string]any{"network": conf.Network, "root": enroll.Fingerprint(created.Root), "issuers": created.Issuers},
		"network %s: a root and %d issuing CAs in %s", conf.Network, len(created.Issuers), time.Since(begun).Round(time.Millisecond))
	return nil
}

func (d *demo) serve(ctx context.Context) error {
	n, err := network.Open(ctx, network.Config{Dir: d.dir, Logger: d.cfg.Logger})
	if err != nil {
		return err
	}
	listeners, err := n.Listen()
	if err != nil {
		return errors.Join(err, n.Close())
	}
	d.network, d.url = n, n.URL()
	d.served = make(chan error, 1)
	go func() { d.served <- n.Serve(ctx, listeners) }()
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: filepath.Join(d.dir, network.Operator)})
	if err != nil {
		return err
	}
	if d.operator, err = api.NewClient(source); err != nil {
		return err
	}
	d.step("serve", map[string]any{"url": d.url, "status_url": n.StatusURL()}, "serving %s, status on %s", d.url, n.StatusURL())
	return nil
}

func (d *demo) register(ctx context.Context) error {
	for _, party := range d.cfg.Network.Parties {
		registered, err := d.operator.AddParty(ctx, party)
		if err != nil {
			return fmt.Errorf("registering %s: %w", party.ID, err)
		}
		id := policy.Identity{Network: d.cfg.Network.Name, Role: registered.Role, Party: registered.ID}
		d.step("register", map[string]any{"party": registered}, "registered %-*s %-14s %s", d.width(), registered.ID, registered.Role, id)
	}
	return nil
}

// enroll has every party make its own key and get its certificate with a token of its own.
func (d *demo) enroll(ctx context.Context) error {
	for _, party := range d.cfg.Network.Parties {
		token, err := d.operator.CreateToken(ctx, api.TokenRequest{Party: party.ID})
		if err != nil {
			return err
		}
		begun := time.Now()
		outcome, err := enroll.Enroll(ctx, enroll.EnrollConfig{Token: token.Token, Dir: d.identity(party.ID)})
		if err != nil {
			return fmt.Errorf("enrolling %s: %w", party.ID, err)
		}
		d.step("enroll", map[string]any{"party": party.ID, "role": party.Role, "serial": outcome.Serial, "not_after": outcome.NotAfter},
			"enrolled   %-*s %-14s until %s, in %s", d.width(), party.ID, party.Role, outcome.NotAfter.Format("2006-01-02 15:04"), time.Since(begun).Round(time.Millisecond))
	}
	return nil
}

// width is that of the longest party id.
func (d *demo) width() int {
	width := 0
	for _, party := range d.cfg.Network.Parties {
		width = max(width, len(party.ID))
	}
	return width
}

// identity is the directory of a party's key and certificate.
func (d *demo) identity(party string) string { return filepath.Join(d.dir, party) }

func (d *demo) close() error {
	errs := []error{d.dismiss()}
	for _, a := range d.agents {
		errs = append(errs, a.close())
	}
	if d.served != nil {
		errs = append(errs, <-d.served)
	}
	return errors.Join(errs...)
}
