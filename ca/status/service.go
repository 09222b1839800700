package status

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
)

// A Store is what a [Service] needs of a ca.Store.
type Store interface {
	ca.StatusStore
	ca.Inventory
}

// Config says what a [Service] serves and for how long its answers hold.
type Config struct {
	Store       Store // where statuses are looked up
	Root        *x509.Certificate
	RootCRL     func() ([]byte, error) // DER, signed at the ceremony; asked as often as Coalesce says, for the next ceremony makes a new one
	Dir         string                 // where CRLs are kept as they were published, in a tree that a web server may serve as /crl
	OCSP        OCSPOptions
	Feed        FeedOptions
	CRLValidity time.Duration // from thisUpdate to nextUpdate, 0: 24 h
	CRLInterval time.Duration // longest time between two CRLs of an issuer, 0: half of CRLValidity
	Coalesce    time.Duration // least time between two rounds of lists of an issuer: what changes meanwhile waits for the next; 0: 1 s
	ShardBudget int64         // octets over which a shard raises an alarm, 0: 512 KiB
	RootAlarm   time.Duration // how long before its end the root's CRL raises an alarm, 0: 60 days
	Now         func() time.Time
	Logger      *slog.Logger
}

// OCSPOptions shape OCSP answers; see ocsp.ResponderConfig.
type OCSPOptions struct {
	Validity       time.Duration // 0: the default of package ocsp
	MaxAge         time.Duration // 0: the default of package ocsp
	ByName         bool          // signers name themselves by their subject
	RefuseSHA1     bool
	ExtendedRevoke bool
	Retention      time.Duration
}

// A Service answers status questions about one network. Its methods are safe
// for concurrent use once [Service.Start] has returned.
type Service struct {
	cfg       Config
	authority *ca.Authority
	issuers   map[string]*issuer
	order     []string
	responder atomic.Pointer[ocsp.Responder]
	index     atomic.Pointer[ocsp.Index]
	changes   *changes         // nil without a feed
	feed      http.Handler     // serves it
	issued    bell             // rings when a certificate was issued
	files     map[string]file  // what never changes: certificates, by path
	lists     map[string]*list // CRLs by path
	root      atomic.Pointer[rootCRL]

	rootFailure atomic.Pointer[error] // why the newest CRL of the root is not served
}

// New checks cfg and returns a service that [Service.Start] brings to life.
func New(cfg Config) (*Service, error) {
	if cfg.Store == nil || cfg.Root == nil || cfg.RootCRL == nil || cfg.Dir == "" {
		return nil, errors.New("status service: want Store, Root, RootCRL and Dir")
	}
	if cfg.CRLValidity == 0 {
		cfg.CRLValidity = 24 * time.Hour
	}
	if cfg.CRLInterval == 0 {
		cfg.CRLInterval = cfg.CRLValidity / 2
	}
	if cfg.Coalesce == 0 {
		cfg.Coalesce = time.Second
	}
	if cfg.ShardBudget == 0 {
		cfg.ShardBudget = 512 << 10
	}
	if cfg.RootAlarm == 0 {
		cfg.RootAlarm = 60 * 24 * time.Hour
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{cfg: cfg, issuers: map[string]*issuer{}, files: map[string]file{}, lists: map[string]*list{}}
	if cfg.Feed.Key != nil {
		var err error
		if s.changes, err = newChanges(cfg.Feed, cfg.Store, cfg.Now); err != nil {
			return nil, fmt.Errorf("status service: %w", err)
		}
		s.feed = feed.Handler(s.changes)
	}
	return s, nil
}

// Start has the authority issue one OCSP signer per issuer and signs the first
// CRLs. It is called once, before anything else but [Service.Revoked].
func (s *Service) Start(ctx context.Context, authority *ca.Authority) error {
	s.authority = authority
	var responders []ocsp.ResponderIssuer
	for _, name := range authority.Issuers() {
		certificate, err := authority.Issuer(name)
		if err != nil {
			return err
		}
		is := &issuer{name: name, certificate: certificate}
		if err := s.renewSigner(ctx, is); err != nil {
			return err
		}
		s.issuers[is.name] = is
		s.order = append(s.order, is.name)
		s.files["/ca/"+is.name+".crt"] = newFile("application/pkix-cert", is.certificate.Raw, is.certificate.NotBefore, time.Time{})
		responders = append(responders, ocsp.ResponderIssuer{Name: is.name, Certificate: is.certificate, Signer: is.signer.Load})
	}
	s.files["/ca/root.crt"] = newFile("application/pkix-cert", s.cfg.Root.Raw, s.cfg.Root.NotBefore, time.Time{})
	if err := s.loadRootCRL(ctx); err != nil {
		return err
	}

	index, err := ocsp.NewIndex(ocsp.IndexConfig{Source: source{s.cfg.Store}, Issuers: s.order})
	if err != nil {
		return fmt.Errorf("starting the index of statuses: %w", err)
	}
	s.index.Store(index)
	responder, err := ocsp.NewResponder(ocsp.ResponderConfig{
		Issuers: responders, Source: index, Validity: s.cfg.OCSP.Validity, MaxAge: s.cfg.OCSP.MaxAge,
		RefuseSHA1: s.cfg.OCSP.RefuseSHA1, ExtendedRevoke: s.cfg.OCSP.ExtendedRevoke, Retention: s.cfg.OCSP.Retention,
		Now: s.cfg.Now, Logger: s.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("starting the OCSP responder: %w", err)
	}
	s.responder.Store(responder)
	for _, name := range s.order {
		is := s.issuers[name]
		if err := s.startLists(ctx, is); err != nil {
			return err
		}
		for _, l := range is.lists {
			s.lists[l.path] = l
		}
	}
	return nil
}

// Run publishes the CRLs of an issuer within the time of Coalesce after a revocation that
// nobody published, renews CRLs at the interval, takes over a new CRL of the root, logs alarms, renews OCSP signers at half of their life, and
// OCSP answers that are asked for before they are over, until ctx ends. It also reads all
// statuses into memory; until it has, answers come from the store.
func (s *Service) Run(ctx context.Context) error {
	var background sync.WaitGroup
	defer background.Wait()
	background.Go(func() { s.warmUp(ctx) })
	background.Go(func() { _ = s.responder.Load().Run(ctx) }) // which ends with ctx and never fails
	second, minute := time.NewTicker(s.cfg.Coalesce), time.NewTicker(time.Minute)
	defer second.Stop()
	defer minute.Stop()
	alarms := s.logAlarms(ctx, nil)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-second.C:
			s.refreshLists(ctx)
			alarms = s.logAlarms(ctx, alarms)
		case <-minute.C:
			s.refresh(ctx)
		}
	}
}

