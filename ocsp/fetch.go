package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
)

const (
	maxCRL   = 64 << 20 // bytes
	maxLists = 64       // CRLs that a checker keeps
	maxGET   = 255      // longest URL to ask OCSP with, RFC 5019 section 5
)

// newClient makes the client that fetches: redirects stay on their host, and
// connections away from private addresses unless those are allowed.
func newClient(cfg CheckerConfig) (*http.Client, error) {
	client := &http.Client{}
	if cfg.Client != nil {
		*client = *cfg.Client
	}
	client.Jar = nil
	client.CheckRedirect = func(req *http.Request, via []*http.Request) error {
		first := via[0].URL
		if len(via) > 2 || req.URL.Host != first.Host || req.URL.Scheme != first.Scheme {
			return fmt.Errorf("redirected to %s: want an answer from %s", req.URL.Redacted(), first.Host)
		}
		return nil
	}
	switch {
	case cfg.AllowPrivate:
		return client, nil
	case client.Transport != nil:
		return nil, errors.New("client has a transport of its own: want none, or AllowPrivate")
	}
	dialer := &net.Dialer{Timeout: cfg.Timeout, Control: refusePrivate}
	client.Transport = &http.Transport{
		DialContext:         dialer.DialContext,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 4,
		IdleConnTimeout:     time.Minute,
	}
	return client, nil
}

// refusePrivate sees the address after names are resolved, so no name leads around it.
func refusePrivate(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("address %q: %w", address, err)
	}
	if !publicAddr(ap.Addr()) {
		return fmt.Errorf("address %s: want a public one, or AllowPrivate", ap.Addr())
	}
	return nil
}

func publicAddr(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	for _, reserved := range [...]string{"0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "198.18.0.0/15", "240.0.0.0/4", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"} {
		if p, err := netip.ParsePrefix(reserved); err != nil || p.Contains(ip) {
			return false
		}
	}
	return true
}

// parseURL reads a place to fetch from.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("URL %q: want http or https, a host, and no user", u.Redacted())
	}
	return u, nil
}

// fetch returns the body of a 200 answer of at most limit bytes.
func (c *Checker) fetch(ctx context.Context, req *http.Request, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, err := c.client.Do(req.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s, want 200", resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("answer over %d bytes, want at most that", limit)
	}
	return body, nil
}

// ocspRequest asks by GET if the URL stays short, otherwise by POST. An HTTP cache
// on the way is told to give nothing that is older than a verdict may be.
func (c *Checker) ocspRequest(base string, der []byte) (*http.Request, error) {
	u, err := parseURL(base)
	if err != nil {
		return nil, err
	}
	get := strings.TrimSuffix(base, "/") + "/" + url.QueryEscape(base64.StdEncoding.EncodeToString(der))
	var req *http.Request
	if len(get) <= maxGET && u.RawQuery == "" && u.Fragment == "" {
		req, err = http.NewRequest(http.MethodGet, get, nil)
	} else if req, err = http.NewRequest(http.MethodPost, base, bytes.NewReader(der)); err == nil {
		req.Header.Set("Content-Type", "application/ocsp-request")
	}
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/ocsp-response")
	req.Header.Set("Cache-Control", fmt.Sprintf("max-age=%d", max(0, int(c.cfg.MaxAge/time.Second))))
	return req, nil
}

func (c *Checker) askOCSP(ctx context.Context, base string, leaf, issuer *x509.Certificate) (Verdict, error) {
	var nonce []byte
	if c.cfg.Feed != nil { // an answer from before the feed began would say nothing about the time in between
		nonce = make([]byte, 32)
		rand.Read(nonce) // never fails
	}
	der, err := NewRequest(leaf, issuer, crypto.SHA256, nonce)
	if err != nil {
		return Verdict{}, err
	}
	req, err := c.ocspRequest(base, der)
	if err != nil {
		return Verdict{}, err
	}
	body, err := c.fetch(ctx, req, maxResponse)
	if err != nil {
		return Verdict{}, err
	}
	return VerifyResponse(body, leaf, issuer, VerifyOptions{Now: c.cfg.Now(), Skew: c.cfg.Skew, Hash: crypto.SHA256, Nonce: nonce})
}

// lists keeps verified CRLs until their nextUpdate, and looks for a newer one
// when crlReuse has passed. One fetch runs for each.
type lists struct {
	mu     sync.Mutex
	kept   map[listKey]*keptList // owned by mu
	flight singleflight.Group
}

// A keptList is a CRL and when it was fetched, or tried to be.
type keptList struct {
	*List
	tried time.Time
}

