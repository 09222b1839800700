package node_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/cmd/internal/node"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A site is a CA on loopback, whose operator is at hand.
type site struct {
	dir      string
	operator *api.Client
	stop     func() // ends the CA, once
}

// newSite creates a CA and serves it until the test ends.
func newSite(t *testing.T) *site {
	t.Helper()
	for try := 1; ; try++ { // a port that was free may be taken meanwhile
		dir := t.TempDir()
		conf, err := config.Loopback("pay.example")
		must(t, err)
		_, err = network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
		must(t, err)
		s, err := serveSite(t, dir)
		if errors.Is(err, syscall.EADDRINUSE) && try < 5 {
			continue
		}
		must(t, err)
		return s
	}
}

func serveSite(t *testing.T, dir string) (*site, error) {
	t.Helper()
	n, err := network.Open(t.Context(), network.Config{Dir: dir})
	must(t, err)
	listeners, err := n.Listen()
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, listeners) }()
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: filepath.Join(dir, network.Operator)})
	must(t, err)
	client, err := api.NewClient(source)
	must(t, err)
	s := &site{dir: dir, operator: client, stop: sync.OnceFunc(func() {
		client.HTTP.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving the CA: %v", err)
		}
	})}
	t.Cleanup(s.stop)
	return s, nil
}

// enroll registers and enrolls a party and returns its identity directory.
func (s *site) enroll(t *testing.T, p policy.Party) string {
	t.Helper()
	p.Name = "Test " + p.ID
	_, err := s.operator.AddParty(t.Context(), p)
	must(t, err)
	token, err := s.operator.CreateToken(t.Context(), api.TokenRequest{Party: p.ID})
	must(t, err)
	dir := filepath.Join(t.TempDir(), p.ID)
	_, err = enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token.Token, Dir: dir})
	must(t, err)
	return dir
}

// merchant enrolls a merchant and returns its certificate and that of its issuer.
func (s *site) merchant(t *testing.T, id string) (leaf, issuer *x509.Certificate) {
	t.Helper()
	c, err := enroll.Open(s.enroll(t, policy.Party{ID: id, Role: policy.Merchant}))
	must(t, err)
	return c.Chain[0], c.Chain[1]
}

func (s *site) revoke(t *testing.T, leaf *x509.Certificate, reason string) {
	t.Helper()
	_, err := s.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Serial: leaf.SerialNumber.Text(16)}, Reason: reason})
	must(t, err)
}

// A clock is the time and what is added to it.
type clock struct{ ahead atomic.Int64 }

func (c *clock) now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// A station is a status node on loopback.
type station struct {
	url  string
	stop func()
}

// serveNode serves a node until the test ends.
func serveNode(t *testing.T, identity, dir string, c *clock) *station {
	t.Helper()
	n, err := node.Open(t.Context(), node.Config{Identity: identity, Dir: dir, Now: c.now})
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, l) }()
	st := &station{url: "http://" + l.Addr().String(), stop: sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving the node: %v", err)
		}
	})}
	t.Cleanup(st.stop)
	return st
}