// refreshLists publishes the lists that lack something or are due, and the root's. What fails becomes an alarm, and is tried
// again after retryPause.
func (s *Service) refreshLists(ctx context.Context) {
	for _, name := range s.order {
		if f := s.issuers[name].failure.Load(); f != nil && time.Since(f.last) < retryPause {
			continue
		}
		_, _ = s.Publish(ctx, name) // the issuer keeps the failure
	}
	err := s.loadRootCRL(ctx)
	if s.rootFailure.Store(nil); err != nil {
		s.rootFailure.Store(&err)
	}
}

// refresh renews the OCSP signers that are due; what fails is logged and tried again at the next tick.
func (s *Service) refresh(ctx context.Context) {
	now := s.cfg.Now()
	for _, name := range s.order {
		is := s.issuers[name]
		if delegate := is.signer.Load().Certificate(); now.After(middle(delegate.NotBefore, delegate.NotAfter)) {
			if err := s.renewSigner(ctx, is); err != nil {
				s.cfg.Logger.LogAttrs(ctx, slog.LevelError, "cannot renew ocsp signer", slog.String("issuer", name), slog.Any("err", err))
			}
		}
	}
}

func middle(from, to time.Time) time.Time { return from.Add(to.Sub(from) / 2) }

// renewSigner gives the issuer a new OCSP delegate.
func (s *Service) renewSigner(ctx context.Context, is *issuer) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("making the OCSP signer key of %s: %w", is.name, err)
	}
	delegate, err := s.authority.IssueResponder(ctx, is.name, key)
	if err != nil {
		return fmt.Errorf("issuing the OCSP signer of %s: %w", is.name, err)
	}
	signer, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: is.certificate, Certificate: delegate, Key: key, ByName: s.cfg.OCSP.ByName})
	if err != nil {
		return fmt.Errorf("loading the OCSP signer of %s: %w", is.name, err)
	}
	is.signer.Store(signer)
	return nil
}

// Revoked drops every cached answer about a certificate that was revoked, held or released, and notes that the
// issuer's CRLs are to be renewed. It is meant for ca.Config.OnRevoke, so that no answer
// outlives the change.
func (s *Service) Revoked(issuer string, serial ca.Serial) {
	if is, ok := s.issuers[issuer]; ok {
		is.ask(serial)
	}
	if index := s.index.Load(); index != nil { // before the responder, which asks it
		index.Drop(issuer, serial.Int().Bytes())
	}
	if responder := s.responder.Load(); responder != nil {
		responder.Drop(issuer, serial.Int().Bytes())
	}
	if s.changes != nil {
		s.changes.ring()
	}
}

// FeedPath is above the paths of the feed.
const FeedPath = "/v1/status/"

// ServeHTTP serves the paths that certificates carry. OCSP requests are
// handled on the escaped path, before anything could clean it.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	responder := s.responder.Load()
	if responder == nil {
		http.Error(w, "status service is starting", http.StatusServiceUnavailable)
		return
	}
	if r.URL.Path == "/ocsp" || strings.HasPrefix(r.URL.Path, "/ocsp/") {
		responder.ServeHTTP(w, r)
		return
	}
	path := r.URL.EscapedPath()
	if s.feed != nil && strings.HasPrefix(path, FeedPath) {
		s.feed.ServeHTTP(w, r)
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method "+r.Method+" on "+path+", want GET or HEAD", http.StatusMethodNotAllowed)
		return
	}
	if fixed, ok := s.files[path]; ok {
		fixed.serve(w, r, s.cfg.Now())
		return
	}
	if l, ok := s.lists[path]; ok {
		l.serve(w, r, s.cfg.Now())
		return
	}
	if path == "/crl/root.crl" {
		s.root.Load().serve(w, r, s.cfg.Now())
		return
	}
	http.NotFound(w, r)
}
