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
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// shop is the party to which certificates are issued.
const shop = "shop1"

// callers is how many issue at a time.
const callers = 16

// A site is a network in a directory of its own.
type site struct {
	*network.Network
	dir string
}

// newSite makes a network on loopback and registers the shop. close removes it.
func (r *runner) newSite(ctx context.Context) (s *site, closeSite func() error, err error) {
	dir, err := os.MkdirTemp(r.Dir, "payca-bench-")
	if err != nil {
		return nil, nil, err
	}
	remove := func() error { return os.RemoveAll(dir) }
	conf := config.Default("bench.example")
	for _, address := range []*string{&conf.Listen.HTTPS, &conf.Listen.HTTP} {
		if *address, err = freeAddress(); err != nil {
			return nil, nil, errors.Join(err, remove())
		}
	}
	_, port, err := net.SplitHostPort(conf.Listen.HTTP)
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	conf.StatusURL = "http://localhost:" + port
	if _, err := network.Create(ctx, network.CreateConfig{Dir: dir, Config: conf}); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	n, err := network.Open(ctx, network.Config{Dir: dir})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return &site{n, dir}, remove, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// serve serves the network until stop is called.
func (s *site) serve(ctx context.Context) (stop func() error, err error) {
	listeners, err := s.Listen()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, listeners) }()
	return func() error { cancel(); return <-done }, nil
}

// served makes a network that serves until close.
func (r *runner) served(ctx context.Context) (s *site, closeSite func() error, err error) {
	s, remove, err := r.newSite(ctx)
	if err != nil {
		return nil, nil, err
	}
	stop, err := s.serve(ctx)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close(), remove())
	}
	return s, func() error { return errors.Join(stop(), remove()) }, nil
}

// operator is a client that may do everything.
func (s *site) operator() (*api.Client, error) {
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: filepath.Join(s.dir, network.Operator)})
	if err != nil {
		return nil, err
	}
	return api.NewClient(source)
}

// party is the shop, as it is registered.
func party(id string) policy.Party {
	return policy.Party{ID: id, Role: policy.Merchant, Name: "Shop", DNSNames: []string{id + ".example"}, State: policy.Active, Created: time.Now().UTC().Truncate(time.Second)}
}

// newRequest makes a CSR with a key on P-256.
func newRequest() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	return key, csr, err
}

// issuance measures the gate beside its floor.
func issuance(ctx context.Context, r *runner) (err error) {
	s, remove, err := r.newSite(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close(), remove()) }()
	if err := s.Register(ctx, party(shop)); err != nil {
		return err
	}
	_, csr, err := newRequest()
	if err != nil {
		return err
	}
	floor, err := newFloor(csr)
	if err != nil {
		return err
	}
	gate := func(n int) error {
		return together(n, callers, func() error {
			_, err := s.Issue(ctx, ca.Request{Party: shop, CSR: csr, Requester: "bench", Protocol: "local"})
			return err
		})
	}
	costs, ratios, err := r.compare(r.n(400), func(n int) error { return together(n, callers, floor.do) }, gate)
	if err != nil {
		return err
	}
	r.add("CPU of an issuance", micros(costs[1].cpu), "us", 0)
	r.add("floor: CSR verified, certificate signed", micros(costs[0].cpu), "us", 0)
	r.add("CPU over the floor", ratios[1], "x", 2.5)
	r.add("issuances", float64(time.Second)/float64(costs[1].wall), "/s", 0)
	return nil
}

// A floor is the cryptography of an issuance, and the certificate in DER.
type floor struct {
	csr    []byte
	key    *ecdsa.PrivateKey
	issuer *x509.Certificate
	serial atomic.Int64
}

func newFloor(csr []byte) (*floor, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	issuer := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "floor"}, NotAfter: time.Now().AddDate(1, 0, 0), IsCA: true,
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, SubjectKeyId: make([]byte, 20),
	}
	return &floor{csr: csr, key: key, issuer: issuer}, nil
}

func (f *floor) do() error {
	csr, err := x509.ParseCertificateRequest(f.csr)
	if err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil {
		return err
	}
	_, err = x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(f.serial.Add(1)), Subject: pkix.Name{CommonName: shop}, NotAfter: time.Now().AddDate(0, 1, 0), DNSNames: []string{"shop1.example"},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, f.issuer, csr.PublicKey, f.key)
	return err
}

// together does something n times, so many at a time.
func together(n, at int, do func() error) error {
	var left atomic.Int64
	left.Store(int64(n))
	errs := make(chan error, at)
	var group sync.WaitGroup
	for range at {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs // nil if there is none
}

// enrollment measures payca enroll end to end, one at a time.
func enrollment(ctx context.Context, r *runner) (err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeSite()) }()
	operator, err := s.operator()
	if err != nil {
		return err
	}
	defer operator.HTTP.CloseIdleConnections()
	if _, err := operator.AddParty(ctx, party(shop)); err != nil {
		return err
	}
	var took []float64
	for i := range r.n(20) {
		token, err := operator.CreateToken(ctx, api.TokenRequest{Party: shop})
		if err != nil {
			return err
		}
		dir := filepath.Join(s.dir, fmt.Sprintf("identity-%d", i))
		start := time.Now()
		if _, err := enroll.Enroll(ctx, enroll.EnrollConfig{Token: token.Token, Dir: dir}); err != nil {
			return err
		}
		took = append(took, millis(time.Since(start)))
	}
	slices.Sort(took)
	r.add("enrollment, median", median(took), "ms", 150)
	r.add("enrollment, slowest", took[len(took)-1], "ms", 0)
	return nil
}
