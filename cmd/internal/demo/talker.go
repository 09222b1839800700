package demo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A talker is one party of the conversation: it answers messages from one role and sends its own.
type talker struct {
	party    policy.Party
	source   *enroll.Source
	checker  *ocsp.Checker
	listener net.Listener
	server   *http.Server
	done     chan error
	errors   lastLine // why the server ended handshakes
}

// lastLine is an io.Writer that keeps the last line written to it.
type lastLine struct {
	mu   sync.Mutex
	text string
}

// Write implements io.Writer.
func (l *lastLine) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = strings.TrimSpace(string(p))
	return len(p), nil
}

// take returns the line and forgets it.
func (l *lastLine) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text
	l.text = ""
	return text
}

// refusal says why the server refused. In a TLS 1.3 handshake the client learns
// only that it did, so there the server's own words count, which may take a moment.
func (a *talker) refusal(err error) string {
	if !errors.As(err, new(*net.OpError)) {
		return err.Error()
	}
	for range 100 {
		if _, why, ok := strings.Cut(a.errors.take(), "TLS handshake error from "); ok {
			_, why, _ = strings.Cut(why, ": ")
			return why
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err.Error()
}

// A seen is what one side knows of the other.
type seen struct {
	Role   policy.Role `json:"role"`
	Party  string      `json:"party"`
	Status string      `json:"status"`
	By     string      `json:"by"`    // where the status came from: ocsp, crl
	AsOf   time.Time   `json:"as_of"` // when it was signed, whole seconds
	Age    int         `json:"age_seconds"`
}

func (s seen) String() string {
	return fmt.Sprintf("%s %s, %s by %s, %d s old", s.Role, s.Party, s.Status, s.By, s.Age)
}

func seenOf(id policy.Identity, verdict ocsp.Verdict) seen {
	return seen{
		Role: id.Role, Party: id.Party, Status: verdict.State.String(), By: verdict.Source,
		AsOf: verdict.ProducedAt, Age: int(time.Since(verdict.ProducedAt).Seconds()),
	}
}

// A message goes each way; the answer says whom the server saw.
type message struct {
	Text string `json:"text"`
	Saw  *seen  `json:"saw,omitempty"`
}

// newTalker opens the party's identity. Its checker asks for the status at
// every message, so that nothing it says is older than the message.
func newTalker(party policy.Party, dir string, logger *slog.Logger) (*talker, error) {
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir})
	if err != nil {
		return nil, err
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1, Logger: logger})
	if err != nil {
		return nil, err
	}
	return &talker{party: party, source: source, checker: checker}, nil
}

// listen answers messages from parties of the given role on a loopback port.
func (a *talker) listen(from policy.Role, logger *slog.Logger) error {
	conf, err := mtls.Server(a.source, mtls.AuthorizeRole(from), a.checker)
	if err != nil {
		return err
	}
	if a.listener, err = tls.Listen("tcp", "127.0.0.1:0", conf); err != nil {
		return err
	}
	handler := mtls.Handler(mtls.HandlerConfig{
		Trust: a.source.Trust(), Authorize: mtls.AuthorizeRole(from), Status: a.checker, Problems: problem.Writer{Logger: logger},
	}, http.HandlerFunc(a.answer))
	a.server = &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second, ErrorLog: log.New(&a.errors, "", 0)}
	a.done = make(chan error, 1)
	go func() { a.done <- a.server.Serve(a.listener) }()
	return nil
}

func (a *talker) answer(w http.ResponseWriter, r *http.Request) {
	peer, verdict, ok := mtls.PeerFrom(r.Context())
	if !ok {
		http.Error(w, "no identity", http.StatusUnauthorized)
		return
	}
	saw := seenOf(peer.Identity, verdict)
	_ = json.NewEncoder(w).Encode(message{Text: a.party.Name + " answers " + peer.Identity.Party, Saw: &saw})
}

// A line is a client's connection to another agent, kept open between messages.
type line struct {
	to        *talker
	client    *http.Client
	transport *http.Transport
	saw       seen // whom the client saw, at the last message
}

// dial prepares a line to a server agent; certificate, if not nil, is shown in place of the agent's own.
func (a *talker) dial(to *talker, certificate *tls.Certificate) (*line, error) {
	l := &line{to: to}
	conf, err := mtls.Client(a.source, mtls.AuthorizeRole(to.party.Role), mtls.StatusFunc(
		func(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error) {
			verdict, err := a.checker.Check(ctx, leaf, issuer, staple)
			if id, idErr := policy.IdentityOf(leaf, a.source.Identity().Network); err == nil && idErr == nil {
				l.saw = seenOf(id, verdict)
			}
			return verdict, err
		}))
	if err != nil {
		return nil, err
	}
	if certificate != nil {
		conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return certificate, nil }
	}
	l.transport = &http.Transport{TLSClientConfig: conf, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, to.listener.Addr().String())
	}}
	l.client = &http.Client{Timeout: 10 * time.Second, Transport: l.transport}
	return l, nil
}

// send sends one message and returns what the server saw; a refusal is a *problem.Problem or a TLS error.
func (l *line) send(ctx context.Context, text string) (message, bool, error) {
	reused := false
	ctx = traceReuse(ctx, &reused)
	body, err := json.Marshal(message{Text: text})
	if err != nil {
		return message{}, false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+l.to.party.DNSNames[0]+"/messages", bytes.NewReader(body))
	if err != nil {
		return message{}, false, err
	}
	resp, err := l.client.Do(req)
	if err != nil {
		return message{}, reused, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return message{}, reused, problem.Read(resp)
	}
	var answer message
	err = json.NewDecoder(io.LimitReader(resp.Body, 64<<10)).Decode(&answer)
	return answer, reused, err
}

func (a *talker) close() error {
	if a.server == nil {
		return nil
	}
	err := a.server.Close()
	if served := <-a.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
