package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/bulk"
	"github.com/payca/payca/cmd/internal/bench/peer"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/policy"
)

// issuance measures the gate beside its floor and beside step-ca, on an empty store and on the large one.
func issuance(ctx context.Context, r *runner) error {
	s, remove, err := r.newSite(ctx)
	if err != nil {
		return err
	}
	if err := errors.Join(r.gate(ctx, s, ""), s.Close(), remove()); err != nil || r.Certificates == 0 {
		return err
	}
	if s, remove, err = r.largeSite(ctx); err != nil {
		return err
	}
	return errors.Join(r.gate(ctx, s, ", large store"), s.Close(), remove())
}

// largeSite is a network whose store holds many certificates. One in a named directory is kept.
func (r *runner) largeSite(ctx context.Context) (s *site, closeSite func() error, err error) {
	dir := filepath.Join(r.Dir, fmt.Sprintf("site-%d", r.Certificates))
	if _, err := os.Stat(dir); r.Dir != "" && err == nil {
		n, err := network.Open(ctx, network.Config{Dir: dir})
		return &site{n, dir}, func() error { return nil }, err
	}
	if s, closeSite, err = r.newSite(ctx); err != nil {
		return nil, nil, err
	}
	r.Progress("  issuing %d certificates into %s", r.Certificates, s.dir)
	if err := bulk.Load(ctx, s.Store(), r.Certificates, 512); err != nil {
		return nil, nil, errors.Join(err, s.Close(), closeSite())
	}
	if r.Dir == "" {
		return s, closeSite, nil
	}
	if err := errors.Join(s.Close(), os.Rename(s.dir, dir)); err != nil {
		return nil, nil, err
	}
	return r.largeSite(ctx)
}

// gate measures a network's gate.
func (r *runner) gate(ctx context.Context, s *site, where string) error {
	p := party(fmt.Sprintf("shop-%d", time.Now().UnixNano()))
	if err := s.Register(ctx, p); err != nil {
		return err
	}
	n := r.n(400)
	csrs, err := requests(2 * n * r.Pairs) // a key for each certificate, as in life
	if err != nil {
		return err
	}
	floor, err := newFloor(<-csrs)
	if err != nil {
		return err
	}
	rival, err := r.newRival()
	if err != nil {
		return err
	}
	tokens, err := s.tokens(ctx, p.ID, n*r.Pairs)
	if err != nil {
		return errors.Join(err, rival.close())
	}
	if err := rival.mint(n * r.Pairs); err != nil {
		return errors.Join(err, rival.close())
	}
	gate := func(token func() string) func(n int) error {
		return func(n int) error {
			return together(n, callers, func() error {
				_, err := s.Issue(ctx, ca.Request{Party: p.ID, CSR: <-csrs, Requester: "bench", Protocol: "token", Token: token()})
				return err
			})
		}
	}
	costs, ratios, err := r.compare(
		n, func(n int) error { return together(n, callers, floor.do) },
		gate(func() string { return "" }),
		gate(func() string { return <-tokens }),
		func(n int) error { return together(n, callers, func() error { return rival.do(ctx) }) },
	)
	if err := errors.Join(err, rival.close()); err != nil {
		return err
	}
	rate := func(c cost) float64 { return float64(time.Second) / float64(c.wall) }
	r.add("CPU of an issuance"+where, micros(costs[1].cpu), "us", 0)
	r.add("floor: CSR verified, certificate signed"+where, micros(costs[0].cpu), "us", 0)
	r.add("CPU over the floor"+where, ratios[1], "x", 2.5)
	r.add("issuances"+where, rate(costs[1]), "/s", 0)
	r.add("CPU over the floor, with a token"+where, ratios[2], "x", 0)
	r.add("issuances with a token"+where, rate(costs[2]), "/s", 0)
	r.add("issuances of step-ca"+where, rate(costs[3]), "/s", 0)
	r.atLeast("issuances with a token over those of step-ca"+where, rate(costs[2])/rate(costs[3]), "x", 3)
	return nil
}

// requests makes requests with keys of their own, and one more.
func requests(n int) (<-chan []byte, error) {
	made := make(chan []byte, n+1)
	return made, together(n+1, callers, func() error {
		_, csr, err := newRequest(nil)
		made <- csr
		return err
	})
}

// tokens makes one-time tokens for a party.
func (s *site) tokens(ctx context.Context, party string, n int) (<-chan string, error) {
	now := time.Now().UTC().Truncate(time.Second)
	made := make(chan string, n)
	err := together(n, 256, func() error {
		id := rand.Text()
		event := audit.Event{Time: now, Kind: audit.TokenCreated, Actor: "bench", Party: party, Attrs: map[string]string{"token": id}}
		if err := s.Store().AddToken(ctx, ca.Token{ID: id, Party: party, NotAfter: now.Add(time.Hour), By: "bench"}, event); err != nil {
			return err
		}
		made <- id
		return nil
	})
	return made, err
}

// A rival is step-ca with a request and tokens for it.
type rival struct {
	*peer.Peer
	csr    []byte
	tokens chan string
	remove func() error
}

func (r *runner) newRival() (*rival, error) {
	dir, err := os.MkdirTemp(r.Dir, "step-ca-bench-")
	if err != nil {
		return nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	_, csr, err := newRequest(new(rival).template())
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	p, err := peer.New(dir)
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return &rival{Peer: p, csr: csr, remove: remove}, nil
}

// template is what its requests ask for.
func (*rival) template() *x509.CertificateRequest {
	return &x509.CertificateRequest{Subject: pkix.Name{CommonName: peer.Name}, DNSNames: []string{peer.Name}}
}

func (r *rival) mint(n int) error {
	r.tokens = make(chan string, n)
	for range n {
		token, err := r.Token()
		if err != nil {
			return err
		}
		r.tokens <- token
	}
	return nil
}

func (r *rival) do(ctx context.Context) error { return r.Issue(ctx, <-r.tokens, r.csr) }

func (r *rival) close() error { return errors.Join(r.Close(), r.remove()) }

// party is a shop, as it is registered.
func party(id string) policy.Party {
	return policy.Party{ID: id, Role: policy.Merchant, Name: "Shop", DNSNames: []string{id + ".example"}, State: policy.Active, Created: time.Now().UTC().Truncate(time.Second)}
}

// newRequest makes a CSR with a key on P-256; nil asks for nothing.
func newRequest(t *x509.CertificateRequest) (*ecdsa.PrivateKey, []byte, error) {
	if t == nil {
		t = &x509.CertificateRequest{}
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, t, key)
	return key, csr, err
}
