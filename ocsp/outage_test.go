package ocsp_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
)

// down takes the OCSP responder away.
func (n *network) down() {
	n.replace(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "down", http.StatusServiceUnavailable) })
}

// up brings it back.
func (n *network) up() { n.ocsp.Store(nil) }

// Case 57: the list has ended and OCSP is down; the operation decides, and both outcomes are logged.
func TestCase57WithNothingKnownTheOperationDecidesAndBothAreLogged(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	leaf := n.leaf(t, 1, true, true)
	n.mark(leaf, ocsp.Good, 0)
	n.publish(t, 1)
	n.down()
	n.pass(2 * time.Hour) // past the list's nextUpdate
	var log bytes.Buffer
	authorising := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	enquiring := authorising.As(ocsp.SoftFail)
	n.want(t, authorising, leaf, nil, "unknown")
	n.pass(2 * time.Second)
	n.want(t, enquiring, leaf, nil, "unknown by none")
	n.want(t, enquiring, leaf, nil, "unknown by none")
	n.want(t, authorising, leaf, nil, "unknown") // what one mode learned is no consent in the other
	if got := authorising.SoftFails(); got != 1 {
		t.Errorf("counted %d soft fails, want 1", got)
	}
	serial := leaf.SerialNumber.Text(16)
	for _, want := range []string{"refused\" serial=" + serial + " mode=hard-fail", "admitted\" serial=" + serial + " mode=soft-fail"} {
		if strings.Count(log.String(), want) != 1 {
			t.Errorf("log has %d of %q, want one:\n%s", strings.Count(log.String(), want), want, log.String())
		}
	}
	n.mark(leaf, ocsp.Revoked, 1)
	n.up()
	n.pass(2 * time.Second)
	n.want(t, enquiring, leaf, nil, "revoked by ocsp") // in every mode
}

func TestAnOutageIsForgottenAtOnceWhenItIsOver(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.MaxAge = time.Hour })
	leaf, late := n.leaf(t, 1, true, false), n.leaf(t, 2, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.down()
	n.want(t, c, leaf, nil, "unknown")
	n.up()
	n.want(t, c, late, nil, "denied") // the responder has not heard of it yet
	n.mark(late, ocsp.Good, 0)
	n.pass(2 * time.Second)
	n.want(t, c, leaf, nil, "good by ocsp")
	n.want(t, c, late, nil, "good by ocsp")
}

func TestClocksThatDifferByAMinuteAreBorne(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		by   time.Duration // of the checker's clock against the responder's
		want string
	}{
		"right":                {0, "good by ocsp"},
		"a minute slow":        {-time.Minute, "good by ocsp"},
		"a minute fast":        {time.Minute, "good by ocsp"},
		"an hour slow":         {-time.Hour, "unknown"},
		"a day fast":           {24 * time.Hour, "unknown"},
		"a minute slow, lists": {-time.Minute, "good by crl"},
		"a minute fast, lists": {time.Minute, "good by crl"},
		"a day fast, lists":    {24 * time.Hour, "unknown"},
		"an hour slow, lists":  {-time.Hour, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			lists := strings.HasSuffix(name, "lists")
			leaf := n.leaf(t, 1, !lists, lists)
			n.mark(leaf, ocsp.Good, 0)
			n.publish(t, 1)
			c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Now = fixed(epoch.Add(tt.by)) })
			n.want(t, c, leaf, nil, tt.want)
		})
	}
}

func TestASecondResponderIsAskedWhileTheFirstIsSlow(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	hang := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() }))
	t.Cleanup(hang.Close)
	leaf := n.ca.issue(t, 1, newKey(t, "P-256").Public(), func(c *x509.Certificate) {
		c.OCSPServer = []string{hang.URL, n.url + "/ocsp/merchant"}
	})
	n.mark(leaf, ocsp.Good, 0)
	begun := time.Now()
	n.want(t, n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Timeout = 20 * time.Second }), leaf, nil, "good by ocsp")
	if took := time.Since(begun); took > 15*time.Second {
		t.Errorf("took %v, want the second to be asked after a quarter of the timeout", took)
	}
}

