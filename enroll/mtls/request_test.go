package mtls_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// network is a server with the middleware, and a client of it.
type network struct {
	ca           *testca.CA
	status       *testca.Status // that the server asks
	clientStatus *testca.Status
	url          string
	gateway      *enroll.Source
	shop         *enroll.Source
	client       *http.Client
	served       atomic.Int32 // requests that reached the handler
}

func newNetwork(t *testing.T, http2 bool) *network {
	t.Helper()
	n := &network{ca: testca.New(t), status: &testca.Status{}, clientStatus: &testca.Status{}}
	n.gateway, n.shop = n.ca.Source(t, gw1), n.ca.Source(t, shop1)
	handler := mtls.Handler(mtls.HandlerConfig{
		Trust: n.ca.Trust(), Authorize: mtls.AuthorizeRole(policy.Merchant), Status: n.status,
	}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.served.Add(1)
		peer, verdict, ok := mtls.PeerFrom(r.Context())
		if !ok {
			t.Error("got no peer in the context")
			return
		}
		io.WriteString(w, peer.Identity.String()+" "+verdict.State.String()+" "+r.Proto+" "+r.RemoteAddr)
	}))
	n.url = serve(t, must(mtls.Server(n.gateway, mtls.AuthorizeRole(policy.Merchant), n.status)), http2, handler)
	n.client = &http.Client{Transport: must(mtls.Transport(n.shop, mtls.AuthorizeRole(policy.Gateway), n.clientStatus)), Timeout: 10 * time.Second}
	t.Cleanup(n.client.CloseIdleConnections)
	return n
}

func TestAKeptAliveConnectionDiesWithItsClientsCertificate(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, http2)
			first, err := get(n.client, n.url)
			if err != nil || !strings.HasPrefix(first, "spiffe://merchant.pay.example/shop1 good "+name) {
				t.Fatalf("got %q, %v", first, err)
			}
			if second, err := get(n.client, n.url); err != nil || second != first {
				t.Fatalf("got %q, %v, want the same connection as %q", second, err, first)
			}
			n.status.Revoke(must(n.shop.Certificate()).Leaf)
			resp, err := n.client.Get(n.url)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if p, ok := errors.AsType[*problem.Problem](problem.Read(resp)); !ok || p.Status != 403 || p.Name() != "certificate-revoked" {
				t.Errorf("got %+v, want 403 certificate-revoked over the open connection", p)
			}
			if _, err := get(n.client, n.url); err == nil || errors.As(err, new(*problem.Problem)) {
				t.Errorf("got %v, want the connection closed and no new one", err)
			}
		})
	}
}

func TestAKeptAliveConnectionDiesWithItsServersCertificate(t *testing.T) {
	t.Parallel()
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2.0": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t, http2)
			first, err := get(n.client, n.url)
			if err != nil {
				t.Fatal(err)
			}
			n.clientStatus.Revoke(must(n.gateway.Certificate()).Leaf)
			if _, err := get(n.client, n.url); !errors.As(err, new(*ocsp.RevokedError)) {
				t.Fatalf("got %v, want *ocsp.RevokedError", err)
			}
			if _, err := n.client.Post(n.url, "text/plain", strings.NewReader("secret")); !errors.As(err, new(*ocsp.RevokedError)) {
				t.Fatalf("POST: got %v, want *ocsp.RevokedError", err)
			}
			if got := n.served.Load(); got != 1 {
				t.Errorf("got %d requests at the server, want the first alone", got)
			}
			if err := n.gateway.Replace(n.ca.Issue(t, gw1)); err != nil {
				t.Fatal(err)
			}
			again, err := get(n.client, n.url)
			if err != nil || again == first {
				t.Errorf("got %q, %v, want a new connection to the new certificate", again, err)
			}
		})
	}
}

func TestAServerThatRenewedInTimeIsReachedOverANewConnection(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, false)
	first, err := get(n.client, n.url)
	if err != nil {
		t.Fatal(err)
	}
	old := must(n.gateway.Certificate()).Leaf
	if err := n.gateway.Replace(n.ca.Issue(t, gw1)); err != nil {
		t.Fatal(err)
	}
	if again, err := get(n.client, n.url); err != nil || again != first {
		t.Errorf("got %q, %v, want the open connection to live on after a renewal", again, err)
	}
	n.clientStatus.Revoke(old)
	if again, err := get(n.client, n.url); err != nil || again == first {
		t.Errorf("got %q, %v, want a new connection", again, err)
	}
}

