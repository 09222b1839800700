package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// Agent is the configuration of one payment agent. Its role is that of its certificate; of the sections named after roles it has that one.
type Agent struct {
	// Identity is the identity directory that payca enroll made. Paths are relative to the directory of this file.
	Identity string `yaml:"identity"`
	// Data is the directory of the agent's store, made if it does not exist.
	Data string `yaml:"data"`
	// Listen is where it listens, host:port. A consumer only calls, and listens nowhere.
	Listen string `yaml:"listen,omitempty"`
	// Peers are the agents that it calls, or that others name.
	Peers []AgentPeer `yaml:"peers"`
	// Endpoints is who may call what, each entry in the place of the built-in one for the same role.
	Endpoints []policy.Access `yaml:"endpoints,omitempty"`
	// StatusAge is how long it believes that a certificate is not revoked before it asks again; 0s asks at every use.
	StatusAge policy.Duration `yaml:"status_age"`
	// Enquiry is what becomes of who only reads while the status of its certificate cannot be found out: hard refuses it, soft admits and logs it.
	// Whoever moves something is refused then in any case, and who is revoked is refused everything.
	Enquiry string `yaml:"enquiry,omitempty"`
	// Timeout is how long another agent may take to answer.
	Timeout policy.Duration `yaml:"timeout"`
	// Log is the shape of the log on standard error.
	Log Log `yaml:"log"`

	Merchant      *MerchantAgent      `yaml:"merchant,omitempty"`
	Gateway       *GatewayAgent       `yaml:"gateway,omitempty"`
	AcquiringBank *AcquiringBankAgent `yaml:"acquiring_bank,omitempty"`
	IssuingBank   *IssuingBankAgent   `yaml:"issuing_bank,omitempty"`

	dir string // of the file
}

// AgentPeer is another agent.
type AgentPeer struct {
	ID      string      `yaml:"id"`
	Role    policy.Role `yaml:"role"`
	URL     string      `yaml:"url"`               // https://HOST[:PORT], with a DNS name that its certificate has
	Address string      `yaml:"address,omitempty"` // IP:PORT to connect to in its place
}

// MerchantAgent is how a merchant does business.
type MerchantAgent struct {
	Gateway      string            `yaml:"gateway"`  // id of a peer
	Acquirer     string            `yaml:"acquirer"` // id of a peer
	Currency     money.Currency    `yaml:"currency"` // of all prices
	PaymentTerms string            `yaml:"payment_terms,omitempty"`
	CaptureRule  string            `yaml:"capture_rule"` // anytime, on-shipment, on-delivery
	OfferLife    policy.Duration   `yaml:"offer_life"`
	AutoShip     bool              `yaml:"auto_ship"` // ship as soon as it is paid
	Instruments  []InstrumentAgent `yaml:"instruments"`
	Catalogue    []ItemAgent       `yaml:"catalogue"`
}

// InstrumentAgent is a way to pay.
type InstrumentAgent struct {
	Name  string `yaml:"name"`
	Fee   int64  `yaml:"fee,omitempty"`   // hundredths of a percent
	Limit string `yaml:"limit,omitempty"` // the most that can be paid with it: "5000.00"
}

// ItemAgent is what a merchant sells.
type ItemAgent struct {
	SKU     string        `yaml:"sku"`
	Model   string        `yaml:"model"`
	Price   string        `yaml:"price"` // of one: "4999.00"
	Choices []ChoiceAgent `yaml:"choices,omitempty"`
}

// ChoiceAgent is what an item can be equipped with.
type ChoiceAgent struct {
	Name   string   `yaml:"name"`
	Values []string `yaml:"values"`
}

// GatewayAgent is how a gateway works.
type GatewayAgent struct {
	Confirmer string          `yaml:"confirmer"` // id of a peer
	Routes    []RouteAgent    `yaml:"routes"`
	Deadline  policy.Duration `yaml:"deadline"` // how long it asks for the outcome of an authorisation before it reverses
}

// RouteAgent says which issuing bank has the accounts that start with some digits.
type RouteAgent struct {
	BIN    string `yaml:"bin"`
	Issuer string `yaml:"issuer"` // id of a peer
}

// AcquiringBankAgent is how a merchant's bank works.
type AcquiringBankAgent struct {
	Fee int64 `yaml:"fee"` // of each transfer, hundredths of a percent
}

// IssuingBankAgent is how a consumer's bank works.
type IssuingBankAgent struct {
	BIN         string          `yaml:"bin"`       // six digits that start its account numbers
	Confirmer   string          `yaml:"confirmer"` // id of a peer
	HoldLife    policy.Duration `yaml:"hold_life"`
	ConfirmLife policy.Duration `yaml:"confirm_life"`    // how long a consumer may take to confirm
	Limit       int64           `yaml:"limit,omitempty"` // the most of one payment, minor units
}

// DefaultAgent is the configuration of an agent of which nothing is known.
func DefaultAgent() Agent {
	return Agent{StatusAge: policy.Duration(time.Second), Timeout: policy.Duration(5 * time.Second), Log: Log{Level: "info", Format: "text"}}
}

