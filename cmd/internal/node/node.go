package node

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
)

// Config is what a [Node] is made from. Identity and Dir are needed.
type Config struct {
	Identity  string        // identity directory of the node, as payca enroll made it
	Upstream  string        // https URL of the CA; "" for the one that the identity is from
	Dir       string        // where it keeps what it knows
	Validity  time.Duration // from thisUpdate to nextUpdate; 0 for 1 h
	MaxAge    time.Duration // how long HTTP caches may keep an answer; 0 for 5 min
	Retention time.Duration // as ocsp.ResponderConfig has it
	Now       func() time.Time
	Logger    *slog.Logger
}

// A Node answers status questions. Its methods are safe for concurrent use.
type Node struct {
	cfg       Config
	source    *enroll.Source
	client    *api.Client
	store     *store
	verifier  string
	root      *x509.Certificate
	issuers   []*issuer
	files     files
	changes   *feed.Client
	index     *ocsp.Index
	responder *ocsp.Responder
	complete  atomic.Bool               // everything that was issued was read once
	asOf      atomic.Pointer[time.Time] // when the newest checkpoint was signed
	changed   chan struct{}             // a change was read: lists will follow
}

// An issuer is an issuing CA that the node answers for.
type issuer struct {
	name        string
	certificate *x509.Certificate
	signer      atomic.Pointer[ocsp.Signer]
}

// Open loads a node from its directory. The first time the CA has to be reached; later it goes on without.
func Open(ctx context.Context, cfg Config) (*Node, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Validity == 0 {
		cfg.Validity = time.Hour
	}
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: cfg.Identity, Now: cfg.Now, Logger: cfg.Logger})
	if err != nil {
		return nil, err
	}
	client, err := api.NewClient(source)
	if err != nil {
		return nil, err
	}
	if cfg.Upstream != "" {
		client.URL = strings.TrimSuffix(cfg.Upstream, "/")
	}
	if err := os.MkdirAll(cfg.Dir, 0o750); err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, source: source, client: client, root: source.Trust().Roots[0], changed: make(chan struct{}, 1)}
	if n.store, err = openStore(filepath.Join(cfg.Dir, "node.db")); err != nil {
		return nil, err
	}
	if err := n.start(ctx); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Close ends a node; one that was served is closed when it ends.
func (n *Node) Close() error {
	n.client.HTTP.CloseIdleConnections()
	return n.store.db.Close()
}

func (n *Node) start(ctx context.Context) error {
	if err := n.introduce(ctx); err != nil {
		return err
	}
	n.complete.Store(n.store.read(keyComplete) != nil)
	n.asOf.Store(new(time.Time))
	var from *feed.Checkpoint
	if signed := n.store.read(keyCheckpoint); signed != nil {
		checkpoint, err := feed.ParseCheckpoint(signed, n.verifier)
		if err != nil {
			return fmt.Errorf("reading the checkpoint that was kept: %w; empty %s to begin anew", err, n.cfg.Dir)
		}
		from = &checkpoint
		n.asOf.Store(&checkpoint.Signed)
	}
	var err error
	n.changes, err = feed.NewClient(feed.Config{
		URL: n.client.URL, Key: n.verifier, HTTP: n.client.HTTP, Now: n.cfg.Now, Logger: n.cfg.Logger, From: from, Apply: n.apply,
	})
	if err != nil {
		return err
	}
	names := make([]string, len(n.issuers))
	responders := make([]ocsp.ResponderIssuer, len(n.issuers))
	for i, is := range n.issuers {
		names[i] = is.name
		responders[i] = ocsp.ResponderIssuer{Name: is.name, Certificate: is.certificate, Signer: is.signer.Load}
		if err := n.loadDelegate(is); err != nil {
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot use the delegate that was kept", slog.String("issuer", is.name), slog.Any("err", err))
		}
	}
	if n.index, err = ocsp.NewIndex(ocsp.IndexConfig{Source: kept{n}, Issuers: names}); err != nil {
		return err
	}
	n.responder, err = ocsp.NewResponder(ocsp.ResponderConfig{
		Issuers: responders, Source: n.index, Validity: n.cfg.Validity, MaxAge: n.cfg.MaxAge, Retention: n.cfg.Retention,
		AsOf: func() time.Time { return *n.asOf.Load() }, Now: n.cfg.Now, Logger: n.cfg.Logger,
	})
	if err != nil {
		return err
	}
	n.loadFiles(ctx)
	return nil
}