func TestACheckTakesNoLongerThanItsBudgetAndItsAnswerServesTheNext(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	leaf := n.leaf(t, 1, true, false)
	n.mark(leaf, ocsp.Good, 0)
	open := make(chan struct{})
	n.replace(func(w http.ResponseWriter, req *http.Request) {
		<-open
		n.r.ServeHTTP(w, req)
	})
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Timeout, cfg.Budget = time.Minute, 50*time.Millisecond })
	begun := time.Now()
	n.want(t, c, leaf, nil, "unknown")
	n.want(t, c.As(ocsp.SoftFail), leaf, nil, "unknown by none")
	if took := time.Since(begun); took > 10*time.Second {
		t.Errorf("took %v, want the budget of 50ms each", took)
	}
	close(open)
	deadline := time.Now().Add(10 * time.Second)
	for outcome(c.Check(t.Context(), leaf, n.ca.cert, nil)) != "good by ocsp" {
		if time.Now().After(deadline) {
			t.Fatal("the answer came late and was lost")
		}
	}
	if got := n.asked.Load(); got != 1 {
		t.Errorf("asked %d times, want once", got)
	}
}

func TestStapledOnlyAsksNobody(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	leaf, issuing := n.leaf(t, 1, true, true), n.ca.issue(t, 2, newKey(t, "P-256").Public(), func(c *x509.Certificate) {
		c.IsCA, c.BasicConstraintsValid, c.CRLDistributionPoints = true, true, []string{n.url + "/crl/root.crl"}
	})
	n.mark(leaf, ocsp.Good, 0)
	n.publish(t, 1)
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Mode = ocsp.StapledOnly })
	good := mustSign(t, n.ca.signer(t, "P-256"), epoch, nil, fresh(t, leaf, n.ca.cert))
	n.want(t, c, leaf, nil, "unknown")
	n.want(t, c, leaf, []byte("junk"), "unknown")
	n.want(t, c, leaf, good, "good by staple")
	n.want(t, c, leaf, nil, "good by staple") // on the connection that it came with
	n.pass(56 * time.Minute)
	n.want(t, c, leaf, nil, "unknown")
	if n.asked.Load()+n.fetched.Load() != 0 {
		t.Error("somebody was asked")
	}
	n.want(t, c, issuing, nil, "good by crl")

	n.set(epoch)
	n.mark(leaf, ocsp.Revoked, 1)
	n.pass(2 * time.Second)
	n.want(t, c.As(ocsp.HardFail), leaf, nil, "revoked by ocsp")
	n.want(t, c, leaf, good, "revoked by ocsp") // whoever learned it
}

func TestAShortLivedCertificateIsNotAskedForIfPolicyAllowsIt(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	noRevAvail := pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 56}, Value: []byte{5, 0}}
	leaf := func(serial int64, life time.Duration, exts ...pkix.Extension) *x509.Certificate {
		return n.ca.issue(t, serial, newKey(t, "P-256").Public(), func(c *x509.Certificate) {
			c.NotBefore, c.NotAfter, c.ExtraExtensions = epoch, epoch.Add(life), exts
		})
	}
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.ShortLived = 24 * time.Hour })
	n.want(t, c, leaf(1, 24*time.Hour, noRevAvail), nil, "good by short-lived")
	n.want(t, c, leaf(2, 25*time.Hour, noRevAvail), nil, "unknown")
	n.want(t, c, leaf(3, time.Hour), nil, "unknown")
	n.want(t, n.checker(t, nil), leaf(4, time.Hour, noRevAvail), nil, "unknown")
}

func TestOnlyHostsThatAreAllowedAreAsked(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	leaf := n.leaf(t, 1, true, true)
	n.mark(leaf, ocsp.Good, 0)
	n.publish(t, 1)
	n.want(t, n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Hosts = []string{"ocsp.pay.example"} }), leaf, nil, "unknown")
	if n.asked.Load()+n.fetched.Load() != 0 {
		t.Error("another host was asked")
	}
	n.want(t, n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Hosts = []string{"127.0.0.1"} }), leaf, nil, "good by ocsp")
}

