package bench

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
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
	conf, err := config.Loopback("bench.example")
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	if _, err := network.Create(ctx, network.CreateConfig{Dir: dir, Config: conf}); err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	n, err := network.Open(ctx, network.Config{Dir: dir})
	if err != nil {
		return nil, nil, errors.Join(err, remove())
	}
	return &site{n, dir}, remove, nil
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
