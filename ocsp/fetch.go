package ocsp

import (
	"bytes"
	"context"
	"crypto"
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
	"syscall"
	"time"
)

// maxGet is the longest URL for which OCSP goes by GET (RFC 5019 section 5).
const maxGet = 255

// newClient returns an HTTP client that goes where a certificate points, and
// nowhere else: no proxy, no redirect to another host, no private address
// unless they are allowed.
func newClient(private bool) *http.Client {
	dialer := &net.Dialer{Timeout: 5 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		host, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		if ip := host.Addr().Unmap(); !private && (ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast()) {
			return fmt.Errorf("status service at %s is a loopback or private address, which this checker may not call", ip)
		}
		return nil
	}}
	return &http.Client{
		Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute, ResponseHeaderTimeout: 5 * time.Second},
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			if req.URL.Host != via[0].URL.Host || len(via) > 3 {
				return fmt.Errorf("redirect from %s to %s is not followed", via[0].URL.Host, req.URL.Host)
			}
			return nil
		},
	}
}

// fetch does a request and returns at most limit octets of a 200 answer.
func (c *Checker) fetch(req *http.Request, limit int64) ([]byte, error) {
	resp, err := c.cfg.Client.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", req.URL.Host, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(body)) > limit {
		err = fmt.Errorf("%s sends more than %d octets", req.URL.Host, limit)
	}
	return body, err
}

func checkScheme(text string) error {
	u, err := url.Parse(text)
	if err == nil && u.Scheme != "http" && u.Scheme != "https" {
		err = fmt.Errorf("%q is neither http nor https", text)
	}
	return err
}

// CheckOCSP asks the responder that leaf names, now, without any cache. A
// revoked or unknown certificate is a verdict, not an error.
func (c *Checker) CheckOCSP(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	if len(leaf.OCSPServer) == 0 {
		return Verdict{}, errors.New("ocsp: the certificate names no responder")
	}
	der, err := NewRequest(leaf, issuer, crypto.SHA256, nil)
	if err != nil {
		return Verdict{}, err
	}
	var errs []error
	for _, base := range leaf.OCSPServer {
		v, err := c.askOCSP(ctx, base, der, leaf, issuer)
		if err == nil {
			return v, nil
		}
		errs = append(errs, fmt.Errorf("ocsp: %w", err))
	}
	return Verdict{}, errors.Join(errs...)
}

func (c *Checker) askOCSP(ctx context.Context, base string, der []byte, leaf, issuer *x509.Certificate) (Verdict, error) {
	if err := checkScheme(base); err != nil {
		return Verdict{}, err
	}
	target := strings.TrimSuffix(base, "/") + "/" + url.PathEscape(base64.StdEncoding.EncodeToString(der))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err == nil && len(target) > maxGet {
		req, err = http.NewRequestWithContext(ctx, http.MethodPost, base, bytes.NewReader(der))
		if err == nil {
			req.Header.Set("Content-Type", "application/ocsp-request")
		}
	}
	if err != nil {
		return Verdict{}, err
	}
	body, err := c.fetch(req, MaxResponse)
	if err != nil {
		return Verdict{}, err
	}
	return VerifyResponse(body, leaf, issuer, VerifyOptions{Now: c.cfg.Now(), Skew: c.cfg.Skew})
}

// A list is a CRL that was fetched.
type list struct {
	*List
	fetched time.Time
}

// CheckCRL looks leaf up in the CRLs that it names. A CRL that was fetched in
// the last five minutes is used again. A revoked certificate is a verdict, not an error.
func (c *Checker) CheckCRL(ctx context.Context, leaf, issuer *x509.Certificate) (Verdict, error) {
	if len(leaf.CRLDistributionPoints) == 0 {
		return Verdict{}, errors.New("crl: the certificate names none")
	}
	var errs []error
	for _, target := range leaf.CRLDistributionPoints {
		l, err := c.crl(ctx, target, issuer)
		if err == nil {
			var v Verdict
			if v, err = l.verdict(leaf, issuer, c.cfg.Now(), c.cfg.Skew); err == nil {
				return v, nil
			}
		}
		errs = append(errs, fmt.Errorf("crl: %w", err))
	}
	return Verdict{}, errors.Join(errs...)
}

// crl fetches a CRL of issuer, or returns the one it has if that is young enough.
func (c *Checker) crl(ctx context.Context, target string, issuer *x509.Certificate) (*List, error) {
	now := c.cfg.Now()
	c.mu.Lock()
	kept := c.lists[target]
	c.mu.Unlock()
	if kept != nil && now.Before(kept.fetched.Add(crlReuse)) && now.Before(kept.NextUpdate) {
		return kept.List, nil
	}
	if err := checkScheme(target); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return nil, err
	}
	der, err := c.fetch(req, MaxCRL)
	if err != nil {
		return nil, err
	}
	parsed, err := ParseCRL(der)
	if err == nil {
		err = parsed.CheckSignatureFrom(issuer) // before it is kept: it came in the clear
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.lists) >= 256 {
		clear(c.lists)
	}
	c.lists[target] = &list{List: parsed, fetched: now}
	return parsed, nil
}
