package network

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// ErrNoNetwork says that a directory holds no network.
var ErrNoNetwork = errors.New("no network here")

// A coreConfig says which network to load.
type coreConfig struct {
	dir    string
	config config.Config
	ring   *ca.Keyring
	now    func() time.Time
	logger *slog.Logger

	beforeCommit func() error
}

// core is a loaded network: what issues and what remembers.
type core struct {
	config    config.Config
	root      *x509.Certificate
	store     ca.Store
	authority *ca.Authority
	profiles  []*policy.Profile
	endpoints *policy.Endpoints // who may call what
	status    *status.Service
	tokenKey  crypto.Signer
	logKey    string
}

// URL is where the network's https listener is reached, as tokens name it.
func (c *core) URL() string {
	_, port, err := net.SplitHostPort(c.config.Listen.HTTPS)
	if err != nil {
		port = "8443"
	}
	host := ""
	switch { // the configuration has one or the other
	case len(c.config.ServerNames) > 0:
		host = c.config.ServerNames[0]
	case len(c.config.Addresses) > 0:
		host = c.config.Addresses[0].String()
	}
	return "https://" + net.JoinHostPort(host, port)
}

// Name returns the name of the network.
func (c *core) Name() string { return c.config.Network }

// StatusURL returns the base URL of OCSP and CRLs.
func (c *core) StatusURL() string { return c.config.StatusURL }

