package status_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// get fetches from the status service.
func get(t *testing.T, method, url, etag string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}

func TestEveryPathThatCertificatesCarryIsServed(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	leaf := n.Enroll(t, "shop1", policy.Merchant).Leaf
	issuer := n.Issuer(t, policy.MerchantCA).Certificate
	for _, url := range []string{leaf.CRLDistributionPoints[0], leaf.IssuingCertificateURL[0], issuer.CRLDistributionPoints[0], issuer.IssuingCertificateURL[0]} {
		resp, body := get(t, http.MethodGet, url, "")
		if resp.StatusCode != http.StatusOK || len(body) == 0 || resp.Header.Get("ETag") == "" {
			t.Errorf("%s: got %s with %d octets, ETag %q", url, resp.Status, len(body), resp.Header.Get("ETag"))
		}
		if again, _ := get(t, http.MethodGet, url, resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag: got %s, want 304", url, again.Status)
		}
		if posted, _ := get(t, http.MethodPost, url, ""); posted.StatusCode != http.StatusMethodNotAllowed || posted.Header.Get("Allow") == "" {
			t.Errorf("POST %s: got %s, Allow %q, want 405", url, posted.Status, posted.Header.Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/crl/", "/crl/nobody.crl", "/ca/merchant", "/crl/../ca/root.crt"} {
		if resp, _ := get(t, http.MethodGet, n.StatusURL+path, ""); resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: got %s, want 404", path, resp.Status)
		}
	}
}

// A revocation is in OCSP when the call returns, and in the CRL within a
// second even if nobody publishes it.
func TestARevocationReachesOCSPAtOnceAndTheCRLByItself(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	leaf := n.Enroll(t, "shop1", policy.Merchant).Leaf
	issuer := n.Issuer(t, policy.MerchantCA).Certificate
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Status.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	state := func(ask func(*ocsp.Checker) (ocsp.Verdict, error)) ocsp.State {
		checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1})
		if err != nil {
			t.Fatal(err)
		}
		verdict, err := ask(checker)
		if err != nil {
			t.Fatal(err)
		}
		return verdict.State
	}
	byOCSP := func(c *ocsp.Checker) (ocsp.Verdict, error) { return c.AskOCSP(ctx, leaf, issuer) }
	byCRL := func(c *ocsp.Checker) (ocsp.Verdict, error) { return c.AskCRL(ctx, leaf, issuer) }
	if a, b := state(byOCSP), state(byCRL); a != ocsp.Good || b != ocsp.Good {
		t.Fatalf("before: OCSP says %s, CRL %s", a, b)
	}
	before := n.Status.Issuers()
	n.Revoke(t, leaf, ca.KeyCompromise)
	if got := state(byOCSP); got != ocsp.Revoked {
		t.Errorf("after the revocation returned: OCSP says %s", got)
	}
	deadline := time.Now().Add(10 * time.Second)
	for state(byCRL) != ocsp.Revoked {
		if time.Now().After(deadline) {
			t.Fatal("the CRL does not list the certificate")
		}
		time.Sleep(50 * time.Millisecond)
	}
	for i, is := range n.Status.Issuers() {
		if grew := is.CRLNumber > before[i].CRLNumber; grew != (is.Name == policy.MerchantCA) {
			t.Errorf("CRL of the %s CA: number %d, was %d", is.Name, is.CRLNumber, before[i].CRLNumber)
		}
	}
}

func TestHalfAConfigurationIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := status.New(status.Config{}); err == nil {
		t.Error("a service without store and root was made")
	}
}
