package paytest

import (
	"bufio"
	"context"
	"crypto/ecdh"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/policy"
)

// childVariable names the file that says what a child process is to be.
const childVariable = "PAYTEST_CHILD"

// A handover is all that a node needs to run in a process of its own.
type handover struct {
	ID, Dir, Address, Network string
	Role                      policy.Role
	Chain                     [][]byte
	Key, Root                 []byte
	Keys                      map[string][]byte   // of encryption certificates
	Certificates              map[string][][]byte // chains by thumbprint
	Encryption                map[string]string   // thumbprints by party
	Peers                     []agent.Peer
	URIs                      map[policy.Role]string
	Options                   Options
	Point                     string
	Nth                       int
}

// A Child is a node that runs in a process of its own.
type Child struct {
	node   *Node
	cmd    *exec.Cmd
	stdin  io.Closer
	ended  chan struct{}
	killed bool // by itself, at its point; valid after ended is closed
}

// Fork stops the node and runs its agent in a child process, which kills itself with SIGKILL when it reaches the point
// for the nth time. The test binary's TestMain must call [RunChild]. Start runs the node here again.
func (n *Node) Fork(t testing.TB, point string, nth int) *Child {
	t.Helper()
	n.Stop(t)
	raw, err := json.Marshal(n.handover(t, point, nth))
	must(t, err)
	path := filepath.Join(t.TempDir(), "handover.json")
	must(t, os.WriteFile(path, raw, 0o600))
	c := &Child{node: n, ended: make(chan struct{})}
	c.cmd = exec.Command(os.Args[0], "-test.run=^$") //nolint:gosec // this test program itself
	c.cmd.Env = append(os.Environ(), childVariable+"="+path)
	c.cmd.Stderr = os.Stderr
	c.stdin, err = c.cmd.StdinPipe()
	must(t, err)
	stdout, err := c.cmd.StdoutPipe()
	must(t, err)
	must(t, c.cmd.Start())
	t.Cleanup(c.Kill)
	ready := make(chan struct{})
	go func() {
		line, _ := bufio.NewReader(stdout).ReadString('\n')
		if line == "ready\n" {
			close(ready)
		}
		err := c.cmd.Wait()
		exit, ok := errors.AsType[*exec.ExitError](err)
		if ok {
			status, ok := exit.Sys().(syscall.WaitStatus)
			c.killed = ok && status.Signaled() && status.Signal() == syscall.SIGKILL
		}
		close(c.ended)
	}()
	select {
	case <-ready:
	case <-c.ended: // at once: the point came at the start
	case <-time.After(20 * time.Second):
		t.Fatalf("%s did not start in a child process", n.ID)
	}
	return c
}

// Wait waits until the child has killed itself, false if it did not within the time.
func (c *Child) Wait(within time.Duration) bool {
	select {
	case <-c.ended:
		return c.killed
	case <-time.After(within):
		return false
	}
}

// Kill ends the child with SIGKILL.
func (c *Child) Kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.ended
}

func (n *Node) handover(t testing.TB, point string, nth int) handover {
	w := n.world
	key, err := x509.MarshalPKCS8PrivateKey(n.Cert.PrivateKey)
	must(t, err)
	h := handover{
		ID: n.ID, Dir: n.Dir, Address: n.Address, Network: w.Net.Name, Role: n.Role, Chain: n.Cert.Certificate, Key: key, Root: w.Net.Root.Raw,
		Keys: map[string][]byte{}, Certificates: map[string][][]byte{}, Encryption: map[string]string{}, Peers: n.peers(),
		URIs: map[policy.Role]string{}, Options: w.opts, Point: point, Nth: nth,
	}
	for _, other := range []*Node{w.Shop, w.GW, w.ABank, w.IBank, w.K} {
		h.URIs[other.Role] = other.URI
	}
	n.keys.mu.Lock()
	for thumbprint, key := range n.keys.keys {
		h.Keys[thumbprint], err = x509.MarshalPKCS8PrivateKey(key)
		must(t, err)
	}
	n.keys.mu.Unlock()
	d := directory{w.Net.Store, w}
	for record, err := range w.Net.Store.Certificates(t.Context(), ca.Filter{}) {
		must(t, err)
		chain, err := d.chain(record)
		if err != nil {
			continue // the CA's own
		}
		thumbprint := payment.Thumbprint(chain[0].Raw)
		h.Certificates[thumbprint] = [][]byte{chain[0].Raw, chain[1].Raw}
		if record.Profile == string(record.Role)+"-encryption" {
			h.Encryption[record.Party] = thumbprint
		}
	}
	return h
}