// crlReuse is how long a CRL is taken for the newest. A root CRL holds for a
// year; that a new one revokes an issuing CA must be seen long before.
const crlReuse = 5 * time.Minute

type listKey struct {
	url    string
	issuer [32]byte // SHA-256 of the issuer's certificate
}

func (l *lists) init() { l.kept = make(map[listKey]*keptList) }

// find returns the list that is kept, nil for none, and whether it is time to look for a newer one.
func (l *lists) find(k listKey, now time.Time) (list *List, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.kept[k]
	if kept == nil || !now.Before(kept.NextUpdate) {
		return nil, true
	}
	if due = now.Sub(kept.tried) >= crlReuse || now.Before(kept.tried); due {
		kept.tried = now // one caller looks, and until it has, the others go on with this one
	}
	return kept.List, due
}

// keep stores a list unless it is older than the one kept. A full store loses an arbitrary one.
func (l *lists) keep(k listKey, next *List, now time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, replace := l.kept[k]
	if replace && next.Number < old.Number {
		return fmt.Errorf("CRL number %d, want at least %d, which was there before", next.Number, old.Number)
	}
	if !replace && len(l.kept) >= maxLists {
		for victim := range l.kept {
			delete(l.kept, victim)
			break
		}
	}
	l.kept[k] = &keptList{List: next, tried: now}
	return nil
}

func (c *Checker) askCRL(ctx context.Context, from string, leaf, issuer *x509.Certificate) (Verdict, error) {
	k := listKey{url: from, issuer: sha256.Sum256(issuer.Raw)}
	l, due := c.lists.find(k, c.cfg.Now())
	if due {
		got, err, _ := c.lists.flight.Do(from+string(k.issuer[:]), func() (any, error) {
			next, err := c.renewCRL(ctx, l, from, issuer)
			if err != nil {
				return nil, err
			}
			return next, c.lists.keep(k, next, c.cfg.Now())
		})
		switch {
		case err == nil:
			l = got.(*List)
		case l == nil:
			return Verdict{}, err
		} // else the one that is kept still holds
	}
	if err := l.Covers(leaf); err != nil {
		return Verdict{}, err
	}
	v := Verdict{State: Good, Source: "crl", CheckedAt: c.cfg.Now(), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate}
	if e, ok := l.Lookup(leaf.SerialNumber.Bytes()); ok {
		v.State, v.RevokedAt, v.Reason = Revoked, e.At, e.Reason
	}
	return v, nil
}

// renewCRL fetches a list: the delta to the one that is kept, if that has one, or a whole one and the delta to that. A
// delta that cannot be had or applied is done without.
func (c *Checker) renewCRL(ctx context.Context, kept *List, from string, issuer *x509.Certificate) (*List, error) {
	if kept != nil {
		if next, err := c.applyDelta(ctx, kept, issuer); err == nil {
			return next, nil
		}
	}
	l, err := c.fetchCRL(ctx, from, issuer)
	if err != nil {
		return nil, err
	}
	if l.Delta {
		return nil, fmt.Errorf("CRL: a delta list to number %d, want a whole one", l.Base)
	}
	if next, err := c.applyDelta(ctx, l, issuer); err == nil {
		return next, nil
	}
	return l, nil
}

// applyDelta fetches the delta list that the list names, and applies it.
func (c *Checker) applyDelta(ctx context.Context, l *List, issuer *x509.Certificate) (*List, error) {
	if len(l.Freshest) == 0 {
		return nil, errors.New("CRL: it names no delta list")
	}
	delta, err := c.fetchCRL(ctx, l.Freshest[0], issuer)
	if err != nil {
		return nil, err
	}
	return l.Apply(delta)
}

// fetchCRL fetches and verifies a CRL.
func (c *Checker) fetchCRL(ctx context.Context, from string, issuer *x509.Certificate) (*List, error) {
	if _, err := parseURL(from); err != nil {
		return nil, err
	}
	req, err := http.NewRequest(http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	body, err := c.fetch(ctx, req, maxCRL)
	if err != nil {
		return nil, err
	}
	l, err := ParseCRL(body)
	if err != nil {
		return nil, err
	}
	if err := l.CheckSignatureFrom(issuer); err != nil {
		return nil, err
	}
	now := c.cfg.Now()
	if l.ThisUpdate.After(now.Add(c.cfg.Skew)) || l.NextUpdate.Before(now.Add(-c.cfg.Skew)) {
		return nil, fmt.Errorf("CRL holds from %v to %v, want one that holds at %v", l.ThisUpdate, l.NextUpdate, now)
	}
	l.release()
	return l, nil
}