func (st *station) get(t *testing.T, path string) (int, []byte) {
	t.Helper()
	resp, err := http.Get(st.url + path)
	must(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(t, err)
	return resp.StatusCode, body
}

// healthy waits until the node says that it is.
func (st *station) healthy(t *testing.T) {
	t.Helper()
	var body []byte
	for range 200 {
		var code int
		if code, body = st.get(t, "/healthz"); code == http.StatusOK {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("node is not healthy after 10 s: %s", body)
}

// ask asks the node, by POST or by GET, with a nonce or without.
func (st *station) ask(t *testing.T, c *clock, leaf, issuer *x509.Certificate, get bool, nonce []byte) (ocsp.Verdict, error) {
	t.Helper()
	request, err := ocsp.NewRequest(leaf, issuer, crypto.SHA1, nonce)
	must(t, err)
	var resp *http.Response
	if get {
		resp, err = http.Get(st.url + "/ocsp/merchant/" + url.QueryEscape(base64.StdEncoding.EncodeToString(request)))
	} else {
		resp, err = http.Post(st.url+"/ocsp/merchant", "application/ocsp-request", bytes.NewReader(request))
	}
	must(t, err)
	defer resp.Body.Close()
	der, err := io.ReadAll(resp.Body)
	must(t, err)
	return ocsp.VerifyResponse(der, leaf, issuer, ocsp.VerifyOptions{Now: c.now(), Nonce: nonce, RequireNonce: nonce != nil})
}

// until asks until the node answers with the state, and returns how long that took.
func (st *station) until(t *testing.T, leaf, issuer *x509.Certificate, want ocsp.State) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		v, err := st.ask(t, new(clock), leaf, issuer, true, nil)
		if err == nil && v.State == want {
			return time.Since(began)
		}
		if time.Since(began) > 10*time.Second {
			t.Fatalf("got %v, %v after 10 s, want %v", v.State, err, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestANodeAnswersForTheCAAndSurvivesIt(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("a CA that ends lets the long polls of its nodes finish, which takes seconds")
	}
	s := newSite(t)
	old, issuer := s.merchant(t, "shop1")
	gone, _ := s.merchant(t, "shop2")
	s.revoke(t, gone, "keyCompromise")
	identity, dir, c := s.enroll(t, policy.Party{ID: "status1", Role: policy.Service, StatusNode: true}), t.TempDir(), new(clock)
	st := serveNode(t, identity, dir, c)
	st.healthy(t)

	for _, get := range []bool{false, true} {
		for _, nonce := range [][]byte{nil, []byte("0123456789abcdef")} {
			for want, leaf := range map[ocsp.State]*x509.Certificate{ocsp.Good: old, ocsp.Revoked: gone} {
				if v, err := st.ask(t, c, leaf, issuer, get, nonce); err != nil || v.State != want {
					t.Errorf("GET %v, nonce %q: got %v, %v, want %v", get, nonce, v.State, err, want)
				}
			}
		}
	}

	// What is issued later is good there, and what is revoked is revoked, within a second of the answer to who revoked it.
	fresh, _ := s.merchant(t, "shop3")
	if took := st.until(t, fresh, issuer, ocsp.Good); took > time.Second {
		t.Errorf("a new certificate was good at the node after %v, want within 1 s", took)
	}
	s.revoke(t, fresh, "certificateHold")
	if took := st.until(t, fresh, issuer, ocsp.Revoked); took > time.Second {
		t.Errorf("a revocation was seen at the node after %v, want within 1 s", took)
	}
	_, err := s.operator.Release(t.Context(), api.Selection{Serial: fresh.SerialNumber.Text(16)})
	must(t, err)
	if took := st.until(t, fresh, issuer, ocsp.Good); took > time.Second {
		t.Errorf("a release was seen at the node after %v, want within 1 s", took)
	}
	s.revoke(t, old, "superseded")
	st.until(t, old, issuer, ocsp.Revoked)

	// The CA goes away, and the node starts anew from what it has.
	waitForList(t, st, issuer, old)
	s.stop()
	st.stop()
	st = serveNode(t, identity, dir, c)
	st.healthy(t)
	for leaf, want := range map[*x509.Certificate]ocsp.State{fresh: ocsp.Good, old: ocsp.Revoked, gone: ocsp.Revoked} {
		if v, err := st.ask(t, c, leaf, issuer, false, []byte("0123456789abcdef")); err != nil || v.State != want {
			t.Errorf("without the CA: got %v, %v, want %v", v.State, err, want)
		}
	}
	waitForList(t, st, issuer, old)
	for _, path := range []string{"/crl/root.crl", "/ca/root.crt", "/ca/merchant.crt"} {
		if code, _ := st.get(t, path); code != http.StatusOK {
			t.Errorf("without the CA %s: got %d, want 200", path, code)
		}
	}

	// An answer says no more than the last checkpoint does, and after an hour there is none.
	c.ahead.Store(int64(40 * time.Minute))
	v, err := st.ask(t, c, fresh, issuer, false, []byte("0123456789abcdef"))
	if limit := c.now().Add(-39 * time.Minute); err != nil || v.ThisUpdate.After(limit) {
		t.Errorf("40 min after the last checkpoint: got thisUpdate %v, %v, want at most %v", v.ThisUpdate, err, limit)
	}
	c.ahead.Store(int64(61 * time.Minute))
	for _, nonce := range [][]byte{nil, []byte("0123456789abcdef")} {
		if _, err := st.ask(t, c, fresh, issuer, false, nonce); err == nil || !strings.Contains(err.Error(), "tryLater") {
			t.Errorf("61 min after the last checkpoint, nonce %q: got %v, want tryLater", nonce, err)
		}
	}
	if code, body := st.get(t, "/healthz"); code != http.StatusServiceUnavailable || !strings.Contains(string(body), "newest checkpoint") {
		t.Errorf("health: got %d %s, want 503 for the checkpoint", code, body)
	}

	// The CA comes back, and the node with it.
	c.ahead.Store(0)
	if _, err := serveSite(t, s.dir); err != nil {
		t.Fatal(err)
	}
	st.stop() // the clock went back, for which a responder stops
	st = serveNode(t, identity, dir, c)
	st.healthy(t)
	if v, err := st.ask(t, c, fresh, issuer, true, nil); err != nil || v.State != ocsp.Good {
		t.Errorf("with the CA again: got %v, %v, want good", v.State, err)
	}
}

// waitForList waits until the full CRL of the node lists a certificate.
func waitForList(t *testing.T, st *station, issuer, leaf *x509.Certificate) {
	t.Helper()
	for range 100 {
		if code, der := st.get(t, "/crl/merchant.crl"); code == http.StatusOK {
			list, err := ocsp.ParseCRL(der)
			must(t, err)
			must(t, list.CheckSignatureFrom(issuer))
			if _, listed := list.Lookup(leaf.SerialNumber.Bytes()); listed {
				return
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the CRL of the node does not list the certificate after 10 s")
}

func TestANodeKeepsNoKeyOfTheCAAndItsOwnForItself(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dir := t.TempDir()
	st := serveNode(t, s.enroll(t, policy.Party{ID: "status1", Role: policy.Service, StatusNode: true}), dir, new(clock))
	st.healthy(t)
	for name, mode := range map[string]os.FileMode{"delegates/merchant.pem": 0o600, "node.db": 0o600} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: got %v, %v, want mode %o", name, info, err, mode)
		}
	}
	// The inventory has the delegates as the node's.
	n := 0
	for c, err := range s.operator.Certificates(t.Context(), url.Values{"party": {"status1"}, "profile": {policy.OCSPSignerProfile}}) {
		must(t, err)
		if c.Kind != "ocsp-signer" || c.Requester != "spiffe://service.pay.example/status1" {
			t.Errorf("got a delegate of kind %s asked for by %s", c.Kind, c.Requester)
		}
		n++
	}
	if n != len(policy.CAs()) {
		t.Errorf("got %d delegates of the node in the inventory, want %d", n, len(policy.CAs()))
	}
}

func TestOnlyAStatusNodeReadsWhatOneNeeds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	_, err := s.operator.AddParty(t.Context(), policy.Party{ID: "shop9", Role: policy.Merchant, Name: "Nine", StatusNode: true})
	if refused, ok := errors.AsType[*problem.Problem](err); !ok || !strings.Contains(refused.Error(), "party-status-node") {
		t.Errorf("a merchant as status node: got %v, want party-status-node", err)
	}
	for name, p := range map[string]policy.Party{
		"a merchant": {ID: "shop1", Role: policy.Merchant}, "a service that is no status node": {ID: "web1", Role: policy.Service},
	} {
		source, err := enroll.OpenSource(enroll.SourceConfig{Dir: s.enroll(t, p)})
		must(t, err)
		client, err := api.NewClient(source)
		must(t, err)
		_, request, err := enroll.NewKey()
		must(t, err)
		_, description := client.Node(t.Context())
		_, issued := client.Issued(t.Context(), 0, 0)
		_, file := client.NodeFile(t.Context(), "/crl/root.crl")
		_, delegate := client.Delegate(t.Context(), policy.MerchantCA, request)
		for what, err := range map[string]error{"description": description, "issued": issued, "file": file, "delegate": delegate} {
			if refused, ok := errors.AsType[*problem.Problem](err); !ok || refused.Status != http.StatusForbidden {
				t.Errorf("%s, %s: got %v, want 403", name, what, err)
			}
		}
		client.HTTP.CloseIdleConnections()
	}
	identity := s.enroll(t, policy.Party{ID: "status1", Role: policy.Service, StatusNode: true})
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: identity})
	must(t, err)
	client, err := api.NewClient(source)
	must(t, err)
	defer client.HTTP.CloseIdleConnections()
	for _, path := range []string{"/v1/status/key", "/ocsp/merchant", "/crl/../v1/status/key"} {
		if _, err := client.NodeFile(t.Context(), path); err == nil {
			t.Errorf("file %s: got it, want a refusal", path)
		}
	}
	if _, err := client.Delegate(t.Context(), "root", nil); err == nil {
		t.Error("a delegate of the root: got one, want a refusal")
	}
	// A node that is suspended gets nothing more.
	_, err = s.operator.SetState(t.Context(), "status1", api.StateRequest{State: policy.Suspended})
	must(t, err)
	_, request, err := enroll.NewKey()
	must(t, err)
	if _, err := client.Delegate(t.Context(), policy.MerchantCA, request); err == nil {
		t.Error("a delegate of a node that is suspended: got one, want a refusal")
	}
}
