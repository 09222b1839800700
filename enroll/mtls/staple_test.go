package mtls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
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

// stapling returns a source whose certificate is stapled by the responder.
func stapling(t *testing.T, ca *testca.CA, r *testca.Responder, l testca.Leaf) *enroll.Source {
	t.Helper()
	stapler := must(ocsp.NewStapler(ocsp.StaplerConfig{Ask: r.Ask}))
	src := must(enroll.NewMemorySource(ca.Issue(t, l), ca.Trust(), enroll.SourceConfig{Stapler: stapler}))
	if err := src.Staple(t.Context()); err != nil {
		t.Fatal(err)
	}
	return src
}

// leavesOnly asks the checker about the certificates of parties, and believes issuing CAs.
func leavesOnly(c *ocsp.Checker) mtls.StatusChecker {
	return mtls.StatusFunc(func(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error) {
		if leaf.IsCA {
			return ocsp.Verdict{State: ocsp.Good}, nil
		}
		return c.Check(ctx, leaf, issuer, staple)
	})
}

func TestBothEndsStapleAndNobodyNeedAsk(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	r := ca.Responder(t, nil)
	server, client := stapling(t, ca, r, gw1), stapling(t, ca, r, shop1)
	bare := ca.Source(t, shop1)
	status := leavesOnly(must(ocsp.NewChecker(ocsp.CheckerConfig{Mode: ocsp.StapledOnly})))
	conf := must(mtls.Server(server, mtls.AuthorizeRole(policy.Merchant), status))
	if clientErr, serverErr := handshake(t, must(mtls.Client(client, mtls.AuthorizeRole(policy.Gateway), status)), conf); clientErr != nil || serverErr != nil {
		t.Errorf("got client %v, server %v, want both satisfied by what was stapled", clientErr, serverErr)
	}
	_, serverErr := handshake(t, must(mtls.Client(bare, mtls.AuthorizeRole(policy.Gateway), status)), conf)
	if _, ok := errors.AsType[*ocsp.UnknownError](serverErr); !ok {
		t.Errorf("a client without a staple: got %v, want *ocsp.UnknownError", serverErr)
	}
	if r.Asked() != 2 {
		t.Errorf("the responder was asked %d times, want once by each stapler", r.Asked())
	}
}

func TestACertificateThatMustBeStapledIsRefusedWithoutAStapleThatHolds(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	r := ca.Responder(t, nil)
	must1 := func(l testca.Leaf) testca.Leaf { l.MustStaple = true; return l }
	good := func(cert tls.Certificate) []byte {
		staple, _, err := must(ocsp.NewStapler(ocsp.StaplerConfig{Ask: r.Ask})).Fetch(t.Context(), cert.Leaf, must(x509.ParseCertificate(cert.Certificate[1])))
		if err != nil {
			t.Fatal(err)
		}
		return staple
	}
	old := ca.Responder(t, func() time.Time { return time.Now().Add(-3 * time.Hour) })
	for name, tt := range map[string]struct {
		staple func(tls.Certificate) []byte
		ok     bool
	}{
		"a good staple":                   {good, true},
		"no staple":                       {func(tls.Certificate) []byte { return nil }, false},
		"junk":                            {func(tls.Certificate) []byte { return []byte("good") }, false},
		"a staple of another certificate": {func(tls.Certificate) []byte { return good(ca.Issue(t, shop1)) }, false},
		"a staple that has ended": {func(cert tls.Certificate) []byte {
			request := must(ocsp.NewRequest(cert.Leaf, must(x509.ParseCertificate(cert.Certificate[1])), 5, nil))
			return must(old.Ask(t.Context(), request))
		}, false},
		"a staple with a bit changed": {func(cert tls.Certificate) []byte {
			staple := bytes.Clone(good(cert))
			staple[len(staple)-20] ^= 1
			return staple
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The checkers know by other ways that everybody is good: the demand of the certificate stands beside that.
			for _, demanding := range []string{"server", "client"} {
				serverLeaf, clientLeaf := gw1, shop1
				if demanding == "server" {
					serverLeaf = must1(gw1)
				} else {
					clientLeaf = must1(shop1)
				}
				serverCert, clientCert := ca.Issue(t, serverLeaf), ca.Issue(t, clientLeaf)
				if demanding == "server" {
					serverCert.OCSPStaple = tt.staple(serverCert)
				} else {
					clientCert.OCSPStaple = tt.staple(clientCert)
				}
				server := must(mtls.Server(must(enroll.NewStaticSource(serverCert, ca.Trust())), mtls.AuthorizeRole(policy.Merchant), &testca.Status{}))
				client := must(mtls.Client(must(enroll.NewStaticSource(clientCert, ca.Trust())), mtls.AuthorizeRole(policy.Gateway), &testca.Status{}))
				client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				clientErr, serverErr := handshake(t, client, server)
				refusal := serverErr
				if demanding == "server" {
					refusal = clientErr
				}
				v, refused := errors.AsType[*policy.Violation](refusal)
				switch {
				case tt.ok && (clientErr != nil || serverErr != nil):
					t.Errorf("%s: got client %v, server %v, want a connection", demanding, clientErr, serverErr)
				case !tt.ok && (!refused || v.Rule != "must-staple"):
					t.Errorf("%s: got client %v, server %v, want rule must-staple", demanding, clientErr, serverErr)
				}
				if tt.ok { // a resumed connection has no staple of its own
					if clientErr, serverErr := handshake(t, client, server); clientErr != nil || serverErr != nil {
						t.Errorf("%s: resumed: got client %v, server %v", demanding, clientErr, serverErr)
					}
				}
			}
		})
	}
}

