package paytest_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// How a measurement is made.
const (
	pairs      = 10  // of payments and bound
	buyers     = 16  // goroutines
	consumers  = 4   // agents that they share
	perPair    = 96  // payments
	oneByOne   = 100 // payments, for the latency
	warmGate   = 1.9 // times the bound
	syncedGate = 2.4

	gcPercent = 400 // as payca agent sets it
)

// BenchmarkPayments measures complete payments, by the direct route with a realtime confirmation and one capture: the CPU time
// of all parties together, against that of the cryptography that a payment cannot do without. Payments and bound take turns
// in one process, so that the machine does not matter.
//
//	go test -run '^$' -bench Payments -benchtime 1x ./payment/paytest
func BenchmarkPayments(b *testing.B) {
	defer debug.SetGCPercent(debug.SetGCPercent(gcPercent))
	for _, mode := range []struct {
		name   string
		noSync bool
		gate   float64
	}{{"warm", true, warmGate}, {"durable", false, syncedGate}} {
		b.Run(mode.name, func(b *testing.B) {
			m := newMarket(b, mode.noSync)
			m.payments(b, 2*buyers)
			m.bound(b, 2*buyers)
			for b.Loop() {
				m.measure(b, mode.gate)
			}
		})
	}
}

// A market is a world with several consumers.
type market struct {
	*paytest.World
	consumers []*consumer.Consumer
	work      work
	commits   atomic.Uint64 // of all stores
}

func newMarket(b *testing.B, noSync bool) *market {
	m := &market{}
	m.World = paytest.New(b, paytest.Options{
		CaptureRule: payment.CaptureOnDelivery, Balance: 1 << 50, NoSync: noSync,
		// Each party follows the list of status changes, as it does when it has a process of its own.
		FeedFor: func(net *catest.Network, _ string) *feed.Client {
			c, err := feed.NewClient(feed.Config{URL: net.StatusURL, Key: net.StatusKey, HTTP: http.DefaultClient})
			if err != nil {
				b.Fatal(err)
			}
			go func() { _ = c.Run(b.Context()) }()
			return c
		},
		Commit: func(string) error { m.commits.Add(1); return nil },
	})
	for i := range consumers {
		var c *consumer.Consumer
		n := m.Add(b, fmt.Sprintf("school%d", i), policy.Consumer, func(a *agent.Agent) (err error) {
			c, err = consumer.New(consumer.Config{Agent: a})
			return err
		})
		n.NoSync = true // it is the others who answer for the money
		n.Start(b)
		m.Link(b, n, c, 1<<50)
		m.consumers = append(m.consumers, c)
	}
	id := m.pay(b, m.consumers[0])
	m.work = m.workOf(b, id)
	return m
}

// pay takes a payment from the order to the transfer, and returns its id.
func (m *market) pay(b *testing.B, c *consumer.Consumer) string {
	ctx := b.Context()
	offered, err := c.Order(ctx, m.Shop.URI, m.Terms(2))
	check(b, err)
	id := offered.ID
	_, err = c.Accept(ctx, id, consumer.Choice{})
	check(b, err)
	_, err = c.Pay(ctx, id)
	check(b, err)
	_, err = c.Confirm(ctx, id, 5*time.Second)
	check(b, err)
	v, err := c.Await(ctx, id, 5*time.Second)
	check(b, err)
	if v.State != payment.Opened {
		b.Fatalf("payment %s is %s, want open", id, v.State)
	}
	check(b, c.Delivered(ctx, id, "two workstations"))
	v, err = m.Merchant.Capture(ctx, id, nil, true)
	check(b, err)
	if v.State != payment.Closed {
		b.Fatalf("payment %s is %s, want closed", id, v.State)
	}
	return id
}

