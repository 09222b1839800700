package paytest_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/paytest"
)

// followers gives each node a feed of its own.
type followers struct {
	t      *testing.T
	feeds  map[string]*feed.Client
	follow bool        // they read the list by themselves
	cut    atomic.Bool // the list cannot be reached
}

// RoundTrip implements http.RoundTripper.
func (f *followers) RoundTrip(r *http.Request) (*http.Response, error) {
	if f.cut.Load() {
		return nil, http.ErrServerClosed
	}
	return http.DefaultTransport.RoundTrip(r)
}

func (f *followers) feedFor(net *catest.Network, node string) *feed.Client {
	c, err := feed.NewClient(feed.Config{URL: net.StatusURL, Key: net.StatusKey, HTTP: &http.Client{Transport: f}})
	if err != nil {
		f.t.Fatal(err)
	}
	f.feeds[node] = c
	if f.follow {
		go func() { _ = c.Run(f.t.Context()) }()
	} else if !f.cut.Load() {
		if err := c.Refresh(f.t.Context()); err != nil {
			f.t.Fatal(err)
		}
	}
	return c
}

func newFollowers(t *testing.T, follow bool) (*followers, *paytest.World) {
	t.Helper()
	f := &followers{t: t, feeds: map[string]*feed.Client{}, follow: follow}
	return f, paytest.New(t, paytest.Options{NoSync: true, FeedFor: f.feedFor})
}

// A party that was revoked is refused at the next message, although nobody connects anew, as soon as one of the two sides has heard of
// it.
func TestTheFeedEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	_, w := newFollowers(t, true)
	w.Buy(t, 1, consumer.Choice{})
	w.Net.Revoke(t, w.Shop.Cert.Leaf, ca.KeyCompromise)
	deadline := time.Now().Add(time.Second) // the promise
	for {
		_, err := w.Consumer.Catalogue(t.Context(), w.Shop.URI)
		if err != nil {
			if !strings.Contains(err.Error(), "revoked") {
				t.Errorf("got %v, want that the merchant is revoked", err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a second later the revoked merchant is still believed")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Who does not follow the list by itself hears of it from the other side, before it acts.
func TestAnEpochIsHeardFromOthers(t *testing.T) {
	t.Parallel()
	f, w := newFollowers(t, false)
	w.Buy(t, 1, consumer.Choice{})
	w.Net.Revoke(t, w.Shop.Cert.Leaf, ca.KeyCompromise)
	if err := f.feeds[w.GW.ID].Refresh(t.Context()); err != nil { // the gateway alone has heard of it
		t.Fatal(err)
	}
	before := f.feeds[w.School.ID].Epoch()
	var v agent.View
	_ = w.Consumer.Fetch(t.Context(), w.GW.URI, "/payments/"+payment.NewID(time.Now()), 0, &v) // there is none; the reply announces
	if after := f.feeds[w.School.ID].Epoch(); after != before+1 {
		t.Errorf("the consumer has read %d changes, want %d, as the gateway announced", after, before+1)
	}
	if _, err := w.Consumer.Catalogue(t.Context(), w.Shop.URI); err == nil || !strings.Contains(err.Error(), "revoked") {
		t.Errorf("got %v, want that the merchant is revoked", err)
	}
}

// Without a checkpoint that holds nobody does anything for others (N41).
func TestWithoutACheckpointNothingIsDone(t *testing.T) {
	t.Parallel()
	f, w := newFollowers(t, false)
	w.Buy(t, 1, consumer.Choice{})
	f.cut.Store(true)
	if _, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1)); err != nil {
		t.Errorf("while the checkpoint holds: %v", err)
	}
	w.Shop.Stop(t)
	w.Shop.Start(t) // it has none at all
	if _, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1)); agent.CodeOf(err) != payment.StatusUnknown {
		t.Errorf("without a checkpoint: got %v, want status_unknown", err)
	}
	f.cut.Store(false)
	if _, err := w.Consumer.Order(t.Context(), w.Shop.URI, w.Terms(1)); err != nil {
		t.Errorf("with the status service back: %v", err)
	}
}
