package ocsp_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// network is a CA with a status server whose answers a test can replace.
type network struct {
	ca      *authority
	src     *book
	r       *ocsp.Responder
	url     string
	ocsp    atomic.Pointer[http.Handler] // replaces the responder
	crl     atomic.Pointer[[]byte]       // nil: 404
	asked   atomic.Int64                 // OCSP requests
	fetched atomic.Int64                 // CRL requests
	now     atomic.Pointer[time.Time]
}

func newNetwork(t *testing.T) *network {
	t.Helper()
	n := &network{ca: newAuthority(t, "merchant ca", "P-256"), src: &book{}}
	n.set(epoch)
	n.r = newResponder(t, n.ca, n.src, func(cfg *ocsp.ResponderConfig) { cfg.Now = n.clock })
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if strings.HasPrefix(req.URL.Path, "/crl/") {
			n.fetched.Add(1)
			if der := n.crl.Load(); der != nil {
				_, _ = w.Write(*der)
				return
			}
			http.NotFound(w, req)
			return
		}
		n.asked.Add(1)
		if h := n.ocsp.Load(); h != nil {
			(*h).ServeHTTP(w, req)
			return
		}
		n.r.ServeHTTP(w, req)
	}))
	t.Cleanup(server.Close)
	n.url = server.URL
	return n
}

func (n *network) clock() time.Time     { return *n.now.Load() }
func (n *network) set(at time.Time)     { n.now.Store(&at) }
func (n *network) pass(d time.Duration) { n.set(n.clock().Add(d)) }
func (n *network) replace(h http.HandlerFunc) {
	handler := http.Handler(h)
	n.ocsp.Store(&handler)
}

// leaf issues a certificate that names OCSP, and a CRL if withCRL.
func (n *network) leaf(t *testing.T, serial int64, withOCSP, withCRL bool) *x509.Certificate {
	t.Helper()
	return n.ca.issue(t, serial, newKey(t, "P-256").Public(), func(c *x509.Certificate) {
		if withOCSP {
			c.OCSPServer = []string{n.url + "/ocsp/merchant"}
		}
		if withCRL {
			c.CRLDistributionPoints = []string{n.url + "/crl/merchant.crl"}
		}
	})
}

