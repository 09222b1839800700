package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// identity is a party with its certificate.
type identity struct {
	key         *ecdsa.PrivateKey
	certificate *ca.Certificate
}

func (s *site) identity(ctx context.Context, id string) (*identity, error) {
	if err := s.Register(ctx, party(id)); err != nil {
		return nil, err
	}
	key, csr, err := newRequest(nil)
	if err != nil {
		return nil, err
	}
	issued, err := s.Issue(ctx, ca.Request{Party: id, CSR: csr, Requester: "bench", Protocol: "local"})
	return &identity{key, issued}, err
}

func (i *identity) source(trust policy.Trust) (*enroll.Source, error) {
	certificate := tls.Certificate{PrivateKey: i.key, Leaf: i.certificate.Leaf}
	for _, c := range i.certificate.Chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return enroll.NewStaticSource(certificate, trust)
}

// responder measures OCSP over HTTP beside a bare handler.
func responder(ctx context.Context, r *runner) (err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSite()) }()
	who, err := s.identity(ctx, shop)
	if err != nil {
		return err
	}
	load, err := r.startLoader(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, load.stop()) }()
	leaf, issuer := who.certificate.Leaf, who.certificate.Chain[1]
	plain, err := ocsp.NewRequest(leaf, issuer, crypto.SHA1, nil)
	if err != nil {
		return err
	}
	nonce, err := ocsp.NewRequest(leaf, issuer, crypto.SHA1, make([]byte, 16))
	if err != nil {
		return err
	}
	body, err := once(ctx, leaf.OCSPServer[0], plain)
	if err != nil {
		return err
	}
	bare, closeBare, err := bareServer(body, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeBare()) }()
	signing, closeSigning, err := bareServer(body, who.key)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSigning()) }()
	asked := responderLoad{load, leaf.OCSPServer[0], bare, signing, plain, nonce}
	return asked.measure(r, who.key)
}

// A responderLoad is what a responder and its floors are asked.
type responderLoad struct {
	*loader
	address, bare, signing string // URLs
	plain, nonce           []byte // requests
}

func (l *responderLoad) measure(r *runner, key *ecdsa.PrivateKey) error {
	post := func(url string, body []byte) func(n int) error {
		return func(n int) error { return l.send(http.MethodPost, url, n, body) }
	}
	get := func(url string) func(n int) error {
		return func(n int) error { return l.send(http.MethodGet, url, n, nil) }
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(max(1, runtime.NumCPU()-1))) // the loader needs one of its own
	n, fine := r.n(3_000), *r                                                // many short turns: what else the machine does falls on both
	fine.Pairs *= 6
	posts, ratios, err := fine.compare(n, post(l.bare, l.plain), post(l.address, l.plain), post(l.address, l.nonce), post(l.signing, l.nonce),
		func(n int) error { return signatures(key, n) })
	if err != nil {
		return err
	}
	asked := "/" + url.PathEscape(base64.StdEncoding.EncodeToString(l.plain))
	gets, getRatios, err := fine.compare(n, get(l.bare+asked), get(strings.TrimSuffix(l.address, "/")+asked))
	if err != nil {
		return err
	}
	r.add("bare handler, POST, CPU", micros(posts[0].cpu), "us", 0)
	r.add("cached POST over bare", ratios[1], "x", 1.15)
	r.add("bare handler, GET of as long a URL, CPU", micros(gets[0].cpu), "us", 0)
	r.add("cached GET over bare", getRatios[1], "x", 1.15)
	r.add("live, CPU", micros(posts[2].cpu), "us", 0)
	r.add("one P-256 signature, CPU", micros(posts[4].cpu), "us", 0)
	limit := 1.15*float64(posts[0].cpu) + float64(posts[4].cpu)
	r.add("live over 1.15 bare + one signature", float64(posts[2].cpu)/limit, "x", 1)
	r.add("a bare handler that signs, over the same", float64(posts[3].cpu)/limit, "x", 0)
	return nil
}

func signatures(key *ecdsa.PrivateKey, n int) error {
	digest := sha256.Sum256(nil)
	return together(n, connections, func() error {
		_, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
		return err
	})
}

func once(ctx context.Context, address string, der []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(string(der)))
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(resp.Body)
	return body, errors.Join(err, resp.Body.Close())
}