func TestAStapleDoesNotOutliveItsHandshake(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, false)
	stapled := n.ca.Issue(t, gw1)
	stapled.OCSPStaple = []byte("good when it was signed")
	if err := n.gateway.Replace(stapled); err != nil {
		t.Fatal(err)
	}
	if _, err := get(n.client, n.url); err != nil || n.clientStatus.Staples() != 1 {
		t.Fatalf("got %v with %d staples, want one", err, n.clientStatus.Staples())
	}
	n.clientStatus.Revoke(stapled.Leaf)
	if err := n.gateway.Replace(n.ca.Issue(t, shop1)); err == nil {
		t.Error("another identity was put in place of the gateway's")
	}
	next := n.ca.Issue(t, gw1)
	n.clientStatus.Revoke(next.Leaf)
	if err := n.gateway.Replace(next); err != nil {
		t.Fatal(err)
	}
	if _, err := get(n.client, n.url); !errors.As(err, new(*ocsp.RevokedError)) {
		t.Errorf("got %v, want *ocsp.RevokedError in spite of the old staple", err)
	}
}

func TestTransportSpeaksOnlyHTTPS(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, false)
	if _, err := n.client.Get(strings.Replace(n.url, "https", "http", 1)); !errors.As(err, new(*policy.Violation)) {
		t.Errorf("got %v, want a violation", err)
	}
}

func TestHandlerRefusesWithTheRightAnswer(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	good := ca.Issue(t, shop1)
	revoked := ca.Issue(t, shop1)
	status := &testca.Status{}
	status.Revoke(revoked.Leaf)
	chain := func(cert tls.Certificate) *tls.ConnectionState {
		state := &tls.ConnectionState{}
		for _, der := range cert.Certificate {
			state.PeerCertificates = append(state.PeerCertificates, must(x509.ParseCertificate(der)))
		}
		return state
	}
	down := statusFunc(func() error { return &ocsp.UnknownError{Serial: "1"} })
	inventory := func(_ context.Context, thumbprint [32]byte) error {
		if thumbprint != sha256.Sum256(good.Leaf.Raw) {
			return problem.Errorf(403, "certificate-unknown", "the CA does not know it")
		}
		return nil
	}
	for name, test := range map[string]struct {
		tls    *tls.ConnectionState
		status mtls.StatusChecker
		deny   error
		code   int
		name   string
	}{
		"a good certificate":    {chain(good), status, nil, 200, ""},
		"no TLS":                {nil, status, nil, 401, "certificate-required"},
		"no certificate":        {&tls.ConnectionState{}, status, nil, 401, "certificate-required"},
		"a revoked certificate": {chain(revoked), status, nil, 403, "certificate-revoked"},
		"a self-signed certificate with the victim's serial":   {chain(testca.SelfSigned(t, good.Leaf)), status, nil, 403, "identity-refused"},
		"a certificate for servers only (case 51)":             {chain(ca.Issue(t, testca.Leaf{Role: policy.Merchant, Party: "shop1", Usages: serverOnly})), status, nil, 403, "identity-refused"},
		"a gateway where merchants are meant":                  {chain(ca.Issue(t, gw1)), status, nil, 403, "identity-refused"},
		"a certificate that is not in the inventory":           {chain(ca.Issue(t, shop1)), status, nil, 403, "certificate-unknown"},
		"a status that cannot be found out":                    {chain(good), down, nil, 503, "status-unknown"},
		"a status check that fails in a way nobody planned":    {chain(good), statusFunc(func() error { return errors.New("disk") }), nil, 500, "internal-error"},
		"a refusal by an authorizer with words of its own":     {chain(good), status, errors.New("closed on Sundays"), 403, "identity-refused"},
		"a leaf behind ten thousand others, in bounded effort": {&tls.ConnectionState{PeerCertificates: make([]*x509.Certificate, 10000)}, status, nil, 403, "identity-refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			authorize := mtls.AuthorizeRole(policy.Merchant)
			if test.deny != nil {
				authorize = func(*policy.Peer) error { return test.deny }
			}
			handler := mtls.Handler(mtls.HandlerConfig{
				Trust: ca.Trust(), Authorize: authorize, Status: test.status, Inventory: inventory,
			}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			r := httptest.NewRequest("GET", "/", nil)
			r.TLS = test.tls
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			var got string
			if p, ok := errors.AsType[*problem.Problem](problem.Read(w.Result())); ok {
				got = p.Name()
			}
			if w.Code != test.code || got != test.name {
				t.Errorf("got %d %s, want %d %s", w.Code, w.Body, test.code, test.name)
			}
			if closes := w.Header().Get("Connection") == "close"; closes != (test.code != 200) {
				t.Errorf("got Connection %q for status %d", w.Header().Get("Connection"), test.code)
			}
		})
	}
}