func (n *network) checker(t *testing.T, edit func(*ocsp.CheckerConfig)) *ocsp.Checker {
	t.Helper()
	cfg := ocsp.CheckerConfig{AllowPrivate: true, Now: n.clock}
	if edit != nil {
		edit(&cfg)
	}
	c, err := ocsp.NewChecker(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (n *network) mark(leaf *x509.Certificate, state ocsp.State, reason int) {
	st := ocsp.Status{State: state, Since: n.clock()}
	if state == ocsp.Revoked {
		st.Reason, st.RevokedAt = reason, n.clock()
	}
	n.src.set("merchant", leaf, st)
	n.r.Drop("merchant", leaf.SerialNumber.Bytes())
}

func (n *network) publish(t *testing.T, number uint64, list ...ocsp.Entry) {
	t.Helper()
	c := n.ca.crl(number)
	c.ThisUpdate, c.NextUpdate = n.clock(), n.clock().Add(time.Hour)
	der := n.ca.signCRL(t, c, list...)
	n.crl.Store(&der)
}

// outcome names what Check said.
func outcome(v ocsp.Verdict, err error) string {
	var revoked *ocsp.RevokedError
	var unknown *ocsp.UnknownError
	switch {
	case errors.As(err, &revoked) && revoked.OnHold():
		return "hold by " + v.Source
	case errors.As(err, &revoked):
		return "revoked by " + v.Source
	case errors.As(err, &unknown) && unknown.Denied:
		return "denied"
	case errors.As(err, &unknown):
		return "unknown"
	case err != nil:
		return err.Error()
	}
	return v.State.String() + " by " + v.Source
}

func (n *network) want(t *testing.T, c *ocsp.Checker, leaf *x509.Certificate, staple []byte, want string) {
	t.Helper()
	if got := outcome(c.Check(t.Context(), leaf, n.ca.cert, staple)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCheckerFollowsTheResponder(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.want(t, c, leaf, nil, "good by ocsp")
	n.want(t, c, leaf, nil, "good by ocsp")
	if got := n.asked.Load(); got != 1 {
		t.Errorf("asked %d times within MaxAge, want once", got)
	}
	n.pass(2 * time.Second)
	n.mark(leaf, ocsp.Revoked, 6)
	n.want(t, c, leaf, nil, "hold by ocsp")
	n.pass(2 * time.Second)
	n.mark(leaf, ocsp.Good, 0)
	n.want(t, c, leaf, nil, "good by ocsp")
	n.pass(2 * time.Second)
	n.mark(leaf, ocsp.Revoked, 1)
	n.want(t, c, leaf, nil, "revoked by ocsp")
	asked := n.asked.Load()
	n.mark(leaf, ocsp.Good, 0) // a responder that takes a final revocation back is not believed
	n.pass(48 * time.Hour)
	n.want(t, c, leaf, nil, "revoked by ocsp")
	if got := n.asked.Load(); got != asked {
		t.Errorf("asked about a certificate that is revoked for good")
	}
	never := n.leaf(t, 2, true, false)
	n.want(t, c, never, nil, "denied")
}

func TestCheckerWithoutReuseSeesARevocationAtOnce(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.MaxAge = -1 })
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.want(t, c, leaf, nil, "good by ocsp")
	n.mark(leaf, ocsp.Revoked, 4)
	n.want(t, c, leaf, nil, "revoked by ocsp")
}

func TestCheckerTurnsToTheCRL(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	both, only := n.leaf(t, 1, true, true), n.leaf(t, 2, false, true)
	listed := n.leaf(t, 3, false, true)
	n.replace(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) })
	n.publish(t, 5, ocsp.Entry{Serial: listed.SerialNumber.Bytes(), At: epoch, Reason: 1})
	n.want(t, c, both, nil, "good by crl")
	n.want(t, c, only, nil, "good by crl")
	n.want(t, c, listed, nil, "revoked by crl")
	if got := n.fetched.Load(); got != 1 {
		t.Errorf("fetched the CRL %d times, want once", got)
	}
	n.pass(2 * time.Hour) // the list is stale now, and the server still has it
	n.want(t, c, only, nil, "unknown")
	n.want(t, c, listed, nil, "revoked by crl")
	n.publish(t, 4)
	n.pass(2 * time.Second)
	n.want(t, c, only, nil, "unknown") // the number went back
	n.publish(t, 6)
	n.pass(2 * time.Second)
	n.want(t, c, only, nil, "good by crl")
}

func TestCheckerChecksAnIssuingCAByTheRootsCRL(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	issuing := n.ca.issue(t, 1, newKey(t, "P-256").Public(), func(cert *x509.Certificate) {
		cert.IsCA, cert.BasicConstraintsValid = true, true
		cert.CRLDistributionPoints = []string{n.url + "/crl/root.crl"}
	})
	n.publish(t, 1)
	n.want(t, c, issuing, nil, "good by crl")
	if n.asked.Load() != 0 {
		t.Error("asked an OCSP responder")
	}
}

func TestCheckerModes(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	soft := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Mode = ocsp.SoftFail })
	hard := n.checker(t, nil)
	held, bare, never, final := n.leaf(t, 1, true, true), n.leaf(t, 2, false, false), n.leaf(t, 3, true, false), n.leaf(t, 4, true, false)
	n.mark(held, ocsp.Revoked, 6)
	n.mark(final, ocsp.Revoked, 1)
	n.want(t, soft, bare, nil, "unknown by none")
	n.want(t, hard, bare, nil, "unknown")
	n.want(t, soft, never, nil, "denied")
	n.want(t, soft, held, nil, "hold by ocsp")
	n.want(t, soft, final, nil, "revoked by ocsp")
	n.replace(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) })
	n.pass(2 * time.Second)
	n.want(t, soft, held, nil, "hold by ocsp") // as long as that answer is valid
	n.want(t, soft, final, nil, "revoked by ocsp")
	n.pass(2 * time.Hour)
	n.want(t, soft, held, nil, "unknown by none")
	n.want(t, soft, final, nil, "revoked by ocsp")
	if got := soft.SoftFails(); got != 2 {
		t.Errorf("counted %d soft fails, want 2", got)
	}
}

