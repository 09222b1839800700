package mtls_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

var (
	shop1      = testca.Leaf{Role: policy.Merchant, Party: "shop1"}
	gw1        = testca.Leaf{Role: policy.Gateway, Party: "gw1"}
	clientOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	serverOnly = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
)

// serve starts an HTTPS server and returns its URL. httptest's would present a certificate of its own.
func serve(t *testing.T, cfg *tls.Config, http2 bool, handler http.Handler) string {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	srv := &http.Server{Handler: handler, TLSConfig: cfg, ErrorLog: log.New(io.Discard, "", 0), Protocols: &http.Protocols{}}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetHTTP2(http2)
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.ServeTLS(ln, "", "")
	}()
	t.Cleanup(func() { srv.Close(); <-done })
	return "https://" + ln.Addr().String()
}

// get sends a request and reads the answer.
func get(client *http.Client, url string) (string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	if err := problem.Read(resp); err != nil {
		return "", err
	}
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// handshake connects a client to a server and returns what each of them says.
func handshake(t *testing.T, client, server *tls.Config) (clientErr, serverErr error) {
	t.Helper()
	ln := must(net.Listen("tcp", "127.0.0.1:0"))
	defer ln.Close()
	done := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err != nil {
			done <- err
			return
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(10 * time.Second))
		srv := tls.Server(conn, server)
		err = srv.Handshake()
		if err == nil {
			_, err = srv.Write([]byte("x"))
		}
		done <- err
	}()
	cfg := client.Clone()
	cfg.ServerName = "127.0.0.1"
	conn, err := tls.Dial("tcp", ln.Addr().String(), cfg)
	if err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
		conn.Close()
	}
	return err, <-done
}

func TestOnlyTheRightCertificateInTheRightRoleConnects(t *testing.T) {
	t.Parallel()
	ca, foreign := testca.New(t), testca.New(t)
	with := func(l testca.Leaf, usages []x509.ExtKeyUsage) testca.Leaf { l.Usages = usages; return l }
	expired := shop1
	expired.NotBefore, expired.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	misissued := gw1
	misissued.CA = policy.MerchantCA
	for name, test := range map[string]struct {
		client, server tls.Certificate
		clientRoles    []policy.Role // that the server accepts
		rule           string        // "" where it connects; "tls" where crypto/tls refuses first
		byServer       bool          // which end refuses
	}{
		"a merchant to a gateway":                                   {ca.Issue(t, shop1), ca.Issue(t, gw1), nil, "", true},
		"a client-only certificate as server (case 51)":             {ca.Issue(t, shop1), ca.Issue(t, with(gw1, clientOnly)), nil, "tls", false},
		"a server-only certificate as client (case 51)":             {ca.Issue(t, with(shop1, serverOnly)), ca.Issue(t, gw1), nil, "tls", true},
		"a merchant's certificate as gateway (case 51)":             {ca.Issue(t, shop1), ca.Issue(t, shop1), nil, "authorized-role", false},
		"a merchant where only banks may connect":                   {ca.Issue(t, shop1), ca.Issue(t, gw1), []policy.Role{policy.AcquiringBank}, "authorized-role", true},
		"a gateway's name from the merchant CA":                     {ca.Issue(t, shop1), ca.Issue(t, misissued), nil, "tls", false},
		"an expired client":                                         {ca.Issue(t, expired), ca.Issue(t, gw1), nil, "tls", true},
		"a client of another network":                               {foreign.Issue(t, shop1), ca.Issue(t, gw1), nil, "tls", true},
		"a self-signed client with a merchant's name and serial":    {testca.SelfSigned(t, ca.Issue(t, shop1).Leaf), ca.Issue(t, gw1), nil, "tls", true},
		"an aggregator, who shares the gateway's CA, as a gateway":  {ca.Issue(t, shop1), ca.Issue(t, testca.Leaf{Role: policy.Aggregator, Party: "ag1"}), nil, "authorized-role", false},
		"an issuing bank where acquiring banks of its CA are meant": {ca.Issue(t, testca.Leaf{Role: policy.IssuingBank, Party: "b1"}), ca.Issue(t, gw1), []policy.Role{policy.AcquiringBank}, "authorized-role", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if test.clientRoles == nil {
				test.clientRoles = []policy.Role{policy.Merchant}
			}
			// Each end believes its own certificate; it is the other end that judges.
			clientSrc := must(enroll.NewStaticSource(test.client, ca.Trust()))
			serverSrc := must(enroll.NewStaticSource(test.server, ca.Trust()))
			if name == "an expired client" {
				clientSrc = nil
			}
			server := must(mtls.Server(serverSrc, mtls.AuthorizeRole(test.clientRoles...), &testca.Status{}))
			var client *tls.Config
			if clientSrc != nil {
				client = must(mtls.Client(clientSrc, mtls.AuthorizeRole(policy.Gateway), &testca.Status{}))
			} else { // a source hands out no expired certificate: a client without one does
				client = &tls.Config{Certificates: []tls.Certificate{test.client}, InsecureSkipVerify: true}
			}
			clientErr, serverErr := handshake(t, client, server)
			refusal := clientErr
			if test.byServer {
				refusal = serverErr
			}
			v, isRule := errors.AsType[*policy.Violation](refusal)
			switch {
			case test.rule == "" && (clientErr != nil || serverErr != nil):
				t.Errorf("got client %v, server %v, want a connection", clientErr, serverErr)
			case test.rule == "":
			case clientErr == nil || refusal == nil:
				t.Errorf("got client %v, server %v, want a refusal", clientErr, serverErr)
			case test.rule != "tls" && (!isRule || v.Rule != test.rule):
				t.Errorf("got %v, want rule %s", refusal, test.rule)
			}
		})
	}
}

