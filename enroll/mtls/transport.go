package mtls

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// Transport returns a RoundTripper that connects as [Client] does and
// checks the server again before each request, so that a connection kept alive is not used
// after the server's certificate was revoked or has expired. The
// request then goes over a new connection, if the server has a better certificate by now.
func Transport(src *enroll.Source, authorize Authorizer, status StatusChecker) (*HTTPTransport, error) {
	c, err := checkOf(src, policy.ServerUse, authorize, status)
	if err != nil {
		return nil, err
	}
	return &HTTPTransport{check: c, next: &http.Transport{
		TLSClientConfig: clientConfig(src, c), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: maxIdle, WriteBufferSize: 16 << 10, IdleConnTimeout: time.Minute, TLSHandshakeTimeout: handshakeTimeout,
	}}, nil
}

// maxIdle is how many connections to one server are kept for the next request. A handshake with certificates on both sides
// costs as much as many requests, so all are kept that a busy minute needed.
const maxIdle = 512

// An HTTPTransport is what [Transport] returns.
type HTTPTransport struct {
	check check
	next  *http.Transport
}

// RoundTrip sends the request over a connection whose server passes the check now.
func (t *HTTPTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL == nil || r.URL.Scheme != "https" {
		if r.Body != nil {
			_ = r.Body.Close() // RoundTrip must close it, whatever comes
		}
		return nil, &policy.Violation{Rule: "scheme", Field: "request URL", Got: "not https", Want: "https"}
	}
	var mu sync.Mutex
	var refused error // of the connection that was tried last; guarded by mu
	trace := &httptrace.ClientTrace{GotConn: func(info httptrace.GotConnInfo) {
		err := t.recheck(r, info)
		mu.Lock()
		refused = err
		mu.Unlock()
		if err != nil {
			_ = info.Conn.Close() // it is not used again
		}
	}}
	resp, err := t.next.RoundTrip(r.WithContext(httptrace.WithClientTrace(r.Context(), trace)))
	mu.Lock()
	defer mu.Unlock()
	if refused == nil {
		return resp, err
	}
	if err == nil { // nothing was sent on the closed connection, so this is an answer to nothing
		_ = resp.Body.Close() // it is not read
	}
	return nil, refused
}

// recheck runs the check on a connection that is about to be used.
func (t *HTTPTransport) recheck(r *http.Request, info httptrace.GotConnInfo) error {
	conn, ok := info.Conn.(*tls.Conn)
	if !ok {
		return &policy.Violation{Rule: "chain", Field: "connection", Got: "without TLS", Want: "TLS 1.3"}
	}
	// The staple of the handshake would vouch for a certificate that was revoked since.
	_, _, err := t.check.peer(r.Context(), conn.ConnectionState().PeerCertificates, nil)
	return err
}

// CloseIdleConnections closes the connections that no request uses.
func (t *HTTPTransport) CloseIdleConnections() { t.next.CloseIdleConnections() }

// DialContext replaces the function that makes connections; call it before the first request. TLS and its checks
// are done over what dial returns.
func (t *HTTPTransport) DialContext(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	t.next.DialContext = dial
}