// bareServer answers every request with a body of the same size; with a key it also makes one signature for each.
func bareServer(body []byte, key *ecdsa.PrivateKey) (address string, stop func() error, err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	digest := sha256.Sum256(body)
	server := &http.Server{ReadHeaderTimeout: 5 * time.Second, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // as a handler that wants the request
		if key != nil {
			if _, err := ecdsa.SignASN1(rand.Reader, key, digest[:]); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
		}
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(body)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	return "http://" + listener.Addr().String() + "/ocsp/bare", func() error {
		err := server.Close()
		if served := <-done; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

// handshake measures TLS 1.3 with certificates on both sides, in one process over a pipe.
func handshake(ctx context.Context, r *runner) (err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSite()) }()
	var sources []*enroll.Source
	for _, id := range []string{shop, "shop2"} {
		who, err := s.identity(ctx, id)
		if err != nil {
			return err
		}
		source, err := who.source(s.Trust())
		if err != nil {
			return err
		}
		sources = append(sources, source)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: time.Hour})
	if err != nil {
		return err
	}
	none := mtls.StatusFunc(func(context.Context, *x509.Certificate, *x509.Certificate, []byte) (ocsp.Verdict, error) {
		return ocsp.Verdict{State: ocsp.Good}, nil
	})
	without, err := newPair(sources, none)
	if err != nil {
		return err
	}
	with, err := newPair(sources, checker)
	if err != nil {
		return err
	}
	if err := with.shake(ctx); err != nil { // which learns the statuses
		return err
	}
	stapled, err := stapledPair(ctx, s, sources)
	if err != nil {
		return err
	}
	costs, ratios, err := r.compare(r.n(200),
		func(n int) error { return together(n, 2, func() error { return without.shake(ctx) }) },
		func(n int) error { return together(n, 2, func() error { return with.shake(ctx) }) },
		func(n int) error { return together(n, 2, func() error { return stapled.shake(ctx) }) },
	)
	if err != nil {
		return err
	}
	r.add("both ends without status, CPU", micros(costs[0].cpu), "us", 0)
	r.add("with cached status, over without", ratios[1], "x", 0)
	more := func(ratio float64) float64 { return (ratio - 1) * micros(costs[0].cpu) } // of measurements beside one another, which differ less
	r.add("with stapled status, over without", ratios[2], "x", 0)
	r.add("cached status adds, CPU", more(ratios[1]), "us", 60)
	r.add("stapled status adds, CPU", more(ratios[2]), "us", 60)
	return r.recheck(ctx, s, sources[0], checker)
}

// stapledPair staples at both ends, and asks nobody.
func stapledPair(ctx context.Context, s *site, bare []*enroll.Source) (*pair, error) {
	stapler, err := ocsp.NewStapler(ocsp.StaplerConfig{AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	var sources []*enroll.Source
	for _, source := range bare {
		own, err := source.Certificate()
		if err != nil {
			return nil, err
		}
		stapling, err := enroll.NewMemorySource(*own, s.Trust(), enroll.SourceConfig{Stapler: stapler})
		if err == nil {
			err = stapling.Staple(ctx)
		}
		if err != nil {
			return nil, err
		}
		sources = append(sources, stapling)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: time.Hour, Mode: ocsp.StapledOnly})
	if err != nil {
		return nil, err
	}
	p, err := newPair(sources, checker)
	if err != nil {
		return nil, err
	}
	return p, p.shake(ctx) // which verifies the staples once
}

// recheck measures what is asked of the status again for each request on an open connection: of the leaf and of its CA.
func (r *runner) recheck(ctx context.Context, s *site, source *enroll.Source, checker *ocsp.Checker) error {
	own, err := source.Certificate()
	if err != nil {
		return err
	}
	chain := []*x509.Certificate{own.Leaf}
	for _, der := range own.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		chain = append(chain, c)
	}
	peer, err := s.Trust().Identify(chain, policy.ClientUse, time.Now())
	if err != nil {
		return err
	}
	again := func(n int) error {
		for range n {
			if _, err := checker.Check(ctx, peer.Leaf, peer.Issuer, nil); err != nil {
				return err
			}
			if _, err := checker.Check(ctx, peer.Issuer, peer.Chain[2], nil); err != nil {
				return err
			}
		}
		return nil
	}
	if err := again(2); err != nil { // so that it is known
		return err
	}
	costs, _, err := r.compare(r.n(200_000), again)
	if err != nil {
		return err
	}
	r.add("status again for each request, CPU", float64(costs[0].cpu.Nanoseconds()), "ns", 200)
	return nil
}

// A pair is the two ends of a connection.
type pair struct{ server, client *tls.Config }

func newPair(sources []*enroll.Source, status mtls.StatusChecker) (*pair, error) {
	server, err := mtls.Server(sources[0], mtls.AuthorizeRole(policy.Merchant), status)
	if err != nil {
		return nil, err
	}
	client, err := mtls.Client(sources[1], mtls.AuthorizeRole(policy.Merchant), status)
	if err != nil {
		return nil, err
	}
	client.ServerName = shop + ".example"
	return &pair{server, client}, nil
}

func (p *pair) shake(ctx context.Context) error {
	a, b := net.Pipe()
	client, server := tls.Client(a, p.client), tls.Server(b, p.server)
	done := make(chan error, 1)
	go func() {
		err := server.HandshakeContext(ctx)
		if err == nil {
			_, err = server.Write([]byte{1}) // tickets go with it
		}
		done <- err
	}()
	err := client.HandshakeContext(ctx)
	if err == nil {
		_, err = io.ReadFull(client, make([]byte, 1))
	}
	err = errors.Join(err, <-done, a.Close(), b.Close())
	if err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	return nil
}
