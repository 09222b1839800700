package paytest_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/payment/paytest"
	"github.com/payca/payca/policy"
)

// TestNoHostileCertificateIsSpokenToByAnyClient lets a server present each of them to a client that would speak to every role.
func TestNoHostileCertificateIsSpokenToByAnyClient(t *testing.T) {
	t.Parallel()
	w := paytest.New(t, paytest.Options{NoSync: true})
	transport, err := mtls.Transport(w.Shop.Source, mtls.AuthorizeRole(policy.Roles()...), remembered(t))
	if err != nil {
		t.Fatal(err)
	}
	certificates := catest.Hostile(t, w.Net.Issuers, w.GW.Cert)
	certificates["the gateway itself"] = w.GW.Cert
	for kind, certificate := range certificates {
		server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			if kind != "the gateway itself" {
				t.Errorf("spoke to a server with a certificate that is %s", kind)
			}
		}))
		server.Config.ErrorLog = log.New(io.Discard, "", 0)
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }}
		server.StartTLS()
		transport.DialContext(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
		})
		resp, err := (&http.Client{Transport: transport}).Get("https://" + w.GW.DNS())
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil) != (kind == "the gateway itself") {
			t.Errorf("a server with a certificate that is %s: got %v", kind, err)
		}
		transport.CloseIdleConnections()
		server.Close()
	}
}

// TestNoHostileCertificateIsHeardByAnyAgent knocks at every agent with every certificate of catest.Hostile, made for each party
// that the agent listens to. The handshake ends it, before there is a request.
func TestNoHostileCertificateIsHeardByAnyAgent(t *testing.T) {
	t.Parallel()
	f := newForger(t, paytest.Options{NoSync: true, Status: remembered(t)})
	p := f.order(2)
	nodes, hostile := map[string]*paytest.Node{}, map[string][]string{}
	for _, n := range f.Nodes() {
		nodes[n.ID] = n
	}
	knocked := map[string]bool{}
	for _, l := range legs {
		if knocked[l.from+l.to] {
			continue // the handshake is over before the path is sent; TestEveryLegRefusesEveryBadCertificate goes along every leg
		}
		knocked[l.from+l.to] = true
		from, to := nodes[l.from], nodes[l.to]
		certificates := catest.Hostile(t, f.Net.Issuers, from.Cert)
		for i, kind := range slices.Sorted(maps.Keys(certificates)) {
			if testing.Short() && (i+len(knocked))%4 != 0 {
				continue
			}
			got := f.knock(l.method, to, strings.Replace(l.path, "ID", p.id, 1), certificates[kind])
			if alertOf(got.err) == "" || got.status != 0 || errors.As(got.err, new(net.Error)) && strings.Contains(got.err.Error(), "timeout") {
				t.Errorf("%s %s of %s by %s with a certificate that is %s: got %d %s, %v; want an alert", l.method, l.path, l.to, l.from, kind, got.status, got.code, got.err)
			}
			hostile[kind] = append(hostile[kind], l.to)
		}
	}
	if len(hostile) < 50 {
		t.Errorf("tried %d kinds", len(hostile))
	}
}