func check(b *testing.B, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

// payments makes n payments, all buyers at a time.
func (m *market) payments(b *testing.B, n int) {
	share(n, func(buyer int) { m.pay(b, m.consumers[buyer%consumers]) })
}

// share has the buyers do something n times in all.
func share(n int, do func(buyer int)) {
	var wg sync.WaitGroup
	for buyer := range buyers {
		wg.Go(func() {
			for range n / buyers {
				do(buyer)
			}
		})
	}
	wg.Wait()
}

// cpu returns the CPU time of the process so far.
func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure takes the pairs, then payments one at a time, and reports.
func (m *market) measure(b *testing.B, gate float64) {
	per := func(do func(b *testing.B, n int)) float64 {
		start := cpu(b)
		do(b, perPair)
		return float64((cpu(b) - start).Nanoseconds()) / perPair / 1e3
	}
	var spent, bound, ratios []float64
	before, commits := m.counts(), m.commits.Load()
	for range pairs {
		p, l := per(m.payments), per(m.bound)
		spent, bound, ratios = append(spent, p), append(bound, l), append(ratios, p/l)
	}
	after, commits := m.counts(), m.commits.Load()-commits
	var took []float64
	for range oneByOne {
		start := time.Now()
		m.pay(b, m.consumers[0])
		took = append(took, float64(time.Since(start).Microseconds())/1e3)
	}
	slices.Sort(took)
	ratio := median(ratios)
	b.ReportMetric(0, "ns/op")
	figures := map[string]float64{
		"cpu-us/payment": median(spent), "bound-us": median(bound), "ratio": ratio,
		"p50-ms": took[len(took)/2], "p99-ms": took[len(took)*99/100],
	}
	for name, n := range map[string]uint64{
		"exchanges/payment": after.Served - before.Served, "signs/payment": after.Signed - before.Signed,
		"verifies/payment": after.Verified - before.Verified, "writes/payment": after.Commits - before.Commits,
		"commits/payment": commits,
	} {
		figures[name] = float64(n) / (pairs * perPair)
	}
	for name, figure := range figures {
		b.ReportMetric(figure, name)
	}
	if ratio > gate { // the figures of a benchmark that failed are not printed
		b.Logf("%v", figures)
		b.Errorf("a payment takes %.2f times the CPU time of its cryptography, want at most %.2f (pairs: %.2f)", ratio, gate, ratios)
	}
}

// counts adds up what all agents have done.
func (m *market) counts() (sum agent.Counts) {
	for _, n := range m.Nodes() {
		c := n.Agent.Counts()
		sum.Signed += c.Signed
		sum.Verified += c.Verified
		sum.Served += c.Served
		sum.Commits += c.Commits
	}
	return sum
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// work is the cryptography that one payment cannot do without (12 signatures, 22 verifications, 3 objects sealed and
// unsealed), on objects as long as the real ones.
type work struct {
	signed   [][]byte // what is signed
	verified [][]byte // what is verified
	sealed   [][]byte // plaintexts
	key      *ecdsa.PrivateKey
	enc      *ecdh.PrivateKey
	made     map[int][]byte // signatures by index of verified
}

// workOf looks the sizes up in the objects of a payment.
func (m *market) workOf(b *testing.B, id string) work {
	w := work{made: map[int][]byte{}}
	var err error
	w.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(b, err)
	w.enc, err = ecdh.P256().GenerateKey(rand.Reader)
	check(b, err)
	objects := map[payment.Kind][]byte{}
	for _, n := range m.Nodes() {
		check(b, n.Agent.Read(func(tx *agent.Tx) error {
			records, err := tx.Records(id)
			for _, r := range records {
				objects[r.Kind] = []byte(r.Object)
			}
			return err
		}))
	}
	// Who verifies what; delivered is signed when the contract asks for it, and is over the bound.
	for _, kind := range []struct {
		payment.Kind
		readers int
	}{
		{payment.KindOffer, 1},
		{payment.KindDual, 4},
		{payment.KindRequest, 1},
		{payment.KindAuth, 2},
		{payment.KindAuthRes, 3},
		{payment.KindAnswer, 1},
		{payment.KindConfirm, 2},
		{payment.KindResult, 1},
		{payment.KindReceipt, 1},
		{payment.KindCapture, 1},
		{payment.KindTransfer, 2},
		{payment.KindTransferred, 3},
	} {
		object := objects[kind.Kind]
		text := object[:bytes.LastIndexByte(object, '.')]
		w.signed = append(w.signed, text)
		for range kind.readers {
			sum := sha256.Sum256(text)
			w.made[len(w.verified)], err = ecdsa.SignASN1(rand.Reader, w.key, sum[:])
			check(b, err)
			w.verified = append(w.verified, text)
		}
	}
	for _, kind := range []payment.Kind{payment.KindInstruction, payment.KindInstruction, payment.KindExpect} {
		parts := bytes.Split(objects[kind], []byte("."))
		w.sealed = append(w.sealed, make([]byte, len(parts[3])*3/4))
	}
	if len(w.signed) != 12 || len(w.verified) != 22 {
		b.Fatalf("the bound has %d signatures and %d verifications, want 12 and 22", len(w.signed), len(w.verified))
	}
	return w
}

// bound does the work of n payments.
func (m *market) bound(b *testing.B, n int) {
	share(n, func(int) { m.work.do(b) })
}

func (w *work) do(b *testing.B) {
	for _, text := range w.signed {
		sum := sha256.Sum256(text)
		_, err := ecdsa.SignASN1(rand.Reader, w.key, sum[:])
		check(b, err)
	}
	for i, text := range w.verified {
		sum := sha256.Sum256(text)
		if !ecdsa.VerifyASN1(&w.key.PublicKey, sum[:], w.made[i]) {
			b.Fatal("the signature is not good")
		}
	}
	for _, plain := range w.sealed {
		ephemeral, err := ecdh.P256().GenerateKey(rand.Reader)
		check(b, err)
		nonce := make([]byte, 12)
		rand.Read(nonce)
		sealed := gcm(b, ephemeral, w.enc.PublicKey()).Seal(nil, nonce, plain, nil)
		public, err := ecdh.P256().NewPublicKey(ephemeral.PublicKey().Bytes())
		check(b, err)
		_, err = gcm(b, w.enc, public).Open(nil, nonce, sealed, nil)
		check(b, err)
	}
}

// gcm agrees on a key.
func gcm(b *testing.B, own *ecdh.PrivateKey, other *ecdh.PublicKey) cipher.AEAD {
	secret, err := own.ECDH(other)
	check(b, err)
	key := sha256.Sum256(secret)
	block, err := aes.NewCipher(key[:])
	check(b, err)
	aead, err := cipher.NewGCM(block)
	check(b, err)
	return aead
}