func TestTheNameOfTheServerIsChecked(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	status := &testca.Status{}
	url := serve(t, must(mtls.Server(ca.Source(t, gw1), mtls.AuthorizeRole(policy.Merchant), status)), false, http.NotFoundHandler())
	client := must(mtls.Client(ca.Source(t, shop1), mtls.AuthorizeRole(policy.Gateway), status))
	client.ServerName = "other.example"
	_, err := tls.Dial("tcp", strings.TrimPrefix(url, "https://"), client)
	if _, ok := errors.AsType[x509.HostnameError](err); !ok {
		t.Errorf("got %v, want x509.HostnameError", err)
	}
}

func TestTLS12IsRefused(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	server := must(mtls.Server(ca.Source(t, gw1), mtls.AuthorizeRole(policy.Merchant), &testca.Status{}))
	old := &tls.Config{MaxVersion: tls.VersionTLS12, InsecureSkipVerify: true, Certificates: []tls.Certificate{ca.Issue(t, shop1)}}
	if clientErr, serverErr := handshake(t, old, server); clientErr == nil || serverErr == nil {
		t.Errorf("got client %v, server %v, want a refusal", clientErr, serverErr)
	}
}

func TestHalfAConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	src := testca.New(t).Source(t, gw1)
	any1, status := mtls.AuthorizeRole(policy.Merchant), &testca.Status{}
	for name, make := range map[string]func() error{
		"server without source":       func() error { _, err := mtls.Server(nil, any1, status); return err },
		"server without authorizer":   func() error { _, err := mtls.Server(src, nil, status); return err },
		"server without status":       func() error { _, err := mtls.Server(src, any1, nil); return err },
		"client without authorizer":   func() error { _, err := mtls.Client(src, nil, status); return err },
		"client without status":       func() error { _, err := mtls.Client(src, any1, nil); return err },
		"transport without status":    func() error { _, err := mtls.Transport(src, any1, nil); return err },
		"transport without a source":  func() error { _, err := mtls.Transport(nil, any1, status); return err },
		"handler without an answerer": func() error { return refusedByHandler(mtls.HandlerConfig{Trust: src.Trust(), Status: status}) },
		"handler without status":      func() error { return refusedByHandler(mtls.HandlerConfig{Trust: src.Trust(), Authorize: any1}) },
		"handler without roots":       func() error { return refusedByHandler(mtls.HandlerConfig{Authorize: any1, Status: status}) },
	} {
		if make() == nil {
			t.Errorf("%s: got no error", name)
		}
	}
	if err := mtls.AuthorizeRole()(&policy.Peer{}); err == nil {
		t.Error("no roles: got everybody in, want nobody")
	}
	if err := mtls.AuthorizeParty()(&policy.Peer{}); err == nil {
		t.Error("no parties: got everybody in, want nobody")
	}
}

// refusedByHandler returns an error if the handler lets no request through.
func refusedByHandler(cfg mtls.HandlerConfig) error {
	reached := false
	w := httptest.NewRecorder()
	mtls.Handler(cfg, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true })).
		ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if !reached && w.Code == http.StatusInternalServerError {
		return errors.New("refused")
	}
	return nil
}

func TestAResumedConnectionIsRefusedAfterARevocation(t *testing.T) { // case 58
	t.Parallel()
	for _, who := range []string{"nobody", "client", "its issuing CA", "server", "stapled server"} {
		t.Run(who+" revoked", func(t *testing.T) {
			t.Parallel()
			ca := testca.New(t)
			clientSrc, serverSrc := ca.Source(t, shop1), ca.Source(t, gw1)
			if who == "stapled server" {
				cert := *must(serverSrc.Certificate())
				cert.OCSPStaple = []byte("good when it was signed")
				if err := serverSrc.Replace(cert); err != nil {
					t.Fatal(err)
				}
			}
			serverStatus, clientStatus := &testca.Status{}, &testca.Status{}
			server := must(mtls.Server(serverSrc, mtls.AuthorizeRole(policy.Merchant), serverStatus))
			client := must(mtls.Client(clientSrc, mtls.AuthorizeRole(policy.Gateway), clientStatus))
			client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
			var resumed []bool
			verify := client.VerifyConnection
			client.VerifyConnection = func(cs tls.ConnectionState) error {
				resumed = append(resumed, cs.DidResume)
				return verify(cs)
			}
			if clientErr, serverErr := handshake(t, client, server); clientErr != nil || serverErr != nil {
				t.Fatalf("first: got client %v, server %v", clientErr, serverErr)
			}
			switch who {
			case "client":
				serverStatus.Revoke(must(clientSrc.Certificate()).Leaf)
			case "its issuing CA":
				serverStatus.Revoke(ca.Issuer(policy.MerchantCA))
			case "server", "stapled server":
				clientStatus.Revoke(must(serverSrc.Certificate()).Leaf)
			}
			clientErr, serverErr := handshake(t, client, server)
			if who == "nobody" {
				if clientErr != nil || serverErr != nil || len(resumed) != 2 || !resumed[1] {
					t.Errorf("got client %v, server %v, resumed %v, want a resumed connection", clientErr, serverErr, resumed)
				}
				return
			}
			refusal := serverErr
			if strings.HasSuffix(who, "server") {
				refusal = clientErr
				if len(resumed) != 2 || !resumed[1] {
					t.Errorf("got resumed %v, want the refusal of a resumption", resumed)
				}
			}
			if _, ok := errors.AsType[*ocsp.RevokedError](refusal); !ok || clientErr == nil {
				t.Errorf("got client %v, server %v, want *ocsp.RevokedError", clientErr, serverErr)
			}
		})
	}
}
