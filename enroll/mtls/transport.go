package mtls

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// A Transport is an http.RoundTripper that verifies the server at every
// request, also on a connection that is open already: when the server's
// certificate is revoked, the connection is closed before the request is written to it.
type Transport struct {
	http     *http.Transport
	verifier *verifier
}

// NewTransport returns a transport with the configuration of [Client]. Its
// HTTP settings can be changed through [Transport.HTTP] before the first request.
func NewTransport(src *enroll.Source, authorize Authorizer, status StatusChecker) (*Transport, error) {
	v, err := newVerifier(src, authorize, status, policy.ServerUse)
	if err != nil {
		return nil, err
	}
	conf, err := Client(src, authorize, status)
	if err != nil {
		return nil, err
	}
	return &Transport{
		verifier: v,
		http:     &http.Transport{TLSClientConfig: conf, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: 10 * time.Second},
	}, nil
}

// HTTP returns the transport below.
func (t *Transport) HTTP() *http.Transport { return t.http }

// CloseIdleConnections closes the connections that no request uses.
func (t *Transport) CloseIdleConnections() { t.http.CloseIdleConnections() }

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		conn, ok := info.Conn.(*tls.Conn)
		if !ok || !info.Reused {
			return // a new connection passed VerifyConnection just now
		}
		if _, _, err := t.verifier.verify(ctx, conn.ConnectionState()); err != nil {
			cancel(err)
			_ = conn.Close()
		}
	}})
	resp, err := t.http.RoundTrip(req.WithContext(ctx))
	if cause := context.Cause(ctx); cause != nil && req.Context().Err() == nil {
		if err == nil {
			_ = resp.Body.Close()
		}
		return nil, cause
	}
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Body = &body{resp.Body, func() { cancel(nil) }}
	return resp, nil
}

// A body tells when the response is done with.
type body struct {
	io.ReadCloser
	done func()
}

// Close implements io.Closer.
func (b *body) Close() error {
	defer b.done()
	return b.ReadCloser.Close()
}
