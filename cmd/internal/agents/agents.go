package agents

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/confirmer"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/payment/agent/gateway"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/policy"
)

// A Running is an agent that was made from a file. The field of its role is set.
type Running struct {
	*agent.Agent
	Consumer      *consumer.Consumer
	Merchant      *merchant.Merchant
	Gateway       *gateway.Gateway
	AcquiringBank *acquiringbank.Bank
	IssuingBank   *issuingbank.Bank
	Confirmer     *confirmer.Confirmer

	source     *enroll.Source
	encryption *enroll.Encryption // nil for roles without
	changes    *feed.Client       // of statuses
	checker    *ocsp.Checker
	listen     string
}

// Identity reads who the agent of a configuration is.
func Identity(c *config.Agent) (policy.Identity, error) {
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: c.Path(c.Identity)})
	if err != nil {
		return policy.Identity{}, err
	}
	return source.Identity(), nil
}

// Options are what the file does not say.
type Options struct {
	Logger *slog.Logger
	// Agent, if not nil, changes what the file says of the agent; for measuring.
	Agent func(*agent.Config)
}

// Open makes the agent. A party to whom others seal gets its encryption certificate from the CA, if it has none yet.
func Open(ctx context.Context, c *config.Agent, options Options) (*Running, error) {
	logger := options.Logger
	stapler, err := ocsp.NewStapler(ocsp.StaplerConfig{AllowPrivate: true})
	if err != nil {
		return nil, err
	}
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: c.Path(c.Identity), Logger: logger, Stapler: stapler})
	if err != nil {
		return nil, err
	}
	age := time.Duration(c.StatusAge)
	if age == 0 {
		age = -1
	}
	directory := newDirectory(source)
	changes, err := feed.NewClient(feed.Config{URL: directory.url, HTTP: directory.client, Logger: logger})
	if err != nil {
		return nil, err
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{
		AllowPrivate: true, MaxAge: age, Feed: changes, Logger: logger, Cache: filepath.Join(c.Path(c.Data), "status.cache"),
	})
	if err != nil {
		return nil, err
	}
	r := &Running{source: source, listen: c.Listen, changes: changes, checker: checker}
	cfg := agent.Config{
		Dir: c.Path(c.Data), Source: source, Status: checker, Feed: changes, Directory: directory, Access: c.Endpoints, Timeout: time.Duration(c.Timeout), Logger: logger,
	}
	if c.Enquiry == "soft" {
		cfg.Enquiry = checker.As(ocsp.SoftFail)
	}
	for _, p := range c.Peers {
		id := policy.Identity{Network: source.Identity().Network, Role: p.Role, Party: p.ID}
		if id != source.Identity() {
			cfg.Peers = append(cfg.Peers, agent.Peer{URI: id.String(), URL: p.URL, Address: p.Address})
		}
	}
	switch source.Identity().Role {
	case policy.Gateway, policy.Aggregator, policy.IssuingBank, policy.Wallet, policy.Confirmer:
		r.encryption, err = enroll.OpenEncryption(ctx, enroll.EncryptionConfig{
			Source: source, Dir: filepath.Join(c.Path(c.Identity), "encryption"), Logger: logger,
		})
		if err != nil {
			return nil, fmt.Errorf("getting the encryption certificate: %w", err)
		}
		cfg.Keys = r.encryption
	}
	if options.Agent != nil {
		options.Agent(&cfg)
	}
	if r.Agent, err = agent.New(cfg); err != nil {
		return nil, err
	}
	if err := r.build(c); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

// Run serves until ctx ends, and keeps the certificates fresh.
func (r *Running) Run(ctx context.Context) error {
	var listener net.Listener
	if r.listen != "" && r.Consumer == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", r.listen); err != nil {
			return err
		}
	}
	return r.Serve(ctx, listener)
}

// Serve is Run on a listener that is open already, nil for a consumer.
func (r *Running) Serve(ctx context.Context, listener net.Listener) error {
	if err := r.source.Staple(ctx); err != nil {
		own, _ := r.source.Certificate() // never fails
		if policy.MustStaple(own.Leaf) {
			return fmt.Errorf("the certificate must be stapled: %w", err)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return r.Agent.Run(ctx, listener) })
	group.Go(func() error { return r.source.Run(ctx) })
	group.Go(func() error { return r.changes.Run(ctx) })
	group.Go(func() error { return r.checker.Run(ctx) })
	if r.encryption != nil {
		group.Go(func() error { return r.encryption.Run(ctx) })
	}
	if err := group.Wait(); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// directory asks the CA's certificate directory.
type directory struct {
	client *http.Client
	url    string
}

func newDirectory(source *enroll.Source) directory {
	roots := x509.NewCertPool()
	for _, root := range source.Trust().Roots {
		roots.AddCert(root)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots}, IdleConnTimeout: time.Minute}
	return directory{client: &http.Client{Transport: transport, Timeout: 20 * time.Second}, url: source.URL()}
}

// Certificate implements agent.Directory.
func (d directory) Certificate(ctx context.Context, thumbprint string) ([]*x509.Certificate, error) {
	chain, err := enroll.FetchCertificate(ctx, d.client, d.url, thumbprint)
	return chain, notFound(err)
}

// Encryption implements agent.Directory.
func (d directory) Encryption(ctx context.Context, party string) ([]*x509.Certificate, error) {
	chain, err := enroll.FetchEncryption(ctx, d.client, d.url, party)
	return chain, notFound(err)
}

func notFound(err error) error {
	if p, ok := errors.AsType[*problem.Problem](err); ok && p.Status == http.StatusNotFound {
		return errors.Join(err, fs.ErrNotExist)
	}
	return err
}