type statusFunc func() error

func (f statusFunc) Check(context.Context, *x509.Certificate, *x509.Certificate, []byte) (ocsp.Verdict, error) {
	return ocsp.Verdict{}, f()
}

func TestBothTheLeafAndItsIssuingCAAreChecked(t *testing.T) {
	t.Parallel()
	n := newNetwork(t, false)
	if _, err := get(n.client, n.url); err != nil {
		t.Fatal(err)
	}
	leaf, issuer := must(n.shop.Certificate()).Leaf, n.ca.Issuer(policy.MerchantCA)
	if n.status.Checked(leaf) != 2 || n.status.Checked(issuer) != 2 {
		t.Errorf("got %d and %d checks, want handshake and request for each", n.status.Checked(leaf), n.status.Checked(issuer))
	}
	n.status.Revoke(issuer)
	if _, err := get(n.client, n.url); !errors.As(err, new(*problem.Problem)) {
		t.Errorf("got %v, want a refusal", err)
	}
}

func TestEachRequestHasTheCheckerOfItsOperation(t *testing.T) { // case 57
	t.Parallel()
	ca := testca.New(t)
	nobodyKnows := func() error { return &ocsp.UnknownError{Serial: "1"} }
	admitted := func() error { return nil }
	revoked := func() error { return &ocsp.RevokedError{Serial: "1"} }
	for _, tt := range []struct {
		name                 string
		authorising, enquiry func() error
		wantPost, wantGet    int
		noEnquiry            bool
	}{
		{"nothing is known", nobodyKnows, admitted, 503, 200, false},
		{"revoked", revoked, revoked, 403, 403, false},
		{"good", admitted, admitted, 200, 200, false},
		{"no checker of its own", nobodyKnows, nil, 503, 503, true},
	} {
		handler := mtls.Handler(mtls.HandlerConfig{
			Trust: ca.Trust(), Authorize: mtls.AuthorizeRole(policy.Merchant), Status: statusFunc(tt.authorising),
			StatusOf: func(r *http.Request) mtls.StatusChecker {
				if r.Method == http.MethodPost || tt.noEnquiry {
					return nil
				}
				return statusFunc(tt.enquiry)
			},
		}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for method, want := range map[string]int{"POST": tt.wantPost, "GET": tt.wantGet} {
			r := httptest.NewRequest(method, "/", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: parsed(ca.Issue(t, shop1))}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			if w.Code != want {
				t.Errorf("%s, %s: got %d, want %d", tt.name, method, w.Code, want)
			}
		}
	}
}

func TestTheConnectionsOfManyAtATimeAreKept(t *testing.T) {
	t.Parallel()
	const many = 80
	ca := testca.New(t)
	arrived, next := make(chan struct{}, many), make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		arrived <- struct{}{}
		<-next // when all are there
		io.WriteString(w, r.RemoteAddr)
	})
	url := serve(t, must(mtls.Server(ca.Source(t, gw1), mtls.AuthorizeRole(policy.Merchant), &testca.Status{})), false, handler)
	client := &http.Client{
		Transport: must(mtls.Transport(ca.Source(t, shop1), mtls.AuthorizeRole(policy.Gateway), &testca.Status{})), Timeout: time.Minute,
	}
	t.Cleanup(client.CloseIdleConnections)
	connections := map[string]bool{}
	for range 2 {
		answers := make(chan string, many)
		for range many {
			go func() {
				answer, err := get(client, url)
				if err != nil {
					t.Error(err)
				}
				answers <- answer
			}()
		}
		for range many {
			<-arrived
		}
		for range many {
			next <- struct{}{}
		}
		for range many {
			connections[<-answers] = true
		}
	}
	if len(connections) != many {
		t.Errorf("%d connections for %d requests at a time, twice, want %d", len(connections), many, many)
	}
}
