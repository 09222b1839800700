package ocsp

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	maxCRL = 64 << 20 // bytes
	maxGET = 255      // longest URL to ask OCSP with, RFC 5019 section 5
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

// place reads a place to fetch from.
func (c *knowledge) place(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("URL %q: want http or https, a host, and no user", u.Redacted())
	}
	if len(c.cfg.Hosts) > 0 && !slices.Contains(c.cfg.Hosts, u.Hostname()) {
		return nil, fmt.Errorf("host %q: want one of %q", u.Hostname(), c.cfg.Hosts)
	}
	return u, nil
}

// fetch returns the body of a 200 answer of at most limit bytes.
func (c *knowledge) fetch(ctx context.Context, req *http.Request, limit int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	resp, err := c.client.Do(req.WithContext(ctx)) //nolint:gosec // place, refusePrivate and CheckRedirect say where it may lead
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
func (c *knowledge) ocspRequest(base string, der []byte) (*http.Request, error) {
	u, err := c.place(base)
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

func (c *knowledge) askOCSP(ctx context.Context, base string, leaf, issuer *x509.Certificate) (v Verdict, answer []byte, err error) {
	var nonce []byte
	if c.cfg.RequireNonce || c.cfg.Feed != nil { // an answer from before the feed began would say nothing about the time in between
		nonce = make([]byte, 32)
		rand.Read(nonce) // never fails
	}
	der, err := NewRequest(leaf, issuer, crypto.SHA256, nonce)
	if err != nil {
		return Verdict{}, nil, err
	}
	req, err := c.ocspRequest(base, der)
	if err != nil {
		return Verdict{}, nil, err
	}
	body, err := c.fetch(ctx, req, maxResponse)
	if err != nil {
		return Verdict{}, nil, err
	}
	v, err = VerifyResponse(body, leaf, issuer, VerifyOptions{
		Now: c.cfg.Now(), Skew: c.cfg.Skew, Hash: crypto.SHA256, Nonce: nonce, RequireNonce: c.cfg.RequireNonce,
	})
	return v, body, err
}