// changes is a feed whose server can be cut off.
type changes struct {
	key ed25519.PrivateKey
	now func() time.Time

	mu   sync.Mutex
	list []feed.Change
	cut  bool
}

func (c *changes) VerifierKey() string      { return must(feed.VerifierKey("pay.example/status", c.key)) }
func (c *changes) Changed() <-chan struct{} { return nil }

func (c *changes) Changes(_ context.Context, after uint64, limit int) ([]feed.Change, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, errors.New("cut off")
	}
	list := c.list[min(after, uint64(len(c.list))):]
	return list[:min(limit, len(list))], nil
}

func (c *changes) Checkpoint(context.Context) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	point := feed.Checkpoint{Origin: "pay.example/status", Epoch: uint64(len(c.list)), Signed: c.now(), Expires: c.now().Add(10 * time.Minute)}
	for _, change := range c.list {
		point.Hash = point.Hash.Next(change)
	}
	return point.Sign(c.key)
}

func (c *changes) add(leaf *x509.Certificate, state feed.State) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, feed.Change{Epoch: uint64(len(c.list)) + 1, Issuer: "merchant", Serial: leaf.SerialNumber.Text(16), State: state, Reason: 1, At: epoch})
}

func (c *changes) sever() { c.mu.Lock(); c.cut = true; c.mu.Unlock() }

func newChanges(t *testing.T, n *network) (*changes, *feed.Client) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &changes{key: key, now: n.clock}
	server := httptest.NewServer(feed.Handler(c))
	t.Cleanup(server.Close)
	client, err := feed.NewClient(feed.Config{URL: server.URL, Key: c.VerifierKey(), HTTP: server.Client(), Now: n.clock})
	if err != nil {
		t.Fatal(err)
	}
	return c, client
}

func TestTheFeedComesFirstAndACutFeedVouchesForNothing(t *testing.T) {
	t.Parallel()
	n := newNetwork(t)
	list, client := newChanges(t, n)
	refresh := func() {
		if err := client.Refresh(t.Context()); err != nil {
			t.Error(err)
		}
	}
	refresh()
	n.pass(2 * time.Second)
	c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Feed = client })
	leaf, other := n.leaf(t, 1, true, false), n.leaf(t, 2, true, false)
	n.mark(leaf, ocsp.Good, 0)
	n.mark(other, ocsp.Good, 0)
	n.want(t, c, leaf, nil, "good by ocsp")
	n.pass(5 * time.Minute) // far past MaxAge
	n.want(t, c, leaf, nil, "good by ocsp")
	if got := n.asked.Load(); got != 1 {
		t.Errorf("asked %d times though the feed told of no change, want once", got)
	}
	single := fresh(t, other, n.ca.cert)
	single.ThisUpdate, single.NextUpdate = n.clock(), n.clock().Add(time.Hour)
	staple := mustSign(t, n.ca.signer(t, "P-256"), n.clock(), nil, single)
	n.want(t, c, other, staple, "good by staple")
	list.add(other, feed.Held)
	refresh()
	n.want(t, c, other, staple, "revoked by feed") // whatever the staple says
	n.want(t, c.As(ocsp.SoftFail), other, nil, "revoked by feed")
	n.want(t, c.As(ocsp.StapledOnly), other, staple, "revoked by feed")

	list.sever()
	n.down()
	if err := client.Refresh(t.Context()); err == nil {
		t.Error("a feed that is cut off: got no error")
	}
	n.want(t, c, leaf, nil, "good by ocsp") // the checkpoint still holds
	n.pass(11 * time.Minute)
	n.want(t, c, leaf, nil, "unknown")
	n.want(t, c, other, nil, "revoked by feed") // that it was told of stays
	n.up()
	n.pass(2 * time.Second)
	n.want(t, c, leaf, nil, "good by ocsp") // a cut feed is no worse than none
}