func TestCheckerStaples(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	s := n.ca.signer(t, "P-256")
	leaf, other := n.leaf(t, 1, true, false), n.leaf(t, 2, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.mark(other, ocsp.Good, 0)
	single := fresh(t, leaf, n.ca.cert)
	good := mustSign(t, s, epoch, nil, single)
	n.want(t, c, leaf, good, "good by staple")
	n.want(t, c, leaf, good, "good by staple")
	if n.asked.Load() != 0 {
		t.Error("asked the responder in spite of a staple")
	}
	n.want(t, c, leaf, nil, "good by ocsp") // a staple answers only for those who present it
	n.want(t, c, other, good, "good by ocsp")
	n.want(t, c, leaf, []byte("junk"), "good by ocsp")

	n.mark(leaf, ocsp.Revoked, 6)
	n.pass(2 * time.Second)
	n.want(t, c, leaf, nil, "hold by ocsp")
	n.want(t, c, leaf, good, "hold by ocsp") // an older good staple does not lift a hold
	n.pass(2 * time.Hour)
	n.want(t, c, leaf, good, "hold by ocsp") // nor does a stale one

	bad := fresh(t, other, n.ca.cert)
	bad.ThisUpdate, bad.NextUpdate = n.clock(), n.clock().Add(time.Hour)
	bad.State, bad.Reason, bad.RevokedAt = ocsp.Revoked, 1, n.clock()
	n.want(t, c, other, mustSign(t, s, n.clock(), nil, bad), "revoked by staple")
	n.want(t, c, other, nil, "revoked by staple")
}

func TestCheckerAsksOnceForManyAndSurvivesAnImpatientCaller(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Good, 0)
	entered, open := make(chan struct{}, 64), make(chan struct{})
	n.replace(func(w http.ResponseWriter, req *http.Request) {
		entered <- struct{}{}
		<-open
		n.r.ServeHTTP(w, req)
	})
	ctx, cancel := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := c.Check(ctx, leaf, n.ca.cert, nil)
		first <- err
	}()
	<-entered
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want canceled", err)
	}
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() { n.want(t, c, leaf, nil, "good by ocsp") })
	}
	close(open)
	callers.Wait()
	if got := n.asked.Load(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

func TestCheckerRefusesHalfAQuestion(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, nil)
	leaf := n.leaf(t, 1, true, false)
	if _, err := c.Check(t.Context(), nil, n.ca.cert, nil); err == nil {
		t.Error("no certificate: got nil, want an error")
	}
	if _, err := c.Check(t.Context(), leaf, newAuthority(t, "x", "P-256").cert, nil); err == nil {
		t.Error("another issuer: got nil, want an error")
	}
	for _, cfg := range []ocsp.CheckerConfig{{Mode: 7}, {Timeout: -1}, {Skew: -1}} {
		if _, err := ocsp.NewChecker(cfg); err == nil {
			t.Errorf("%+v: got nil, want an error", cfg)
		}
	}
}

// The memory is bounded; what is forgotten is asked again.
func TestCheckerForgetsTheLeastRecent(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("issues thousands of certificates")
	}
	n := newNetwork(t)
	c := n.checker(t, nil)
	key := newKey(t, "P-256").Public()
	first := n.leaf(t, 1, true, false)
	n.mark(first, ocsp.Good, 0)
	n.want(t, c, first, nil, "good by ocsp")
	for serial := range int64(4096) {
		n.want(t, c, n.ca.issue(t, serial+2, key, nil), nil, "unknown")
	}
	n.want(t, c, first, nil, "good by ocsp")
	if got := n.asked.Load(); got != 2 {
		t.Errorf("asked %d times, want twice", got)
	}
}
