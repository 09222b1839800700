package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp/feed"
)

const (
	maxPage = 1 << 20   // octets of a page of issued certificates
	maxFile = 256 << 20 // octets of a CRL
	maxKey  = 1 << 10
)

// Node asks what a status node serves.
func (c *Client) Node(ctx context.Context) (NodeReply, error) {
	var out NodeReply
	err := c.call(ctx, http.MethodGet, "/v1/node", nil, &out)
	return out, err
}

// Delegate has the CA certify the key of an OCSP delegate, and returns the certificate in DER.
func (c *Client) Delegate(ctx context.Context, issuer string, csr []byte) ([]byte, error) {
	var out DelegateReply
	err := c.call(ctx, http.MethodPost, "/v1/node/delegates", DelegateRequest{Issuer: issuer, CSR: csr}, &out)
	return out.Certificate, err
}

// Issued asks for the signed page of issued certificates from a position on; with nothing there it waits for so many seconds.
func (c *Client) Issued(ctx context.Context, from uint64, wait int) ([]byte, error) {
	return c.raw(ctx, "/v1/node/issued?from="+strconv.FormatUint(from, 10)+"&wait="+strconv.Itoa(wait), maxPage)
}

// NodeFile fetches what the status service has at a path, such as /crl/root.crl.
func (c *Client) NodeFile(ctx context.Context, path string) ([]byte, error) {
	return c.raw(ctx, "/v1/node/files"+path, maxFile)
}

// StatusKey fetches the key that checkpoints and pages verify with.
func (c *Client) StatusKey(ctx context.Context) (string, error) {
	raw, err := c.raw(ctx, feed.KeyPath, maxKey)
	return strings.TrimSpace(string(raw)), err
}

// raw fetches what is no JSON.
func (c *Client) raw(ctx context.Context, path string, limit int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := problem.Read(resp); err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && int64(len(raw)) > limit {
		err = fmt.Errorf("%s has more than %d octets", req.URL.Path, limit)
	}
	return raw, err
}
