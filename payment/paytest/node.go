package paytest

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// A Node is one party with its agent.
type Node struct {
	ID      string
	URI     string
	Role    policy.Role
	Dir     string
	Source  *enroll.Source
	Cert    tls.Certificate
	Address string // where it listens, "" for a consumer
	Agent   *agent.Agent
	NoSync  bool // as in agent.Config; Options.NoSync stands for all

	world    *World
	keys     *keyring
	listener net.Listener
	build    func(*agent.Agent) error
	cancel   context.CancelFunc
	done     chan error
}

// DNS is the name by which others call the node.
func (n *Node) DNS() string { return n.ID + ".test" }

// keyring holds the keys of encryption certificates.
type keyring struct {
	mu   sync.Mutex
	keys map[string]*ecdh.PrivateKey
}

// Key implements agent.Keys.
func (k *keyring) Key(thumbprint string) (*ecdh.PrivateKey, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key, ok := k.keys[thumbprint]
	return key, ok
}

// Add enrolls a party; Start starts its agent.
func (w *World) Add(t testing.TB, id string, role policy.Role, build func(*agent.Agent) error) *Node {
	t.Helper()
	n := &Node{ID: id, Role: role, Dir: filepath.Join(w.dir, id), world: w, build: build, keys: &keyring{keys: map[string]*ecdh.PrivateKey{}}}
	n.URI = policy.Identity{Network: w.Net.Name, Role: role, Party: id}.String()
	var names []string
	if role != policy.Consumer {
		names = []string{n.DNS()}
		var err error
		n.listener, err = net.Listen("tcp", "127.0.0.1:0")
		must(t, err)
		n.Address = n.listener.Addr().String()
	}
	n.Cert = w.Net.Enroll(t, id, role, names...)
	var err error
	n.Source, err = enroll.NewStaticSource(n.Cert, w.Net.Trust())
	must(t, err)
	switch role {
	case policy.Gateway, policy.Aggregator, policy.IssuingBank, policy.Wallet, policy.Confirmer:
		n.Encrypt(t)
	}
	w.nodes = append(w.nodes, n)
	return n
}

// Encrypt issues the node one more encryption certificate, and returns it.
func (n *Node) Encrypt(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	issued, err := n.world.Net.Authority.Issue(t.Context(), ca.Request{
		Party: n.ID, Profile: string(n.Role) + "-encryption", CSR: csr, Requester: "test", Protocol: "local",
	})
	must(t, err)
	private, err := key.ECDH()
	must(t, err)
	n.keys.mu.Lock()
	n.keys.keys[payment.Thumbprint(issued.Leaf.Raw)] = private
	n.keys.mu.Unlock()
	return issued.Leaf
}

// Start starts the agent, with every node of the world as its peer.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	w := n.world
	var changes *feed.Client
	if w.opts.FeedFor != nil {
		changes = w.opts.FeedFor(w.Net, n.ID)
	}
	cfg := agent.Config{
		Dir: n.Dir, Source: n.Source, Keys: n.keys, Status: w.statusFor(t, n, changes), Feed: changes, Directory: directory{w.Net.Store, w}, Peers: n.peers(),
		Timeout: w.opts.Timeout, Now: w.opts.Now, Logger: w.opts.Logger, NoSync: n.NoSync || w.opts.NoSync,
	}
	w.opts.apply(&cfg, n.ID)
	var err error
	n.Agent, err = agent.New(cfg)
	must(t, err)
	must(t, n.build(n.Agent))
	if n.Address != "" && n.listener == nil {
		n.listener, err = net.Listen("tcp", n.Address)
		must(t, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.cancel, n.done = cancel, make(chan error, 1)
	listener, a, done := n.listener, n.Agent, n.done
	go func() { done <- a.Run(ctx, listener) }()
	for range 1000 { // the operator's socket comes with the rest
		if client, err := agent.DialControl(n.Dir); err == nil {
			client.CloseIdleConnections()
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("%s does not start", n.ID)
}

// peers lists everybody who can be called.
func (n *Node) peers() (peers []agent.Peer) {
	w := n.world
	for _, other := range w.nodes {
		if other != n && other.Address != "" {
			address := other.Address
			if w.opts.Dial != nil {
				address = w.opts.Dial(n.ID, other.ID, address)
			}
			peers = append(peers, agent.Peer{URI: other.URI, URL: "https://" + other.DNS(), Address: address})
		}
	}
	return peers
}

// Stop ends the agent, as a power cut would as far as calls under way are concerned.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	if n.cancel == nil {
		return
	}
	n.cancel()
	if err := <-n.done; err != nil {
		t.Errorf("%s: %v", n.ID, err)
	}
	n.cancel, n.listener = nil, nil
	must(t, n.Agent.Close())
}

// Client returns an HTTP client that calls node to with the certificate of n, or another.
func (n *Node) Client(t testing.TB, to *Node, certificate ...tls.Certificate) *http.Client {
	t.Helper()
	src := n.Source
	if len(certificate) > 0 {
		conf := &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: x509.NewCertPool(), ServerName: to.DNS(), Certificates: certificate}
		conf.RootCAs.AddCert(n.world.Net.Root)
		return &http.Client{Transport: &http.Transport{TLSClientConfig: conf, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to.Address)
		}}}
	}
	transport, err := mtls.Transport(src, func(*policy.Peer) error { return nil }, n.world.Status)
	must(t, err)
	transport.DialContext(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to.Address)
	})
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// directory finds certificates in the CA's own store.
type directory struct {
	store ca.Store
	world *World
}

// Certificate implements agent.Directory.
func (d directory) Certificate(ctx context.Context, thumbprint string) ([]*x509.Certificate, error) {
	if d.world.opts.Certificate != nil {
		if chain := d.world.opts.Certificate(thumbprint); chain != nil {
			return chain, nil
		}
	}
	sum, err := base64.RawURLEncoding.DecodeString(thumbprint)
	if err != nil || len(sum) != sha256.Size {
		return nil, fs.ErrNotExist
	}
	record, err := d.store.ByThumbprint(ctx, [32]byte(sum))
	if err != nil {
		return nil, fs.ErrNotExist
	}
	return d.chain(record)
}

// Encryption implements agent.Directory.
func (d directory) Encryption(ctx context.Context, party string) (chain []*x509.Certificate, err error) {
	err = fs.ErrNotExist
	for record, failed := range d.store.Certificates(ctx, ca.Filter{Party: party}) {
		if failed != nil {
			return nil, failed
		}
		if record.Profile == string(record.Role)+"-encryption" {
			chain, err = d.chain(record)
		}
	}
	return chain, err
}

func (d directory) chain(record ca.Record) ([]*x509.Certificate, error) {
	leaf, err := x509.ParseCertificate(record.DER)
	if err != nil {
		return nil, err
	}
	for _, is := range d.world.Net.Issuers {
		if is.Name == record.Issuer {
			return []*x509.Certificate{leaf, is.Certificate}, nil
		}
	}
	return nil, fs.ErrNotExist
}
