package network

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/listen"
	"github.com/payca/payca/cmd/internal/notice"
	"github.com/payca/payca/cmd/internal/sink"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// Config says which network to open.
type Config struct {
	Dir            string
	PassphraseFile string // "" for the configured or generated one
	Now            func() time.Time
	Logger         *slog.Logger
	// BeforeCommit is as in boltstore.Config. For tests.
	BeforeCommit func() error
}

// A Network is an open network, ready to serve. One process at a time has it open.
type Network struct {
	*core
	now         func() time.Time
	logger      *slog.Logger
	certificate atomic.Pointer[tls.Certificate] // of the https listener
	handler     http.Handler                    // of the https listener
	sinks       []*sink.Sink                    // of the audit log
	directory   http.Handler                    // GET /certs/{thumbprint}, of both listeners
	dir         string
	notices     *notice.Notifier // nil if nobody is to be told
	backups     backups
	suites      api.Suites // of the https listener
	recheck     *rechecker
}

// Open loads the network in cfg.Dir, closes what a crash left open, signs
// fresh CRLs and OCSP signers, and issues the https listener's certificate. *[RestoredError] for one
// that was restored and not recovered.
func Open(ctx context.Context, cfg Config) (*Network, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	conf, err := LoadConfig(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if err := checkRecovered(cfg.Dir); err != nil {
		return nil, err
	}
	ring, err := openRing(cfg.Dir, cfg.PassphraseFile, conf)
	if err != nil {
		return nil, err
	}
	c, err := openCore(ctx, coreConfig{dir: cfg.Dir, config: conf, ring: ring, now: cfg.Now, logger: cfg.Logger, beforeCommit: cfg.BeforeCommit})
	if err != nil {
		return nil, err
	}
	n := &Network{core: c, now: cfg.Now, logger: cfg.Logger, dir: cfg.Dir}
	n.recheck = newRechecker(n)
	if err = n.openSinks(cfg.Dir); err == nil {
		err = n.openNotices(cfg.Dir)
	}
	if err == nil {
		err = n.start(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, c.store.Close())
	}
	return n, nil
}

func (n *Network) start(ctx context.Context) error {
	if err := n.putInForce(ctx); err != nil {
		return err
	}
	events := []audit.Event{{Time: n.now().UTC(), Kind: audit.Started, Actor: "local"}}
	for _, issuer := range n.authority.Issuers() {
		events = append(events, audit.Event{Time: n.now().UTC(), Kind: audit.KeyLoaded, Actor: "local", Issuer: issuer})
	}
	if err := n.store.Append(ctx, events...); err != nil {
		return err
	}
	if err := n.status.Start(ctx, n.authority); err != nil {
		return err
	}
	if err := n.registerSelf(ctx); err != nil {
		return err
	}
	if err := n.renewSelf(ctx); err != nil {
		return err
	}
	var err error
	n.handler, err = n.routes()
	return err
}

// registerSelf keeps the party record of the CA's own servers as the configuration has it.
func (n *Network) registerSelf(ctx context.Context) error {
	self := policy.Party{
		ID: policy.NetworkParty, Role: policy.Service, Name: n.config.Network, State: policy.Active,
		DNSNames: n.config.ServerNames, Addresses: n.config.Addresses, Created: n.now().UTC().Truncate(time.Second),
	}
	event := audit.Event{Time: n.now().UTC(), Kind: audit.PartyAdded, Actor: "local", Party: self.ID, Role: string(self.Role)}
	stands, err := n.store.Party(ctx, self.ID)
	if errors.Is(err, ca.ErrNotFound) {
		return n.store.AddParty(ctx, self, event)
	}
	if err != nil {
		return err
	}
	if slices.Equal(stands.DNSNames, self.DNSNames) && slices.Equal(stands.Addresses, self.Addresses) {
		return nil
	}
	event.Kind, self.Created = audit.PartyChanged, stands.Created
	return n.store.UpdateParty(ctx, self, event)
}

// renewSelf gives the https listener a new key and certificate.
func (n *Network) renewSelf(ctx context.Context) error {
	key, request, err := enroll.NewKey()
	if err != nil {
		return err
	}
	issued, err := n.authority.Issue(ctx, ca.Request{Party: policy.NetworkParty, CSR: request, Requester: "local", Protocol: "local"})
	if err != nil {
		return fmt.Errorf("issuing the server's own certificate: %w", err)
	}
	n.certificate.Store((&enroll.Credential{Key: key, Chain: issued.Chain}).TLS())
	return nil
}

// Listeners are where a network answers.
type Listeners struct {
	HTTPS net.Listener // enrollment, API, certificates by thumbprint
	HTTP  net.Listener // OCSP, CRLs, issuer certificates, certificates by thumbprint
}

// Listen opens the configured addresses.
func (n *Network) Listen() (Listeners, error) {
	https, err := net.Listen("tcp", n.config.Listen.HTTPS)
	if err != nil {
		return Listeners{}, err
	}
	plain, err := net.Listen("tcp", n.config.Listen.HTTP)
	if err != nil {
		return Listeners{}, errors.Join(err, https.Close())
	}
	return Listeners{HTTPS: https, HTTP: plain}, nil
}

// Serve answers until ctx ends, then lets requests under way finish and
// closes the store.
func (n *Network) Serve(ctx context.Context, l Listeners) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return listen.Secure(n.handler, n.tlsConfig(), n.logger).Serve(ctx, l.HTTPS) })
	group.Go(func() error { return listen.Plain(n.plain(), n.logger).Serve(ctx, l.HTTP) })
	group.Go(func() error { return n.status.Run(ctx) })
	group.Go(func() error { return n.keepSelf(ctx) })
	for _, s := range n.sinks {
		group.Go(func() error { return s.Run(ctx) })
	}
	if n.notices != nil {
		group.Go(func() error { return n.notices.Run(ctx) })
	}
	group.Go(func() error { return n.collect(ctx) })
	group.Go(func() error { return n.recheck.run(ctx) })
	return errors.Join(group.Wait(), n.Close())
}