// RunChild runs the agent that [Node.Fork] asks for and does not return, unless this process is no such child.
func RunChild() {
	path := os.Getenv(childVariable)
	if path == "" {
		return
	}
	go func() { // the parent holds the other end, so a child never outlives it
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(3)
	}()
	if err := runChild(path); err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
	}
	os.Exit(2)
}

func runChild(path string) error {
	raw, err := os.ReadFile(path) //nolint:gosec // the parent named it
	if err != nil {
		return err
	}
	var h handover
	if err := json.Unmarshal(raw, &h); err != nil {
		return err
	}
	cfg, err := h.config()
	if err != nil {
		return err
	}
	passed := make(chan struct{}, h.Nth)
	cfg.Fail = func(point string) {
		if point != h.Point {
			return
		}
		select {
		case passed <- struct{}{}:
		default:
		}
		if len(passed) == h.Nth {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	w := &World{opts: h.Options}
	w.GW, w.ABank = &Node{URI: h.URIs[policy.Gateway]}, &Node{URI: h.URIs[policy.AcquiringBank]}
	w.K, w.IBank = &Node{URI: h.URIs[policy.Confirmer]}, &Node{URI: h.URIs[policy.IssuingBank]}
	if err := w.builder(h.Role)(a); err != nil {
		return err
	}
	var listener net.Listener
	if h.Address != "" {
		if listener, err = net.Listen("tcp", h.Address); err != nil {
			return err
		}
	}
	go func() {
		for range 400 { // the socket says that the agent runs
			if _, err := agent.DialControl(h.Dir); err == nil {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		fmt.Println("ready")
	}()
	return a.Run(context.Background(), listener)
}

// config makes the configuration of the child's agent. Every certificate of the hand-over counts as good.
func (h *handover) config() (agent.Config, error) {
	key, err := x509.ParsePKCS8PrivateKey(h.Key)
	if err != nil {
		return agent.Config{}, err
	}
	root, err := x509.ParseCertificate(h.Root)
	if err != nil {
		return agent.Config{}, err
	}
	source, err := enroll.NewStaticSource(tls.Certificate{Certificate: h.Chain, PrivateKey: key}, policy.Trust{Network: h.Network, Roots: []*x509.Certificate{root}})
	if err != nil {
		return agent.Config{}, err
	}
	ring := &keyring{keys: map[string]*ecdh.PrivateKey{}}
	for thumbprint, der := range h.Keys {
		parsed, err := x509.ParsePKCS8PrivateKey(der)
		if err != nil {
			return agent.Config{}, err
		}
		if private, ok := parsed.(*ecdh.PrivateKey); ok {
			ring.keys[thumbprint] = private
		} else if private, ok := parsed.(interface {
			ECDH() (*ecdh.PrivateKey, error)
		}); ok {
			if ring.keys[thumbprint], err = private.ECDH(); err != nil {
				return agent.Config{}, err
			}
		}
	}
	return agent.Config{
		Dir: h.Dir, Source: source, Keys: ring, Status: Good, Directory: listing{h}, Peers: h.Peers,
		Timeout: h.Options.Timeout, NoSync: h.Options.NoSync,
	}, nil
}

// listing finds certificates in a hand-over.
type listing struct{ h *handover }

// Certificate implements agent.Directory.
func (l listing) Certificate(_ context.Context, thumbprint string) (chain []*x509.Certificate, err error) {
	for _, der := range l.h.Certificates[thumbprint] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, err
		}
		chain = append(chain, c)
	}
	if chain == nil {
		return nil, fs.ErrNotExist
	}
	return chain, nil
}

// Encryption implements agent.Directory.
func (l listing) Encryption(ctx context.Context, party string) ([]*x509.Certificate, error) {
	return l.Certificate(ctx, l.h.Encryption[party])
}
