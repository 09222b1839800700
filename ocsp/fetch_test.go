package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

func TestCheckerRefusesBadResponders(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	twin := newAuthority(t, "merchant ca", "P-256")
	s, foreign := n.ca.signer(t, "P-256"), twin.signer(t, "P-256")
	leaf := n.leaf(t, 1, true, false)
	single := fresh(t, leaf, n.ca.cert)
	stale, sha1 := single, single
	stale.ThisUpdate, stale.NextUpdate = epoch.Add(-2*time.Hour), epoch.Add(-time.Hour)
	sha1.CertID = certID(t, leaf, n.ca.cert, crypto.SHA1)
	body := func(der []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(der) }
	}
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	good := mustSign(t, s, epoch, nil, single)
	elsewhere := httptest.NewServer(body(good))
	t.Cleanup(elsewhere.Close)
	tests := []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"an honest one", body(good), "good by ocsp"},
		{"wrong signer", body(mustSign(t, foreign, epoch, nil, single)), "unknown"},
		{"stale", body(mustSign(t, s, epoch, nil, stale)), "unknown"},
		{"another serial", body(mustSign(t, s, epoch, nil, fresh(t, n.ca.leaf(t, 9), n.ca.cert))), "unknown"},
		{"another hash", body(mustSign(t, s, epoch, nil, sha1)), "unknown"},
		{"HTML", body([]byte("<html>captive portal</html>")), "unknown"},
		{"nothing", body(nil), "unknown"},
		{"huge", body(append(bytes.Clone(good), make([]byte, 1<<20)...)), "unknown"},
		{"slow", func(_ http.ResponseWriter, req *http.Request) {
			select {
			case <-release:
			case <-req.Context().Done():
			}
		}, "unknown"},
		{"error status", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500); _, _ = w.Write(good) }, "unknown"},
		{"redirecting to another host", func(w http.ResponseWriter, req *http.Request) { http.Redirect(w, req, elsewhere.URL, http.StatusFound) }, "unknown"},
		{"redirecting on its host", func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/moved" {
				_, _ = w.Write(good)
				return
			}
			http.Redirect(w, req, "/moved", http.StatusFound)
		}, "good by ocsp"},
		{"redirecting in circles", func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.String(), http.StatusFound)
		}, "unknown"},
	}
	for _, tt := range tests { // one after the other: they share the server
		n.replace(tt.handler)
		c := n.checker(t, func(cfg *ocsp.CheckerConfig) {
			if tt.name == "slow" {
				cfg.Timeout = 100 * time.Millisecond
			}
		})
		if got := outcome(c.Check(t.Context(), leaf, n.ca.cert, nil)); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestCheckerKeepsAwayFromPrivateAddresses(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	leaf := n.leaf(t, 1, true, true)
	n.mark(leaf, ocsp.Good, 0)
	n.publish(t, 1)
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.AllowPrivate = false })
	n.want(t, c, leaf, nil, "unknown")
	if n.asked.Load()+n.fetched.Load() != 0 {
		t.Error("a private address was asked")
	}
	if _, err := ocsp.NewChecker(ocsp.CheckerConfig{Client: &http.Client{Transport: http.DefaultTransport}}); err == nil {
		t.Error("a transport that cannot be kept from private addresses: got nil, want an error")
	}
	odd := n.ca.issue(t, 2, newKey(t, "P-256").Public(), func(c *x509.Certificate) {
		c.OCSPServer = []string{"ldap://ca.example/x", "file:///etc/passwd"}
		c.CRLDistributionPoints = []string{"http://user@ca.example/x"}
	})
	n.want(t, n.checker(t, nil), odd, nil, "unknown")
}

func TestCheckerUsesPOSTForLongURLs(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	var method atomic.Value
	n.replace(func(w http.ResponseWriter, req *http.Request) {
		method.Store(req.Method)
		if req.Method == http.MethodPost {
			req.URL.Path, req.URL.RawPath = "/ocsp/merchant", ""
		}
		n.r.ServeHTTP(w, req)
	})
	for want, path := range map[string]string{"GET": "", "POST": "/" + strings.Repeat("x", 200)} {
		leaf := n.ca.issue(t, int64(len(path)+1), newKey(t, "P-256").Public(), func(cert *x509.Certificate) {
			cert.OCSPServer = []string{n.url + "/ocsp/merchant" + path}
		})
		n.mark(leaf, ocsp.Good, 0)
		n.want(t, c, leaf, nil, "good by ocsp")
		if got := method.Load(); got != want {
			t.Errorf("got %v, want %s", got, want)
		}
	}
}
