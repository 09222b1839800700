package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// idempotencyHeader names an operation; the reply to one that was done before carries replayedHeader.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotent-Replayed"
)

// maxReply is how much of a reply is read.
const maxReply = 1 << 20

// A caller calls the other agents, each over connections on which only that party is accepted.
type caller struct {
	agent *Agent
	peers map[string]*line
}

// A line leads to one peer.
type line struct {
	url       string
	transport *mtls.HTTPTransport
	client    *http.Client
}

func newCaller(a *Agent) (*caller, error) {
	c := &caller{agent: a, peers: map[string]*line{}}
	for _, peer := range a.cfg.Peers {
		if _, err := identityOf(peer.URI, a.self.Network); err != nil {
			return nil, err
		}
		u, err := url.Parse(peer.URL)
		if err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, fmt.Errorf("peer %s has URL %q, want https://HOST[:PORT]", peer.URI, peer.URL)
		}
		l, err := a.newLine(peer)
		if err != nil {
			return nil, err
		}
		l.url = strings.TrimSuffix(peer.URL, "/")
		c.peers[peer.URI] = l
	}
	return c, nil
}

func (a *Agent) newLine(peer Peer) (*line, error) {
	only := func(p *policy.Peer) error {
		if p.Identity.String() == peer.URI {
			return nil
		}
		return &policy.Violation{Rule: "authorized-party", Field: "server", Got: p.Identity.String(), Want: peer.URI}
	}
	t, err := mtls.Transport(a.cfg.Source, only, a.cfg.Status)
	if err != nil {
		return nil, err
	}
	if peer.Address != "" {
		t.DialContext(func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, peer.Address)
		})
	}
	l := &line{transport: t, client: &http.Client{Transport: t}}
	if a.cfg.Calling != nil {
		l.client.Transport = a.cfg.Calling(t)
	}
	return l, nil
}

func (c *caller) close() {
	for _, l := range c.peers {
		l.transport.CloseIdleConnections()
	}
}

// Peers lists the peers that the agent knows.
func (a *Agent) Peers() []Peer { return a.cfg.Peers }

// Send sends in to a peer as the operation of that key and reads the reply into out. An operation may be sent
// again: the peer answers what it answered before. The error is a *problem.Problem for a refusal, else what kept
// the peer from being reached.
func (a *Agent) Send(ctx context.Context, to, path, key string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	ctx, cancel := a.limit(ctx, 0)
	defer cancel()
	a.reached("sending", key)
	defer a.reached("sent", key)
	for {
		err := a.exchange(ctx, http.MethodPost, to, path, key, body, out)
		if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Name() != string(payment.InFlight) {
			return err
		}
		select { // the same operation is under way there
		case <-time.After(inFlightPause):
		case <-ctx.Done():
			return err
		}
	}
}

// patienceHeader says for how many milliseconds the caller waits for the answer.
const patienceHeader = "Pay-Patience"

// patienceKey is of the time, in a context, until when the caller of this agent waits.
type patienceKey struct{}

// patient notes how long the caller waits, so that calls made for it end before: then the answer names the party that
// did not answer, and not the one that waited for it. Who claims to wait for next to nothing is not believed.
func (a *Agent) patient(ctx context.Context, header string) context.Context {
	ms, err := strconv.ParseInt(header, 10, 32)
	if err != nil {
		return ctx
	}
	wait := max(time.Duration(ms)*time.Millisecond, a.cfg.Timeout/8)
	return context.WithValue(ctx, patienceKey{}, time.Now().Add(wait))
}

// limit gives a call its time: that of the configuration and what is added, but at most four fifths of what the caller has left.
func (a *Agent) limit(ctx context.Context, more time.Duration) (context.Context, context.CancelFunc) {
	timeout := a.cfg.Timeout + more
	if until, ok := ctx.Value(patienceKey{}).(time.Time); ok {
		timeout = min(timeout, max(time.Until(until)*4/5, a.cfg.Timeout/16))
	}
	return context.WithTimeout(ctx, timeout)
}

// inFlightPause is between two questions whether an operation under way has ended.
const inFlightPause = 50 * time.Millisecond

// Fetch reads path at a peer into out, waiting for at most wait longer than usual.
func (a *Agent) Fetch(ctx context.Context, to, path string, wait time.Duration, out any) error {
	ctx, cancel := a.limit(ctx, wait)
	defer cancel()
	return a.exchange(ctx, http.MethodGet, to, path, "", nil, out)
}

func (a *Agent) exchange(ctx context.Context, method, to, path, key string, body []byte, out any) error {
	l := a.calls.peers[to]
	if l == nil {
		return payment.Refuse(payment.Unavailable, "peer", to, "one of the peers in the configuration")
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, l.url+path, reader)
	if err != nil {
		return err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(idempotencyHeader, key)
		if deadline, ok := ctx.Deadline(); ok {
			req.Header.Set(patienceHeader, strconv.FormatInt(max(0, time.Until(deadline).Milliseconds()), 10))
		}
	}
	a.announce(req.Header)
	resp, err := l.client.Do(req)
	if err != nil {
		return &payment.Refusal{Code: payment.Unavailable, Field: "peer", Got: to + ", not reached", Want: "an answer; ask again", Err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	if err := a.catchUp(ctx, resp.Header); err != nil {
		return Unusable(err, to)
	}
	if err := problem.Read(resp); err != nil {
		return err
	}
	raw, err := problem.ReadAll(io.LimitReader(resp.Body, maxReply), resp.ContentLength)
	if err != nil {
		return Unusable(err, to)
	}
	if out == nil {
		return nil
	}
	if m, ok := out.(*Message); ok {
		if *m, err = strictjson.Texts[payment.Kind](raw); err != nil {
			return Unusable(payment.BadJSONError("reply", err), to)
		}
		return nil
	}
	if err := strictjson.Unmarshal(raw, out); err != nil {
		return Unusable(payment.BadJSONError("reply", err), to)
	}
	return nil
}