// tlsConfig is that of the https listener.
func (n *Network) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, DynamicRecordSizingDisabled: true, // a common EST client reads the first record of an answer alone
		ClientAuth:       tls.RequestClientCert, // verified by the identity middleware, so that a client with an expired certificate still gets an answer
		GetCertificate:   func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return n.certificate.Load(), nil },
		VerifyConnection: func(c tls.ConnectionState) error { n.suites.Observe(&c, n.now()); return nil },
	}
}

// keepSelf renews the listener's certificate at two thirds of its life.
func (n *Network) keepSelf(ctx context.Context) error {
	ticker := time.NewTicker(time.Minute)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
			if n.now().Before(enroll.RenewAfter(n.certificate.Load().Leaf)) {
				continue
			}
			if err := n.renewSelf(ctx); err != nil {
				n.logger.LogAttrs(ctx, slog.LevelError, "cannot renew own certificate", slog.Any("err", err))
			}
		}
	}
}

// Close ends a network; one that was served is closed when it ends.
func (n *Network) Close() error {
	return errors.Join(n.authority.Unreserve(context.Background()), n.store.Close())
}

// gate lets the enrollment server ask the authority.
type gate struct {
	*core
	now func() time.Time
}

// Issue implements server.Gate.
func (g gate) Issue(ctx context.Context, req server.Request) (*server.Issued, error) {
	return g.issued(g.authority.Issue(ctx, request(req)))
}

// Renew implements server.Gate.
func (g gate) Renew(ctx context.Context, old *x509.Certificate, req server.Request) (*server.Issued, error) {
	return g.issued(g.authority.Renew(ctx, old, request(req)))
}

func request(req server.Request) ca.Request {
	return ca.Request{
		Party: req.Party, Profile: req.Profile, CSR: req.CSR,
		Requester: req.Requester, Protocol: req.Protocol, From: req.From, Token: req.Token,
	}
}

func (g gate) issued(c *ca.Certificate, err error) (*server.Issued, error) {
	if err != nil {
		return nil, waiting(err)
	}
	id, err := policy.IdentityOf(c.Leaf, g.authority.Network())
	return &server.Issued{Identity: id, Chain: c.Chain}, err
}

// localStatus checks the CA's own clients against its own store.
type localStatus struct {
	store ca.Store
	now   func() time.Time
}

// Check implements mtls.StatusChecker: the inventory must hold exactly this
// certificate, unrevoked. Issuing CAs are trusted as loaded.
func (l localStatus) Check(ctx context.Context, leaf, _ *x509.Certificate, _ []byte) (ocsp.Verdict, error) {
	now := l.now()
	verdict := ocsp.Verdict{State: ocsp.Good, Source: "store", ProducedAt: now, ThisUpdate: now, NextUpdate: now, CheckedAt: now}
	if leaf.IsCA {
		return verdict, nil
	}
	record, err := l.store.ByThumbprint(ctx, sha256.Sum256(leaf.Raw))
	serial := fmt.Sprintf("%x", leaf.SerialNumber)
	switch {
	case errors.Is(err, ca.ErrNotFound):
		return ocsp.Verdict{}, &problem.Error{Status: http.StatusForbidden, Name: "certificate-unknown", Detail: "certificate " + serial + " is not in the inventory of this CA, want one that it issued"}
	case err != nil:
		return ocsp.Verdict{}, err
	case record.Revocation != nil:
		verdict.State, verdict.RevokedAt, verdict.Reason = ocsp.Revoked, record.Revocation.At, int(record.Revocation.Reason)
		return verdict, &ocsp.RevokedError{Serial: serial, At: verdict.RevokedAt, Reason: verdict.Reason, Source: verdict.Source}
	}
	return verdict, l.checkParty(ctx, record.Party)
}

// checkParty refuses a party that is suspended or closed, also while its certificates are still being put on hold or revoked.
func (l localStatus) checkParty(ctx context.Context, id string) error {
	party, err := l.store.Party(ctx, id)
	if err == nil && party.State != policy.Active {
		err = &problem.Error{Status: http.StatusForbidden, Name: "party-inactive", Detail: "party " + id + " is " + string(party.State) + ", want an active one"}
	}
	return err
}