// Revoked stands above every staple.
func TestARevokedPartyIsRefusedWithItsGoodStaple(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	r := ca.Responder(t, nil)
	url := r.Start(t)
	l := shop1
	l.OCSP = url
	client := stapling(t, ca, r, l)
	checker := must(ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1}))
	handler := mtls.Handler(mtls.HandlerConfig{
		Trust: ca.Trust(), Authorize: mtls.AuthorizeRole(policy.Merchant), Status: leavesOnly(checker),
	}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server := serve(t, must(mtls.Server(ca.Source(t, gw1), mtls.AuthorizeRole(policy.Merchant), leavesOnly(checker))), false, handler)
	caller := &http.Client{Transport: must(mtls.Transport(client, mtls.AuthorizeRole(policy.Gateway), &testca.Status{})), Timeout: 10 * time.Second}
	if _, err := get(caller, server); err != nil {
		t.Fatal(err)
	}
	r.Revoke(policy.MerchantCA, must(client.Certificate()).Leaf)
	caller.CloseIdleConnections() // the staple that it has still says good
	_, err := get(caller, server)
	if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Name() != "certificate-revoked" {
		t.Errorf("got %v, want certificate-revoked at the first request", err)
	}
}

func TestOpenSSLSeesTheStaple(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
			t.Fatal("openssl is missing, and PAYCA_REQUIRE_TOOLS wants it")
		}
		t.Skip("openssl is missing")
	}
	ca := testca.New(t)
	r := ca.Responder(t, nil)
	l := gw1
	l.MustStaple = true
	server := stapling(t, ca, r, l)
	url := serve(t, must(mtls.Server(server, mtls.AuthorizeRole(policy.Merchant), &testca.Status{})), false, http.NotFoundHandler())
	dir := t.TempDir()
	shop := ca.Issue(t, shop1)
	key := must(x509.MarshalPKCS8PrivateKey(shop.PrivateKey))
	var chain []byte
	for _, der := range shop.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	for name, data := range map[string][]byte{
		"root.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Root.Raw}),
		"key.pem":  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), "cert.pem": chain,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "openssl", "s_client", "-connect", strings.TrimPrefix(url, "https://"), "-status", "-tls1_3",
		"-CAfile", "root.pem", "-cert", "cert.pem", "-cert_chain", "cert.pem", "-key", "key.pem", "-verify_return_error")
	cmd.Dir, cmd.Stdin = dir, strings.NewReader("Q\n")
	out, err := cmd.CombinedOutput()
	for _, want := range []string{"OCSP Response Status: successful", "Cert Status: good", "Verify return code: 0 (ok)"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("openssl (%v) says nothing of %q:\n%s", err, want, out)
		}
	}
}