// introduce asks the CA which issuing CAs there are and what verifies its lists, or takes what it said last.
func (n *Node) introduce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	description, err := n.client.Node(ctx)
	var verifier string
	if err == nil {
		verifier, err = n.client.StatusKey(ctx)
	}
	if err != nil {
		raw, key := n.store.read(keyDescription), n.store.read(keyVerifier)
		if raw == nil || key == nil {
			return fmt.Errorf("asking the CA what to serve: %w", err)
		}
		n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot reach the CA, going on with what it said last", slog.Any("err", err))
		if err := json.Unmarshal(raw, &description); err != nil {
			return fmt.Errorf("reading what the CA said last: %w", err)
		}
		n.verifier = string(key)
		return n.describe(description)
	}
	n.verifier = verifier
	if err := n.describe(description); err != nil {
		return err
	}
	raw, err := json.Marshal(description)
	if err != nil {
		return err
	}
	return errors.Join(n.store.write(keyDescription, raw), n.store.write(keyVerifier, []byte(verifier)))
}

// describe takes over the issuing CAs, each of which the root must have signed.
func (n *Node) describe(d api.NodeReply) error {
	for _, given := range d.Issuers {
		c, err := x509.ParseCertificate(given.Certificate)
		if err == nil {
			err = c.CheckSignatureFrom(n.root)
		}
		if err != nil {
			return fmt.Errorf("certificate of the %s CA: %w", given.Name, err)
		}
		n.issuers = append(n.issuers, &issuer{name: given.Name, certificate: c})
	}
	return nil
}

// Network returns the name of the network.
func (n *Node) Network() string { return n.source.Identity().Network }

// kept answers from the store, once everything that was issued is in it.
type kept struct{ *Node }

var errReading = errors.New("the list of issued certificates has not been read to its end yet")

// Status implements ocsp.Source.
func (k kept) Status(_ context.Context, issuer string, serial []byte) (ocsp.Status, error) {
	if !k.complete.Load() {
		return ocsp.Status{}, errReading
	}
	return k.store.status(issuer, serial)
}

// apply takes over changes that a checkpoint proves: first the store, then what was remembered, then what is told of their time.
func (n *Node) apply(changes []feed.Change, checkpoint feed.Checkpoint, signed []byte) error {
	if err := n.store.apply(changes, signed); err != nil {
		return fmt.Errorf("keeping status changes: %w", err)
	}
	for _, c := range changes {
		serial, err := serialOf(c)
		if err != nil {
			return err
		}
		n.index.Drop(c.Issuer, serial)
		n.responder.Drop(c.Issuer, serial)
	}
	n.asOf.Store(&checkpoint.Signed)
	if len(changes) > 0 {
		select {
		case n.changed <- struct{}{}:
		default:
		}
	}
	return nil
}

// Health is nil while the node answers every question, and says otherwise what is in the way.
func (n *Node) Health() error {
	errs := []error{n.responder.Health()}
	if !n.complete.Load() {
		errs = append(errs, errReading)
	}
	if asOf := *n.asOf.Load(); !n.cfg.Now().Before(asOf.Add(n.cfg.Validity)) {
		errs = append(errs, fmt.Errorf("the newest checkpoint is of %s, want one of the last %v", asOf.Format(time.RFC3339), n.cfg.Validity))
	}
	return errors.Join(errs...)
}