// LoadAgent reads the configuration of an agent at path. The error joins all that is wrong with the file.
func LoadAgent(path string) (Agent, error) {
	c := DefaultAgent()
	if err := readFile(path, &c, func() error { return c.validate() }); err != nil {
		return Agent{}, err
	}
	var err error
	c.dir, err = filepath.Abs(filepath.Dir(path))
	return c, err
}

// Path returns a path of the configuration, from the directory of its file.
func (c *Agent) Path(path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.dir, path)
}

// Marshal writes the configuration as a file.
func (c *Agent) Marshal() ([]byte, error) {
	return yaml.MarshalWithOptions(c, yaml.IndentSequence(true))
}

// URI returns the identity of a peer.
func (c *Agent) URI(network, id string) (string, error) {
	for _, p := range c.Peers {
		if p.ID == id {
			return policy.Identity{Network: network, Role: p.Role, Party: id}.String(), nil
		}
	}
	return "", fmt.Errorf("no peer %q, want one of those under peers", id)
}

func (c *Agent) validate() error {
	var errs []error
	check := func(path string, err error) {
		if err != nil {
			errs = append(errs, &FieldError{Path: path, Err: err})
		}
	}
	check("identity", checkPath(c.Identity))
	check("data", checkPath(c.Data))
	if c.Listen != "" {
		check("listen", checkListen(c.Listen))
	}
	check("status_age", checkRange(c.StatusAge, 0, time.Hour))
	if c.Enquiry != "" {
		check("enquiry", checkWord(c.Enquiry, "hard", "soft"))
	}
	check("timeout", checkRange(c.Timeout, time.Second, 5*time.Minute))
	check("log.level", checkWord(c.Log.Level, "debug", "info", "warn", "error"))
	check("log.format", checkWord(c.Log.Format, "text", "json"))
	for i, p := range c.Peers {
		at := fmt.Sprintf("peers[%d]", i)
		check(at+".id", policy.CheckPartyID(p.ID))
		if slices.ContainsFunc(c.Peers[:i], func(q AgentPeer) bool { return q.ID == p.ID }) {
			check(at+".id", fmt.Errorf("%q stands above too, want it once", p.ID))
		}
		if _, err := policy.ParseRole(string(p.Role)); err != nil {
			check(at+".role", err)
		}
		if u, err := url.Parse(p.URL); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.Path != "" {
			check(at+".url", fmt.Errorf("%q, want https://HOST[:PORT]", p.URL))
		}
		if p.Address != "" {
			if _, err := netip.ParseAddrPort(p.Address); err != nil {
				check(at+".address", fmt.Errorf("%q, want IP:PORT", p.Address))
			}
		}
	}
	c.validateRoles(check)
	return errors.Join(errs...)
}

// validateRoles checks the sections named after roles.
func (c *Agent) validateRoles(check func(path string, err error)) {
	peer := func(path, id string) {
		_, err := c.URI("network", id)
		check(path, err)
	}
	if m := c.Merchant; m != nil {
		peer("merchant.gateway", m.Gateway)
		peer("merchant.acquirer", m.Acquirer)
		check("merchant.capture_rule", checkWord(m.CaptureRule, "anytime", "on-shipment", "on-delivery"))
		if _, err := money.ParseCurrency(string(m.Currency)); err != nil {
			check("merchant.currency", err)
		}
		for i, item := range m.Catalogue {
			_, err := money.Parse(item.Price, string(m.Currency))
			check(fmt.Sprintf("merchant.catalogue[%d].price", i), err)
		}
		for i, in := range m.Instruments {
			if in.Limit != "" {
				_, err := money.Parse(in.Limit, string(m.Currency))
				check(fmt.Sprintf("merchant.instruments[%d].limit", i), err)
			}
		}
		if len(m.Instruments) == 0 {
			check("merchant.instruments", errors.New("empty, want at least one, such as card"))
		}
	}
	if g := c.Gateway; g != nil {
		peer("gateway.confirmer", g.Confirmer)
		if len(g.Routes) == 0 {
			check("gateway.routes", errors.New("empty, want at least one"))
		}
		for i, r := range g.Routes {
			peer(fmt.Sprintf("gateway.routes[%d].issuer", i), r.Issuer)
			check(fmt.Sprintf("gateway.routes[%d].bin", i), checkBIN(r.BIN, 1))
		}
	}
	if b := c.AcquiringBank; b != nil && (b.Fee < 0 || b.Fee > 10000) {
		check("acquiring_bank.fee", fmt.Errorf("%d, want 0 to 10000 hundredths of a percent", b.Fee))
	}
	if b := c.IssuingBank; b != nil {
		peer("issuing_bank.confirmer", b.Confirmer)
		check("issuing_bank.bin", checkBIN(b.BIN, 6))
	}
}

func checkBIN(bin string, least int) error {
	if len(bin) < least || len(bin) > 6 || strings.Trim(bin, "0123456789") != "" {
		return fmt.Errorf("%q, want %d to 6 digits in quotes", bin, least)
	}
	return nil
}