// openCore opens keys and store and builds the authority over them.
func openCore(ctx context.Context, cfg coreConfig) (*core, error) {
	if cfg.logger == nil {
		cfg.logger = slog.New(slog.DiscardHandler)
	}
	files := caDir(cfg.dir)
	keys, err := openKeys(ctx, files, cfg.ring)
	if err != nil {
		return nil, err
	}
	log, err := audit.New(audit.Config{Origin: logOrigin(cfg.config.Network), Signer: keys.log})
	if err != nil {
		return nil, err
	}
	profiles, err := cfg.config.CompileProfiles()
	if err != nil {
		return nil, err
	}
	linter, err := lint.New(lint.Config{Network: cfg.config.Network, StatusURL: cfg.config.StatusURL, Issuers: keys.issuers, Profiles: profiles})
	if err != nil {
		return nil, err
	}
	endpoints, err := cfg.config.CompileEndpoints()
	if err != nil {
		return nil, err
	}
	weak, err := weakKeys(cfg.dir, cfg.config.Keys.WeakLists)
	if err != nil {
		return nil, err
	}
	store, err := boltstore.Open(ctx, boltstore.Config{Path: inDir(cfg.dir, cfg.config.Store.Bolt), Log: log, Logger: cfg.logger, BeforeCommit: cfg.beforeCommit})
	if err != nil {
		return nil, err
	}
	statusKey, err := openStatusKey(ctx, files, cfg.ring)
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	c := &core{config: cfg.config, root: keys.root, store: store, profiles: profiles, endpoints: endpoints, tokenKey: keys.token, logKey: log.VerifierKey()}
	c.status, err = status.New(status.Config{
		Store: store, Root: keys.root, RootCRL: func() ([]byte, error) { return os.ReadFile(files.path("root.crl")) }, Dir: files.path("crl"),
		OCSP: ocspOptions(cfg.config.OCSP), Feed: status.FeedOptions{Key: statusKey, Origin: cfg.config.Network + "/status"},
		CRLValidity: time.Duration(cfg.config.CRL.Validity), CRLInterval: time.Duration(cfg.config.CRL.Interval),
		ShardBudget: cfg.config.CRL.ShardBudget, RootAlarm: time.Duration(cfg.config.CRL.RootAlarm), Now: cfg.now, Logger: cfg.logger,
	})
	if err == nil {
		c.authority, err = ca.New(ctx, ca.Config{
			Network: cfg.config.Network, Root: keys.root, Issuers: keys.issuers, Profiles: profiles, Approvals: cfg.config.Approvals,
			Store: store, Linter: linter, WeakKeys: weak, OwnKeys: ownKeys(keys, statusKey), StatusURL: cfg.config.StatusURL, OnRevoke: c.status.Revoked, OnIssue: c.status.OnIssue, Shards: shards(cfg.config.CRL), Now: cfg.now, Logger: cfg.logger,
		})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return c, nil
}

// ownKeys are the keys of the CA that sign no certificates.
func ownKeys(k *keys, status crypto.Signer) map[string]crypto.PublicKey {
	return map[string]crypto.PublicKey{
		"the audit log": k.log.Public(), "enrollment tokens": k.token.Public(), "the status feed": status.Public(),
	}
}

// shards is over how many parts of its CRL each issuing CA spreads new certificates.
func shards(c config.CRL) map[string]int {
	n := map[string]int{}
	for _, name := range policy.CAs() {
		n[name] = c.Shards
	}
	maps.Copy(n, c.ShardsOf)
	return n
}

func ocspOptions(c config.OCSP) status.OCSPOptions {
	return status.OCSPOptions{
		Validity: time.Duration(c.Validity), MaxAge: time.Duration(c.MaxAge), ByName: c.ResponderID == "name",
		RefuseSHA1: !c.SHA1, ExtendedRevoke: c.ExtendedRevoke, Retention: time.Duration(c.Retention),
	}
}

// inDir reads a path of the configuration: relative ones are below the network's directory.
func inDir(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// StorePath returns the path of the store of the network in dir; [ErrNoNetwork] if there is none.
func StorePath(dir string) (string, error) {
	cfg, err := LoadConfig(dir)
	return inDir(dir, cfg.Store.Bolt), err
}

// keys are the opened keys of a network; the root's is not among them.
type keys struct {
	root    *x509.Certificate
	issuers []ca.Issuer
	log     crypto.Signer
	token   crypto.Signer
}

func openKeys(ctx context.Context, files layout, ring *ca.Keyring) (*keys, error) {
	var k keys
	roots, err := enroll.ReadCertificates(files.certificate("root"))
	if err != nil {
		return nil, err
	}
	k.root = roots[0]
	for _, name := range policy.CAs() {
		is, err := openIssuer(ctx, files, name, ring)
		if err != nil {
			return nil, err
		}
		k.issuers = append(k.issuers, is)
	}
	if k.log, err = ca.OpenKey(ctx, files.key("log"), ring); err != nil {
		return nil, fmt.Errorf("opening the key of the audit log: %w", err)
	}
	if k.token, err = ca.OpenKey(ctx, files.key("token"), ring); err != nil {
		return nil, fmt.Errorf("opening the key of enrollment tokens: %w", err)
	}
	return &k, nil
}

// openStatusKey opens the key of the status feed, and makes it for a network of an older payca, which has none.
func openStatusKey(ctx context.Context, files layout, ring *ca.Keyring) (ed25519.PrivateKey, error) {
	signer, err := ca.OpenKey(ctx, files.key("status"), ring)
	if errors.Is(err, fs.ErrNotExist) {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		if err != nil {
			return nil, err
		}
		return key, seal(files.key("status"), ring, key)
	}
	if err != nil {
		return nil, fmt.Errorf("opening the key of the status feed: %w", err)
	}
	key, ok := signer.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key of the status feed is %T, want Ed25519", signer)
	}
	return key, nil
}

func openIssuer(ctx context.Context, files layout, name string, ring *ca.Keyring) (is ca.Issuer, err error) {
	is.Name = name
	certificates, err := enroll.ReadCertificates(files.certificate(name))
	if err != nil {
		return is, err
	}
	is.Certificate = certificates[0]
	if is.Signer, err = ca.OpenKey(ctx, files.key(name), ring); err != nil {
		return is, fmt.Errorf("opening the key of the %s CA: %w", name, err)
	}
	return is, nil
}

// OpenIssuer opens one issuing CA of the network in dir, with its key, as who
// copied the directory could.
func OpenIssuer(ctx context.Context, dir, name string) (ca.Issuer, error) {
	cfg, err := LoadConfig(dir)
	if err != nil {
		return ca.Issuer{}, err
	}
	ring, err := openRing(dir, "", cfg)
	if err != nil {
		return ca.Issuer{}, err
	}
	return openIssuer(ctx, caDir(dir), name, ring)
}

// LoadConfig reads the configuration of the network in dir; [ErrNoNetwork] if there is none.
func LoadConfig(dir string) (config.Config, error) {
	path := filepath.Join(dir, config.FileName)
	cfg, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, fmt.Errorf("%s: %w", dir, ErrNoNetwork)
	}
	return cfg, err
}

// openRing reads the passphrase of the network's keys from the given file, or the configured one.
func openRing(dir, file string, cfg config.Config) (*ca.Keyring, error) {
	if file == "" {
		file = inDir(dir, cfg.Keys.PassphraseFile)
	}
	passphrase, err := ReadPassphrase(file)
	if err != nil {
		return nil, err
	}
	return ca.NewKeyring(passphrase)
}

// PassphraseFile returns the configured passphrase file of the network in dir.
func PassphraseFile(dir string) (string, error) {
	cfg, err := LoadConfig(dir)
	return inDir(dir, cfg.Keys.PassphraseFile), err
}

// ReadPassphrase reads a passphrase file: its first line.
func ReadPassphrase(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the passphrase: %w", err)
	}
	line, _, _ := bytes.Cut(raw, []byte("\n"))
	if line = bytes.TrimRight(line, "\r"); len(line) == 0 {
		return nil, fmt.Errorf("reading the passphrase: %s is empty", file)
	}
	return line, nil
}

// LogKey reads the verifier key of the audit log of the network in dir.
func LogKey(dir string) (string, error) {
	raw, err := os.ReadFile(caDir(dir).path("log.pub"))
	return strings.TrimSpace(string(raw)), err
}
