package network_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A running network on loopback, with its operator.
type running struct {
	dir      string
	url      string
	status   string
	operator *api.Client
	network  *network.Network
	cfg      network.Config
	stop     func() // ends it, once
}

// configure makes a configuration on free ports.
func configure(t testing.TB) config.Config {
	t.Helper()
	conf, err := config.Loopback("pay.example")
	must(t, err)
	return conf
}

// start creates a network and serves it until the test ends.
func start(t testing.TB) *running {
	t.Helper()
	return startAt(t, time.Now)
}

// startAt is start by another clock.
func startAt(t testing.TB, now func() time.Time) *running {
	t.Helper()
	return startWith(t, network.Config{Now: now})
}

// startWith is start with more to say, all but the directory.
func startWith(t testing.TB, cfg network.Config, sinks ...config.Sink) *running {
	t.Helper()
	return startConfigured(t, cfg, func(c *config.Config) { c.Audit.Sinks = sinks })
}

// startConfigured is startWith another configuration.
func startConfigured(t testing.TB, cfg network.Config, change func(*config.Config)) *running {
	t.Helper()
	const tries = 5 // a port that was free may be taken meanwhile
	for try := 1; ; try++ {
		dir := t.TempDir()
		conf := configure(t)
		change(&conf)
		_, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
		must(t, err)
		cfg.Dir = dir
		r, err := open(t, cfg)
		if errors.Is(err, syscall.EADDRINUSE) && try < tries {
			continue
		}
		must(t, err)
		return r
	}
}

// open serves the network that is in a directory until the test ends, or stop is called.
func open(t testing.TB, cfg network.Config) (*running, error) {
	t.Helper()
	n, err := network.Open(t.Context(), cfg)
	must(t, err)
	listeners, err := n.Listen()
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Serve(ctx, listeners) }()
	client := operator(t, cfg.Dir)
	stop := sync.OnceFunc(func() {
		client.HTTP.CloseIdleConnections() // for an open one of HTTP/2 the server waits a second
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return &running{dir: cfg.Dir, url: n.URL(), status: n.StatusURL(), operator: client, network: n, cfg: cfg, stop: stop}, nil
}

// restart ends the server and starts another one on the same directory.
func (r *running) restart(t testing.TB) *running {
	t.Helper()
	r.stop()
	again, err := open(t, r.cfg)
	must(t, err)
	return again
}

func operator(t testing.TB, dir string) *api.Client {
	t.Helper()
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: filepath.Join(dir, network.Operator)})
	must(t, err)
	client, err := api.NewClient(source)
	must(t, err)
	return client
}

// register registers a party and returns a token for it.
func (r *running) register(t testing.TB, id string, role policy.Role) string {
	t.Helper()
	_, err := r.operator.AddParty(t.Context(), policy.Party{ID: id, Role: role, Name: "Test " + id})
	must(t, err)
	token, err := r.operator.CreateToken(t.Context(), api.TokenRequest{Party: id})
	must(t, err)
	return token.Token
}

// enroll registers and enrolls a party and returns its identity directory.
func (r *running) enroll(t testing.TB, id string, role policy.Role) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), id)
	_, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: r.register(t, id, role), Dir: dir})
	must(t, err)
	return dir
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// trusting returns a client that calls with a certificate, nil for none, and believes that the server is ours.
func trusting(certificate *tls.Certificate) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if certificate == nil {
				return &tls.Certificate{}, nil
			}
			return certificate, nil
		},
	}}}
}

// request sends a request with a client certificate, nil for none, and
// returns the status and the name of the problem.
func (r *running) request(t testing.TB, certificate *tls.Certificate, method, path, contentType string, body []byte) (int, string) {
	t.Helper()
	client := trusting(certificate)
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, bytes.NewReader(body))
	must(t, err)
	req.Header.Set("Content-Type", contentType)
	resp, err := client.Do(req)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	var refused *problem.Problem
	if errors.As(problem.Read(resp), &refused) {
		return resp.StatusCode, refused.Name()
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, ""
}

func TestATokenServesOneOfAHundredAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t)
	token := r.register(t, "shop1", policy.Merchant)
	parsed, err := enroll.ReadToken(token)
	must(t, err)
	roots, err := enroll.FetchRoots(t.Context(), parsed)
	must(t, err)
	client, err := enroll.NewClient(enroll.ClientConfig{URL: r.url, Network: "pay.example", Roots: roots})
	must(t, err)
	var mu sync.Mutex
	won, words := 0, map[string]int{}
	var group sync.WaitGroup
	for range 100 {
		group.Go(func() {
			_, csr, err := enroll.NewKey()
			if err == nil {
				_, err = client.Enroll(t.Context(), token, csr)
			}
			mu.Lock()
			defer mu.Unlock()
			var refused *problem.Problem
			switch {
			case err == nil:
				won++
			case errors.As(err, &refused) && refused.Name() == "token-used":
				words["token-used"]++
				if !strings.Contains(refused.Detail, "was used by shop1 from 127.0.0.1:") {
					t.Errorf("got %q, want by whom, from where and when", refused.Detail)
				}
			default:
				t.Errorf("got %v", err)
			}
		})
	}
	group.Wait()
	if won != 1 || words["token-used"] != 99 {
		t.Errorf("got %d certificates and %v, want 1 and 99 refusals", won, words)
	}
	valid := 0
	for c, err := range r.operator.Certificates(t.Context(), map[string][]string{"party": {"shop1"}, "status": {"valid"}}) {
		must(t, err)
		if c.Party == "shop1" {
			valid++
		}
	}
	if valid != 1 {
		t.Errorf("the inventory has %d valid certificates, want 1", valid)
	}
}

