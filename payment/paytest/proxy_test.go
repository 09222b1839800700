package paytest_test

import (
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
)

// What a proxy does with what passes.
const (
	pass    int32 = iota
	swallow       // requests get lost
	mute          // requests arrive, replies get lost
	lossy         // connections are refused, delayed, or cut in either direction
)

// proxies stand before each node.
type proxies struct {
	t    *testing.T
	seed uint64

	mu   sync.Mutex
	list map[string]*proxy // by FROM>TO
}

// between returns the proxy from one node to another; World asks for its address by [proxies.dial].
func (p *proxies) between(from, to string) *proxy {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.list == nil {
		p.list = map[string]*proxy{}
	}
	name := from + ">" + to
	if p.list[name] == nil {
		p.list[name] = &proxy{open: map[net.Conn]bool{}, random: rand.New(rand.NewPCG(p.seed, uint64(len(p.list))))}
	}
	return p.list[name]
}

func (p *proxies) dial(from, to, address string) string {
	x := p.between(from, to)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.listener == nil {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			p.t.Fatal(err)
		}
		x.listener, x.target = listener, address
		go x.serve()
		p.t.Cleanup(x.close)
	}
	return x.listener.Addr().String()
}

func (p *proxies) set(mode int32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, x := range p.list {
		x.mode.Store(mode)
	}
}

// A proxy passes connections on, or not.
type proxy struct {
	listener net.Listener
	target   string
	mode     atomic.Int32
	faults   atomic.Int64

	mu     sync.Mutex
	random *rand.Rand        // guarded by mu
	open   map[net.Conn]bool // guarded by mu
}

func (x *proxy) close() {
	_ = x.listener.Close()
	x.mu.Lock()
	defer x.mu.Unlock()
	for conn := range x.open {
		_ = conn.Close()
	}
}

func (x *proxy) serve() {
	for {
		client, err := x.listener.Accept()
		if err != nil {
			return
		}
		go x.connect(client)
	}
}

func (x *proxy) connect(client net.Conn) {
	if x.mode.Load() == lossy && x.roll(20) {
		_ = client.Close()
		return
	}
	server, err := net.DialTimeout("tcp", x.target, time.Second)
	if err != nil {
		_ = client.Close()
		return
	}
	x.mu.Lock()
	x.open[client], x.open[server] = true, true
	x.mu.Unlock()
	var wg sync.WaitGroup
	end := func() { _ = client.Close(); _ = server.Close() }
	wg.Go(func() { defer end(); x.pump(server, client, swallow) })
	wg.Go(func() { defer end(); x.pump(client, server, mute) })
	wg.Wait()
	x.mu.Lock()
	delete(x.open, client)
	delete(x.open, server)
	x.mu.Unlock()
}

// roll is true once in n times.
func (x *proxy) roll(n int) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	hit := x.random.IntN(n) == 0
	if hit {
		x.faults.Add(1)
	}
	return hit
}

// pump copies until one side ends; deaf is the mode in which this direction loses everything.
func (x *proxy) pump(to, from net.Conn, deaf int32) {
	buffer := make([]byte, 32<<10)
	lost := false // what was lost once cannot go on
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		mode := x.mode.Load()
		if lost = lost || mode == deaf; lost {
			continue
		}
		if mode == lossy {
			switch {
			case x.roll(30):
				_, _ = to.Write(buffer[:n/2])
				return
			case x.roll(30):
				time.Sleep(50 * time.Millisecond)
			}
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

func TestPaymentsOverALossyNetworkAllEndConsistently(t *testing.T) {
	t.Parallel()
	payments := 200
	if testing.Short() {
		payments = 30
	}
	network := &proxies{t: t, seed: 7741}
	opts := quick()
	opts.Dial, opts.Timeout, opts.Deadline = network.dial, 2*time.Second, 6*time.Second
	w := paytest.New(t, opts)
	network.set(lossy)
	ids := make([]string, payments)
	failed := make([]error, payments)
	var wg sync.WaitGroup
	slots := make(chan struct{}, 4)
	for i := range payments {
		choice := consumer.Choice{Mode: []payment.Mode{payment.ConfirmRealtime, payment.ConfirmNone}[i%2], Route: []string{consumer.Direct, consumer.Relay}[i/2%2]}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			ids[i], failed[i] = buy(t.Context(), w, 1, choice)
		})
	}
	wg.Wait()
	network.set(pass)
	ends := map[payment.State]int{}
	for i, id := range ids {
		if failed[i] != nil {
			t.Error(failed[i])
			continue
		}
		told := w.Told(t, id)
		if err := told.Check(); err != nil {
			t.Errorf("payment %s: %v", id, err)
		}
		ends[told.Gateway.State]++
	}
	w.Balanced(t, ids...)
	faults := int64(0)
	for _, x := range network.list {
		faults += x.faults.Load()
	}
	if t.Logf("%d payments ended %v under %d faults", payments, ends, faults); faults == 0 || ends[payment.Closed] == 0 {
		t.Error("want faults, and payments that end well in spite of them")
	}
}
