package ca

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A Linter checks a certificate as crypto/x509 read it from Raw, under a signature that is none, before the issuer's key
// signs the same bytes. It changes nothing of it. A nil error means clean.
type Linter func(c *x509.Certificate) error

// A Config is what an [Authority] works with.
type Config struct {
	Network   string                      // name of the network: pay.example
	Root      *x509.Certificate           // self-signed; its key is not needed
	Issuers   []Issuer                    // the issuing CAs, each named as in policy.CAs
	Profiles  []*policy.Profile           // what may be issued
	Store     Store                       // if it has a method Check(context.Context) error, New calls it
	Linter    Linter                      // asked before every signature
	WeakKeys  KeyChecker                  // asked of every key; nil: no key is listed
	OwnKeys   map[string]crypto.PublicKey // keys of the CA beside those of Root and Issuers, by whose they are: "the audit log"
	StatusURL string                      // base of AIA and CDP: http://localhost:8080
	Shards    map[string]int              // by issuer: over how many CRL shards new certificates are spread; 0: they name the full list

	// OnRevoke is told of every revocation, hold and release, after its commit and before the call that made it
	// returns. It drops what was signed ahead; it may be told of one whose commit failed. Nil: nobody.
	OnRevoke func(issuer string, serial Serial)
	// Approvals is who approves what.
	Approvals policy.Approvals

	// OnIssue is told of every certificate that was issued, after its commit. Nil: nobody.
	OnIssue func(issuer string, serial Serial)

	Now    func() time.Time // nil: time.Now
	Random io.Reader        // nil: crypto/rand
	Logger *slog.Logger     // nil: discarded
}

// An Authority is the CA as a whole.
type Authority struct {
	cfg      Config
	issuers  map[string]*issuer
	profiles map[string]*policy.Profile
	shards   map[string]int      // by issuer: how many its CRL has
	ownKeys  map[[32]byte]string // SHA-256 of SubjectPublicKeyInfo -> whose it is
	turns    turns               // of parties under profiles with limits
	spares   spares
	longest  map[string]time.Duration // by issuer: how long its certificates last at most
}

// New checks the configuration and the store, closes the intents that a crash left open, and
// returns the authority. It refuses half a configuration, a key that does not match its
// certificate and an issuer that the root did not sign; the error joins all findings.
func New(ctx context.Context, cfg Config) (*Authority, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.WeakKeys == nil {
		cfg.WeakKeys = func(crypto.PublicKey) string { return "" }
	}
	if cfg.OnRevoke == nil {
		cfg.OnRevoke = func(string, Serial) {}
	}
	if cfg.OnIssue == nil {
		cfg.OnIssue = func(string, Serial) {}
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	own, err := ownKeysOf(cfg)
	if err != nil {
		return nil, err
	}
	a := &Authority{
		cfg:      cfg,
		issuers:  make(map[string]*issuer, len(cfg.Issuers)),
		profiles: make(map[string]*policy.Profile, len(cfg.Profiles)),
		ownKeys:  own,
		shards:   make(map[string]int, len(cfg.Issuers)),
		longest:  longestValidity(cfg.Profiles),
	}
	for _, p := range cfg.Profiles {
		a.profiles[p.Name()] = p
	}
	for _, in := range cfg.Issuers {
		is, err := newIssuer(in)
		if err != nil {
			return nil, fmt.Errorf("issuer %q: %w", in.Name, err)
		}
		a.issuers[in.Name] = is
	}
	if checker, ok := cfg.Store.(interface{ Check(context.Context) error }); ok {
		if err := checker.Check(ctx); err != nil {
			return nil, fmt.Errorf("checking the store: %w", err)
		}
	}
	if err := a.closeIntents(ctx); err != nil {
		return nil, err
	}
	if err := a.raiseShards(ctx); err != nil {
		return nil, err
	}
	return a, nil
}

// check reports everything that is missing or does not fit.
func (cfg Config) check() error {
	var errs []error
	refuse := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf("ca configuration: "+format, args...))
		}
	}
	if err := policy.CheckNetworkName(cfg.Network); err != nil {
		errs = append(errs, fmt.Errorf("ca configuration: network: %w", err))
	}
	refuse(cfg.Store != nil, "store is missing")
	refuse(cfg.Linter != nil, "linter is missing")
	refuse(len(cfg.Profiles) > 0, "profiles are missing")
	if err := checkStatusURL(cfg.StatusURL); err != nil {
		errs = append(errs, fmt.Errorf("ca configuration: %w", err))
	}
	for name, n := range cfg.Shards {
		refuse(n >= 0 && n <= MaxShards, "%d CRL shards of the %s CA, want at most %d", n, name, MaxShards)
	}
	names := make(map[string]bool)
	for i, p := range cfg.Profiles {
		if p == nil {
			refuse(false, "profile %d is nil", i)
			continue
		}
		refuse(!names[p.Name()], "profile %q is there twice", p.Name())
		names[p.Name()] = true
	}
	if cfg.Root == nil {
		refuse(false, "root is missing")
		return errors.Join(errs...)
	}
	if err := cfg.Root.CheckSignatureFrom(cfg.Root); err != nil {
		errs = append(errs, fmt.Errorf("ca configuration: root is not self-signed: %w", err))
	}
	refuse(len(cfg.Issuers) > 0, "issuers are missing")
	seen := make(map[string]bool)
	for _, in := range cfg.Issuers {
		refuse(slices.Contains(policy.CAs(), in.Name), "issuer %q, want one of %s", in.Name, strings.Join(policy.CAs(), ", "))
		refuse(!seen[in.Name], "issuer %q is there twice", in.Name)
		seen[in.Name] = true
		if err := in.check(cfg.Root); err != nil {
			errs = append(errs, fmt.Errorf("ca configuration: issuer %q: %w", in.Name, err))
			continue
		}
		if err := policy.CheckIssuer(cfg.Network, in.Name, in.Certificate); err != nil {
			errs = append(errs, fmt.Errorf("ca configuration: issuer %q: %w", in.Name, err))
		}
	}
	return errors.Join(errs...)
}

