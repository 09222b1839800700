package paytest_test

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/account"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/payment/paytest"
)

// A forger makes the messages of a payment by hand, so that one thing in them can be wrong.
type forger struct {
	*paytest.World
	t      *testing.T
	number account.Number
	expiry string

	mu    sync.Mutex
	lines map[[2]*paytest.Node]*http.Client // by caller and called; guarded by mu
}

func newForger(t *testing.T, opts paytest.Options) *forger {
	t.Helper()
	w := paytest.New(t, opts)
	f := &forger{World: w, t: t}
	digits, _ := stored(t, w.School, w.IBank.URI)
	var err error
	if f.number, err = account.ParseNumber(digits); err != nil {
		t.Fatal(err)
	}
	f.expiry = time.Now().UTC().AddDate(3, 0, 0).Format("0601")
	return f
}

// sign signs a body in the name of a node.
func (f *forger) sign(n *paytest.Node, body payment.Body) payment.Object {
	f.t.Helper()
	signer := payment.Signer{URI: n.URI, Thumbprint: payment.Thumbprint(n.Cert.Certificate[0]), Key: n.Cert.PrivateKey.(crypto.Signer)}
	payment.Stamp(body, time.Now(), time.Hour)
	object, err := payment.Sign(signer, body)
	if err != nil {
		f.t.Fatal(err)
	}
	return object
}

// A purchase is the objects of one payment before the gateway has seen it.
type purchase struct {
	id     string
	offer  payment.Object
	terms  payment.Offer
	in     account.Instruction
	dual   payment.Dual
	signed payment.Object // the dual
}

// order asks for an offer and prepares what the consumer would sign.
func (f *forger) order(n int64) *purchase {
	f.t.Helper()
	offered, err := f.Consumer.Order(f.t.Context(), f.Shop.URI, f.Terms(n))
	if err != nil {
		f.t.Fatal(err)
	}
	p := &purchase{id: offered.ID}
	records := recordsOf(f.t, f.School, p.id)
	p.offer = payment.Object(records[len(records)-1].Object)
	x := f.School.Agent.Exchange("")
	if _, _, err := x.Open(f.t.Context(), agent.Message{payment.KindOffer: string(p.offer)}, payment.KindOffer, &p.terms); err != nil {
		f.t.Fatal(err)
	}
	amount := p.terms.Sum()
	confirm := payment.Confirm{Mode: payment.ConfirmNone, Channel: "online"}
	p.in = account.Instruction{
		ID: p.id, Nonce: payment.NewNonce(), Consumer: f.School.URI, Merchant: f.Shop.URI, Gateway: f.GW.URI, Issuer: f.IBank.URI,
		OIH: payment.OIH(p.offer), Amount: amount, Number: f.number, Expiry: f.expiry, Confirm: confirm, Expires: p.terms.Expires,
	}
	p.dual = payment.Dual{
		Head: payment.Head{ID: p.id, Audience: []string{f.Shop.URI, f.GW.URI, f.ABank.URI}, Amount: &amount, Expires: p.terms.Expires},
		OIH:  payment.OIH(p.offer), Merchant: f.Shop.URI, Gateway: f.GW.URI, GatewayEnc: p.terms.GatewayEnc, Acquirer: f.ABank.URI,
		Instrument: "card", Confirm: confirm,
	}
	return p
}

