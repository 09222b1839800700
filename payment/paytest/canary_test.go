package paytest_test

import (
	"bytes"
	"encoding/base64"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// A tape records by node.
type tape struct {
	mu    sync.Mutex
	nodes map[string]*bytes.Buffer
}

func (p *tape) write(node string, data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodes == nil {
		p.nodes = map[string]*bytes.Buffer{}
	}
	if p.nodes[node] == nil {
		p.nodes[node] = &bytes.Buffer{}
	}
	p.nodes[node].Write(data)
	p.nodes[node].WriteByte('\n')
}

func (p *tape) of(node string) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.nodes[node] == nil {
		return nil
	}
	return bytes.Clone(p.nodes[node].Bytes())
}

// tapeWriter records what one node logs.
type tapeWriter struct {
	tape *tape
	node string
}

// Write implements io.Writer.
func (w tapeWriter) Write(p []byte) (int, error) {
	w.tape.write(w.node, p)
	return len(p), nil
}

// A canary is a world whose traffic and logs are recorded.
type canary struct {
	*paytest.World
	wire, logs tape
	thief      *paytest.Node
}

func newCanary(t *testing.T) *canary {
	t.Helper()
	c := &canary{}
	opts := steady()
	opts.Wire = c.wire.write
	opts.Logs = func(node string) *slog.Logger {
		return slog.New(slog.NewJSONHandler(tapeWriter{&c.logs, node}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	c.World = paytest.New(t, opts)
	return c
}

// A secret is what a consumer keeps of its linked account.
type secret struct {
	Digits []byte `json:"digits"`
	Key    []byte `json:"key"`
}

// stored reads the link of a consumer with the key of its vault.
func stored(t *testing.T, node *paytest.Node, issuer string) (number string, key []byte) {
	t.Helper()
	var s secret
	vault, err := account.OpenVault(filepath.Join(node.Dir, "vault.key"))
	if err == nil {
		err = node.Agent.Read(func(tx *agent.Tx) error { return tx.Get("link/"+issuer, &s) })
	}
	if err != nil {
		t.Fatal(err)
	}
	digits, err := vault.Open("number", s.Digits)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = vault.Open("secret", s.Key); err != nil {
		t.Fatal(err)
	}
	return string(digits), key
}

// steal makes a consumer's agent pay with another number.
func steal(t *testing.T, node *paytest.Node, issuer, number string) {
	t.Helper()
	vault, err := account.OpenVault(filepath.Join(node.Dir, "vault.key"))
	if err != nil {
		t.Fatal(err)
	}
	err = node.Agent.Write(t.Context(), func(tx *agent.Tx) error {
		link := map[string]any{}
		if err := tx.Get("link/"+issuer, &link); err != nil {
			return err
		}
		link["digits"] = vault.Seal("number", []byte(number))
		return tx.Put("link/"+issuer, link)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// everything runs payments with every outcome, and returns those that were confirmed.
func (c *canary) everything(t *testing.T, number string) (confirmed []string) {
	t.Helper()
	for _, mode := range []payment.Mode{payment.ConfirmNone, payment.ConfirmRealtime} {
		for _, route := range []string{consumer.Direct, consumer.Relay} {
			id := c.Buy(t, 3, consumer.Choice{Mode: mode, Route: route})
			if _, err := c.Merchant.Ship(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if mode != payment.ConfirmNone {
				confirmed = append(confirmed, id)
			}
		}
	}
	voided := c.Buy(t, 1, consumer.Choice{})
	confirmed = append(confirmed, voided)
	if v, err := c.Merchant.Void(t.Context(), voided, "out of stock"); err != nil || v.State != payment.Released {
		t.Fatalf("void: %s, %v", v.State, err)
	}
	declined := c.Accepted(t, 9000, consumer.Choice{})
	if v, err := c.Consumer.Pay(t.Context(), declined); err != nil || v.State != payment.Declined {
		t.Fatalf("more than the balance: %s, %v", v.State, err)
	}
	c.refused(t, number)
	return confirmed
}

// refused has another consumer pay with a number that is not its own, and with one of no bank.
func (c *canary) refused(t *testing.T, number string) {
	t.Helper()
	var thief *consumer.Consumer
	c.thief = c.Add(t, "thief", policy.Consumer, func(a *agent.Agent) (err error) {
		thief, err = consumer.New(consumer.Config{Agent: a})
		return err
	})
	c.thief.Start(t)
	c.Link(t, c.thief, thief, 1_000_000)
	unknown, err := account.NewNumber("999999000000123")
	if err != nil {
		t.Fatal(err)
	}
	for _, attempt := range []struct {
		number string
		want   payment.Code
	}{{number, payment.AccountNotLinked}, {unknown.Reveal(), payment.InvalidAccount}, {number[:len(number)-1] + "x", payment.InvalidAccount}} {
		steal(t, c.thief, c.IBank.URI, attempt.number)
		offered, err := thief.Order(t.Context(), c.Shop.URI, c.Terms(1))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = thief.Accept(t.Context(), offered.ID, consumer.Choice{}); err == nil {
			_, err = thief.Pay(t.Context(), offered.ID)
		}
		if agent.CodeOf(err) != attempt.want {
			t.Errorf("paying with another number: %v, want %s", err, attempt.want)
		}
	}
}

// A place is where something might be found.
type place struct {
	node, kind string
	data       []byte
}

// places collects what the nodes hold, log and see.
func (c *canary) places(t *testing.T, kinds string, nodes ...*paytest.Node) (list []place) {
	t.Helper()
	for _, n := range nodes {
		for kind := range strings.FieldsSeq(kinds) {
			data := map[string]func() []byte{
				"store": func() []byte { return files(t, n.Dir) },
				"log":   func() []byte { return c.logs.of(n.ID) },
				"wire":  func() []byte { return c.wire.of(n.ID) },
			}[kind]()
			list = append(list, place{n.ID, kind, data})
		}
	}
	return list
}

func absent(t *testing.T, what, secret string, places []place) {
	t.Helper()
	for _, p := range places {
		if found := find(p.data, secret); found != nil {
			t.Errorf("%s is in the %s of %s: %v", what, p.kind, p.node, found)
		}
	}
}

func TestNobodySeesWhatIsNotForHim(t *testing.T) {
	t.Parallel()
	c := newCanary(t)
	number, key := stored(t, c.School, c.IBank.URI)
	confirmed := c.everything(t, number)
	var macs []string
	for _, id := range confirmed {
		kept := map[string]any{}
		err := c.K.Agent.Read(func(tx *agent.Tx) error { return tx.Get("confirmation/"+id, &kept) })
		mac, _ := kept["mac"].(string)
		if err != nil || len(mac) < 40 {
			t.Fatalf("the expectation of %s: %q, %v", id, mac, err)
		}
		macs = append(macs, mac)
	}
	until(t, "the thief's payment is reversed", func() bool { return reversed(t, c.World) })

	all := c.places(t, "log", c.Nodes()...)
	blind := c.places(t, "store wire", c.Shop, c.ABank, c.K, c.GW)
	places := append(append(all, blind...), c.places(t, "store", c.IBank, c.School)...)
	absent(t, "the account number", number, places)
	for _, p := range places {
		if found := findNumbers(p.data); found != nil {
			t.Errorf("numbers in the %s of %s: %v", p.kind, p.node, found)
		}
	}

	banks := c.places(t, "store log wire", c.GW, c.ABank, c.IBank, c.K)
	absent(t, "what was bought", paytest.Goods, banks)
	absent(t, "where it goes", "Canary Lane 12", banks)

	between := c.places(t, "store log wire", c.GW, c.ABank, c.Shop)
	absent(t, "the confirmation secret", string(key), append(between, c.places(t, "store log", c.IBank, c.School, c.K)...))
	for _, mac := range macs {
		raw, err := base64.RawURLEncoding.DecodeString(mac)
		if err != nil {
			t.Fatal(err)
		}
		absent(t, "an expectation", mac, between)
		absent(t, "an expectation", string(raw), between)
	}
	c.found(t, number, macs[0])
}

// found proves that the search would have found what is absent: each is where it belongs.
func (c *canary) found(t *testing.T, number, mac string) {
	t.Helper()
	for _, p := range c.places(t, "store wire", c.Shop, c.School) {
		if find(p.data, paytest.Goods) == nil || find(p.data, "Canary Lane 12") == nil {
			t.Errorf("the goods are not in the %s of %s", p.kind, p.node)
		}
	}
	for _, p := range c.places(t, "wire", c.School, c.IBank) {
		if find(p.data, number) == nil {
			t.Errorf("the account number, which the bank told its holder, is not in the %s of %s", p.kind, p.node)
		}
	}
	for _, p := range c.places(t, "store", c.K) {
		if find(p.data, mac) == nil {
			t.Errorf("the expectation is not in the %s of %s", p.kind, p.node)
		}
	}
	for _, p := range c.places(t, "log", c.GW, c.IBank) {
		if len(p.data) == 0 {
			t.Errorf("%s logged nothing", p.node)
		}
	}
}

// reversed reports whether the merchant knows that nothing comes of the payment that the bank refused. The one
// refused by the gateway stays open until its offer ends, for another instruction.
func reversed(t *testing.T, w *paytest.World) bool {
	t.Helper()
	sales, err := w.Merchant.Sales()
	if err != nil {
		t.Fatal(err)
	}
	open := 0
	for _, s := range sales {
		if s.State == payment.Requested {
			open++
		}
	}
	return open == 1
}