// routes are all that need an identity.
var routes = []struct{ method, path, body string }{
	{"GET", "/v1/parties", ""},
	{"POST", "/v1/parties", "{}"},
	{"GET", "/v1/parties/shop1", ""},
	{"GET", "/v1/tokens", ""},
	{"POST", "/v1/tokens", "{}"},
	{"POST", "/v1/tokens/none/cancel", ""},
	{"GET", "/v1/certificates", ""},
	{"GET", "/v1/certificates/01", ""},
	{"POST", "/v1/revocations", "{}"},
	{"GET", "/v1/audit/head", ""},
	{"GET", "/v1/audit/leaves", ""},
	{"GET", "/v1/audit/hashes?index=0", ""},
	{"GET", "/v1/audit/proof/0", ""},
	{"GET", "/v1/audit/consistency?old=1", ""},
	{"GET", "/v1/health", ""},
	{"GET", "/v1/backup", ""},
	{"POST", "/v1/renew", "{}"},
	{"POST", "/v1/issue", "{}"},
	{"GET", "/v1/nothing", ""},
}

func TestAStrangerWithTheVictimsNamesAndSerialIsRefusedOnEveryRoute(t *testing.T) {
	t.Parallel()
	r := start(t)
	victim, err := enroll.Open(filepath.Join(r.dir, network.Operator))
	must(t, err)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	leaf := victim.Leaf()
	template := &x509.Certificate{
		SerialNumber: leaf.SerialNumber, Subject: leaf.Subject, NotBefore: leaf.NotBefore, NotAfter: leaf.NotAfter,
		URIs: leaf.URIs, KeyUsage: leaf.KeyUsage, ExtKeyUsage: leaf.ExtKeyUsage,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	must(t, err)
	forged := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for _, route := range routes {
		if status, name := r.request(t, forged, route.method, route.path, "application/json", []byte(route.body)); status != 403 || name != "identity-refused" {
			t.Errorf("%s %s with a forged certificate: got %d %s, want 403 identity-refused", route.method, route.path, status, name)
		}
		if status, name := r.request(t, nil, route.method, route.path, "application/json", []byte(route.body)); status != 401 || name != "certificate-required" {
			t.Errorf("%s %s without a certificate: got %d %s, want 401 certificate-required", route.method, route.path, status, name)
		}
	}
}

func TestAPartyReachesOnlyItsOwn(t *testing.T) {
	t.Parallel()
	r := start(t)
	shop, err := enroll.Open(r.enroll(t, "shop1", policy.Merchant))
	must(t, err)
	other, err := enroll.Open(r.enroll(t, "shop2", policy.Merchant))
	must(t, err)
	serial := func(c *enroll.Credential) string { return c.Leaf().SerialNumber.Text(16) }
	for _, tt := range []struct {
		what, method, path, body string
		status                   int
		problem                  string
	}{
		{"its own certificate", "GET", "/v1/certificates/" + serial(shop), "", 200, ""},
		{"another's certificate", "GET", "/v1/certificates/" + serial(other), "", 404, "not-found"},
		{"another's list", "GET", "/v1/certificates?party=shop2", "", 404, "not-found"},
		{"the parties", "GET", "/v1/parties", "", 403, "wrong-role"},
		{"a new party", "POST", "/v1/parties", `{"id":"x","role":"merchant","name":"X","state":"active","created":"2026-01-01T00:00:00Z"}`, 403, "wrong-role"},
		{"the log", "GET", "/v1/audit/leaves", "", 403, "wrong-role"},
		{"a proof", "GET", "/v1/audit/proof/0", "", 403, "wrong-role"},
		{"consistency", "GET", "/v1/audit/consistency?old=1", "", 403, "wrong-role"},
		{"revoking another's", "POST", "/v1/revocations", `{"serial":"` + serial(other) + `","reason":"superseded"}`, 404, "not-found"},
		{"revoking its own", "POST", "/v1/revocations", `{"serial":"` + serial(shop) + `","reason":"superseded"}`, 200, ""},
		{"anything after that", "GET", "/v1/certificates", "", 403, "certificate-revoked"},
		{"a renewal after that", "POST", "/v1/renew", `{"csr":""}`, 403, "certificate-revoked"},
	} {
		if status, name := r.request(t, shop.TLS(), tt.method, tt.path, "application/json", []byte(tt.body)); status != tt.status || name != tt.problem {
			t.Errorf("%s: got %d %q, want %d %q", tt.what, status, name, tt.status, tt.problem)
		}
	}
}

func TestBadRequestsAreRefusedWithTheirReason(t *testing.T) {
	t.Parallel()
	r := start(t)
	op, err := enroll.Open(filepath.Join(r.dir, network.Operator))
	must(t, err)
	token := r.register(t, "shop1", policy.Merchant)
	garbage, err := json.Marshal(enroll.EnrollRequest{Token: token, CSR: []byte("not a request")})
	must(t, err)
	_, csr, err := enroll.NewKey()
	must(t, err)
	csr[len(csr)-1] ^= 1
	flipped, err := json.Marshal(enroll.EnrollRequest{Token: token, CSR: csr})
	must(t, err)
	for _, tt := range []struct {
		name, method, path, contentType, body string
		status                                int
		problem                               string
	}{
		{"a request with one flipped bit in its signature", "POST", "/v1/enroll", "application/json", string(flipped), 403, "policy-violation"},
		{"bytes that are no request", "POST", "/v1/enroll", "application/json", string(garbage), 403, "policy-violation"},
		{"a member twice", "POST", "/v1/enroll", "application/json", `{"token":"a","token":"b","csr":""}`, 400, "bad-json"},
		{"a number beyond any double", "POST", "/v1/tokens", "application/json", `{"party":"shop1","seconds":1e400}`, 400, "bad-json"},
		{"deep nesting", "POST", "/v1/enroll", "application/json", strings.Repeat("[", 1000), 400, "bad-json"},
		{"a body that is too large", "POST", "/v1/enroll", "application/json", `{"token":"` + strings.Repeat("a", 70<<10) + `"}`, 413, "too-large"},
		{"a form", "POST", "/v1/enroll", "application/x-www-form-urlencoded", "token=a", 415, "media-type"},
		{"another method", "GET", "/v1/enroll", "", "", 405, "method-not-allowed"},
		{"a route that does not exist", "POST", "/1.1/sign", "application/json", "{}", 404, "no-route"},
		{"a token that is none", "POST", "/v1/enroll", "application/json", `{"token":"a.b.c","csr":""}`, 400, "token-form"},
		{"an unknown role", "GET", "/v1/certificates?role=shop", "", "", 403, "policy-violation"},
		{"a bad limit", "GET", "/v1/parties?limit=0", "", "", 400, "bad-parameter"},
		{"a bad cursor", "GET", "/v1/certificates?after=x", "", "", 400, "bad-parameter"},
		{"a bad reason", "POST", "/v1/revocations", "application/json", `{"party":"shop1","reason":"because"}`, 400, "bad-parameter"},
		{"serial and party", "POST", "/v1/revocations", "application/json", `{"party":"shop1","serial":"01","reason":"superseded"}`, 400, "bad-parameter"},
	} {
		if status, name := r.request(t, op.TLS(), tt.method, tt.path, tt.contentType, []byte(tt.body)); status != tt.status || name != tt.problem {
			t.Errorf("%s: got %d %q, want %d %q", tt.name, status, name, tt.status, tt.problem)
		}
	}
	// The token survived every refusal.
	if _, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token, Dir: filepath.Join(t.TempDir(), "shop1")}); err != nil {
		t.Errorf("enrolling with the token that bad requests named: %v", err)
	}
}

func TestWhatStandsInTheWayIsToldAndLeftAlone(t *testing.T) {
	t.Parallel()
	r := start(t)
	before, err := os.ReadFile(filepath.Join(r.dir, config.FileName))
	must(t, err)
	var exists *network.ExistsError
	if _, err := network.Create(t.Context(), network.CreateConfig{Dir: r.dir, Config: configure(t)}); !errors.As(err, &exists) {
		t.Errorf("creating over a network: got %v, want *ExistsError", err)
	}
	after, err := os.ReadFile(filepath.Join(r.dir, config.FileName))
	must(t, err)
	if !bytes.Equal(before, after) {
		t.Error("the configuration changed")
	}
	var locked *boltstore.LockedError
	if _, err := network.Open(t.Context(), network.Config{Dir: r.dir}); !errors.As(err, &locked) || locked.Owner != os.Getpid() {
		t.Errorf("opening it twice: got %v, want who holds it", err)
	}
	if _, err := network.Open(t.Context(), network.Config{Dir: t.TempDir()}); !errors.Is(err, network.ErrNoNetwork) {
		t.Errorf("opening nothing: got %v, want ErrNoNetwork", err)
	}
}
