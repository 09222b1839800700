package bench

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
)

// A wire is a kept-alive connection that loads a server. Its requests are made beforehand and its answers read where it
// stands, so that the time of a machine goes to the server: an http.Client takes more of it than what is measured.
type wire struct {
	conn net.Conn
	in   *bufio.Reader
}

// wires are connections to one server over TLS, each for one caller at a time.
type wires struct {
	address string // host:port
	dialer  tls.Dialer
	idle    chan *wire
}

// newWires makes a pool for so many callers at most; its connections are opened when they are needed.
func newWires(server string, callers int, roots *x509.CertPool) (*wires, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: roots, ServerName: u.Hostname(), MinVersion: tls.VersionTLS13}
	return &wires{address: u.Host, dialer: tls.Dialer{Config: conf}, idle: make(chan *wire, callers)}, nil
}

// exchange sends a request that [request] made and wants the status.
func (p *wires) exchange(ctx context.Context, request []byte, want int) (err error) {
	var w *wire
	select {
	case w = <-p.idle:
	default:
		if w, err = p.dial(ctx); err != nil {
			return err
		}
	}
	if err := w.exchange(request, want); err != nil {
		return errors.Join(err, w.conn.Close())
	}
	p.idle <- w
	return nil
}

func (p *wires) dial(ctx context.Context) (*wire, error) {
	conn, err := p.dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	return &wire{conn, bufio.NewReader(conn)}, nil
}

// close closes those that are idle.
func (p *wires) close() error {
	var errs []error
	for {
		select {
		case w := <-p.idle:
			errs = append(errs, w.conn.Close())
		default:
			return errors.Join(errs...)
		}
	}
}

func (w *wire) exchange(request []byte, want int) error {
	if _, err := w.conn.Write(request); err != nil {
		return err
	}
	return readAnswer(w.in, want)
}

// readAnswer reads an answer to its end and wants the status. The error wraps io.ErrUnexpectedEOF if there is only a part of it.
func readAnswer(in *bufio.Reader, want int) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return err
	}
	if resp.StatusCode != want {
		body := make([]byte, 200)
		n, _ := io.ReadFull(resp.Body, body)
		return fmt.Errorf("the server answers %s, want %d: %s", resp.Status, want, body[:n])
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// request encodes a request.
func request(ctx context.Context, method, url, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "")
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	var raw bytes.Buffer
	err = req.Write(&raw)
	return raw.Bytes(), err
}