// checkStatusURL wants plain http: a client that checks a status must not have to check another first.
func checkStatusURL(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.HasSuffix(base, "/") {
		return fmt.Errorf("status URL %q, want http://HOST[:PORT][/PATH] without a slash at the end", base)
	}
	return nil
}

// closeIntents ends what a crash left between reservation and commit. A certificate with such a
// serial may exist, signed and handed to nobody; its serial is revoked for good.
func (a *Authority) closeIntents(ctx context.Context) error {
	intents, err := a.cfg.Store.Intents(ctx)
	if err != nil {
		return fmt.Errorf("listing open intents: %w", err)
	}
	for _, in := range intents {
		if err := a.closeIntent(ctx, in, "cut off before its commit"); err != nil {
			return err
		}
		a.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "closed an open intent",
			slog.String("serial", in.Serial.String()), slog.String("issuer", in.Issuer), slog.String("profile", in.Profile))
	}
	return nil
}

// closeIntent revokes the serial of an intent that came to nothing, and records why.
func (a *Authority) closeIntent(ctx context.Context, in Intent, why string) error {
	now := a.now()
	rev := Revocation{Serial: in.Serial, Issuer: in.Issuer, Reason: Unspecified, At: now, NotAfter: in.NotAfter, By: self, Shard: in.Shard}
	event := audit.Event{
		Time: now, Kind: audit.IntentClosed, Actor: self, Party: in.Party, Issuer: in.Issuer,
		Profile: in.Profile, Serial: in.Serial.String(), Reason: clip(why),
	}
	err := a.cfg.Store.CloseIntent(ctx, rev, event)
	a.cfg.OnRevoke(in.Issuer, in.Serial)
	if err != nil {
		return fmt.Errorf("closing the intent of serial %s: %w", in.Serial, err)
	}
	return nil
}

// self is the actor of what the CA does on its own.
const self = "payca"

// now is the time for certificates and records.
func (a *Authority) now() time.Time { return a.cfg.Now().UTC().Truncate(time.Second) }

// Network returns the name of the network.
func (a *Authority) Network() string { return a.cfg.Network }

// Root returns the root certificate.
func (a *Authority) Root() *x509.Certificate { return a.cfg.Root }

// Issuers returns the names of the issuing CAs, in the order of the configuration.
func (a *Authority) Issuers() []string {
	names := make([]string, len(a.cfg.Issuers))
	for i, in := range a.cfg.Issuers {
		names[i] = in.Name
	}
	return names
}

// Issuer returns the certificate of the named issuing CA, or an error that wraps [ErrNotFound].
func (a *Authority) Issuer(name string) (*x509.Certificate, error) {
	is, err := a.issuer(name)
	if err != nil {
		return nil, err
	}
	return is.cert, nil
}

func (a *Authority) issuer(name string) (*issuer, error) {
	if is, ok := a.issuers[name]; ok {
		return is, nil
	}
	return nil, fmt.Errorf("issuer %q: %w, want one of %s", name, ErrNotFound, strings.Join(a.Issuers(), ", "))
}

// clip bounds what a requester can make us write down: 1,024 bytes, cut between characters.
func clip(s string) string { return cut(s, 1024) }

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "…"
}