func recordsOf(t *testing.T, n *paytest.Node, id string) (records []agent.Record) {
	t.Helper()
	err := n.Agent.Read(func(tx *agent.Tx) (err error) { records, err = tx.Records(id); return err })
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// seal signs the dual over the instruction as it is now, and seals the instruction to the gateway.
func (f *forger) seal(p *purchase) payment.Sealed {
	f.t.Helper()
	plain, err := p.in.Encode()
	if err != nil {
		f.t.Fatal(err)
	}
	if p.dual.PIH == "" {
		p.dual.PIH = payment.PIH(plain)
	}
	p.signed = f.sign(f.School, &p.dual)
	to, err := f.School.Agent.Recipient(f.t.Context(), p.terms.GatewayEnc, f.GW.URI)
	if err != nil {
		f.t.Fatal(err)
	}
	sealed, err := payment.Seal(payment.KindInstruction, to, plain)
	if err != nil {
		f.t.Fatal(err)
	}
	return sealed
}

// request makes the merchant's request for the payment as signed.
func (f *forger) request(p *purchase) *payment.Request {
	amount := p.dual.Sum()
	return &payment.Request{
		Head: payment.Head{ID: p.id, Audience: []string{f.GW.URI}, Amount: &amount, Ref: p.signed.Digest()},
		OIH:  p.dual.OIH, Dual: p.signed.Digest(), Payout: "merchant/shop1", CaptureRule: payment.CaptureOnShipment,
	}
}

// An outcome is what a server answered.
type outcome struct {
	status   int
	code     string // "" for success
	replayed bool
	body     []byte
	err      error // of the connection
}

// post sends a message with the certificate of a node.
func (f *forger) post(from, to *paytest.Node, path, key string, body any) outcome {
	f.t.Helper()
	raw, ok := body.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			f.t.Fatal(err)
		}
	}
	return f.call(http.MethodPost, from, to, path, key, raw)
}

// line returns a client that keeps its connections: a handshake is the most that a request costs.
func (f *forger) line(from, to *paytest.Node) *http.Client {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	ends := [2]*paytest.Node{from, to}
	if f.lines[ends] == nil {
		if f.lines == nil {
			f.lines = map[[2]*paytest.Node]*http.Client{}
		}
		f.lines[ends] = from.Client(f.t, to)
	}
	return f.lines[ends]
}

// get reads a path with the certificate of a node.
func (f *forger) get(from, to *paytest.Node, path string) outcome {
	f.t.Helper()
	return f.call(http.MethodGet, from, to, path, "", nil)
}

func (f *forger) call(method string, from, to *paytest.Node, path, key string, raw []byte) outcome {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, "https://"+to.DNS()+path, bytes.NewReader(raw))
	if err != nil {
		f.t.Fatal(err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
		if key != "" {
			req.Header.Set("Idempotency-Key", key)
		}
	}
	resp, err := f.line(from, to).Do(req)
	if err != nil && strings.Contains(err.Error(), "server closed idle connection") { // it waited too long for a busy machine
		return f.call(method, from, to, path, key, raw)
	}
	if err != nil {
		return outcome{err: err}
	}
	defer resp.Body.Close()
	return answerOf(resp)
}

// answerOf reads an answer.
func answerOf(resp *http.Response) outcome {
	o := outcome{status: resp.StatusCode, replayed: resp.Header.Get("Idempotent-Replayed") == "true"}
	if refused := problem.Read(resp); refused != nil {
		var p *problem.Problem
		if errors.As(refused, &p) {
			o.code = p.Name()
		}
		return o
	}
	o.body, o.err = io.ReadAll(resp.Body)
	return o
}

// want checks an answer.
func (o outcome) want(t *testing.T, status int, code payment.Code) {
	t.Helper()
	if o.err != nil || o.status != status || o.code != string(code) {
		t.Errorf("got %d %q, %v; want %d %q", o.status, o.code, o.err, status, code)
	}
}

// untouched checks that nothing is held for the payment and that the gateway, if it knows the payment, has it in that state.
func (f *forger) untouched(p *purchase, state payment.State) {
	f.t.Helper()
	err := f.IBank.Agent.Read(func(tx *agent.Tx) error {
		a, err := tx.Book().Account("due-to-clearing/CNY")
		if err == nil && a.CreditsPending != 0 {
			f.t.Errorf("%d minor units are held, want none", a.CreditsPending)
		}
		return err
	})
	if err != nil {
		f.t.Error(err)
	}
	var kept payment.Progress
	err = f.GW.Agent.Read(func(tx *agent.Tx) error {
		var all struct{ payment.Progress }
		err := tx.Get("payment/"+p.id, &all)
		kept = all.Progress
		return err
	})
	if known := !errors.Is(err, agent.ErrNotFound); known != (state != "") || kept.State != state {
		f.t.Errorf("the gateway has the payment as %q, want %q", kept.State, state)
	}
}

// cny is an amount.
func cny(minor int64) *money.Money {
	m := money.New(minor, "CNY")
	return &m
}

// none is the SET flow by the direct route.
var none = consumer.Choice{Mode: payment.ConfirmNone}
