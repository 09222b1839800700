package paytest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"sync"

	"github.com/payca/payca/payment/agent"
)

// apply sets what the options say for one node.
func (o *Options) apply(cfg *agent.Config, node string) {
	if o.Fail != nil {
		cfg.Fail = func(point string) { o.Fail(node, point) }
	}
	if o.Access != nil {
		cfg.Access = o.Access(node)
	}
	if o.Commit != nil {
		cfg.BeforeCommit = func() error { return o.Commit(node) }
	}
	if o.Logs != nil {
		cfg.Logger = o.Logs(node)
	}
	if o.Calling != nil {
		cfg.Calling = func(next http.RoundTripper) http.RoundTripper { return o.Calling(node, next) }
	}
	if o.Wire != nil {
		show := func(body []byte) { o.Wire(node, body) }
		cfg.Serving = func(next http.Handler) http.Handler { return recordingHandler(next, show) }
		cfg.Calling = func(next http.RoundTripper) http.RoundTripper { return recordingCaller{next, show} }
	}
}

// recordingHandler shows what an endpoint is sent, head and body, and what it answers.
func recordingHandler(next http.Handler, show func([]byte)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		show(fmt.Appendf(nil, "%s %s %v\n%s", r.Method, r.URL, r.Header, body))
		next.ServeHTTP(recordingWriter{w, show}, r)
	})
}

type recordingWriter struct {
	http.ResponseWriter
	show func([]byte)
}

// Write implements http.ResponseWriter.
func (w recordingWriter) Write(p []byte) (int, error) {
	w.show(bytes.Clone(p))
	return w.ResponseWriter.Write(p)
}

// recordingCaller shows what a node asks others, and what they answer.
type recordingCaller struct {
	next http.RoundTripper
	show func([]byte)
}

// RoundTrip implements http.RoundTripper.
func (c recordingCaller) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.GetBody != nil {
		if copied, err := r.GetBody(); err == nil {
			body, _ := io.ReadAll(copied) // it is a reader of octets
			c.show(fmt.Appendf(nil, "%s %s %v\n%s", r.Method, r.URL, r.Header, body))
		}
	}
	resp, err := c.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &recordingBody{ReadCloser: resp.Body, show: c.show}
	return resp, nil
}

// recordingBody shows a reply once it was read.
type recordingBody struct {
	io.ReadCloser
	show func([]byte)
	read bytes.Buffer
	once sync.Once
}

// Read implements io.Reader.
func (b *recordingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.read.Write(p[:n])
	return n, err
}

// Close implements io.Closer.
func (b *recordingBody) Close() error {
	b.once.Do(func() { b.show(b.read.Bytes()) })
	return b.ReadCloser.Close()
}
