package network

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
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
	"github.com/payca/payca/policy"
)

// ErrNoNetwork says that a directory holds no network.
var ErrNoNetwork = errors.New("no network here")

// A coreConfig says which network to load.
type coreConfig struct {
	dir        string
	config     *config.Config
	passphrase []byte
	now        func() time.Time
	logger     *slog.Logger
}

// core is a loaded network: what issues and what remembers.
type core struct {
	config    *config.Config
	root      *x509.Certificate
	store     ca.Store
	authority *ca.Authority
	status    *status.Service
	tokenKey  crypto.Signer
	logKey    string
}

// url is where the network's https listener is reached, as tokens name it.
func (c *core) url() string {
	_, port, err := net.SplitHostPort(c.config.Listen.HTTPS)
	if err != nil {
		port = "8443"
	}
	return "https://" + net.JoinHostPort(c.config.ServerNames[0], port)
}

// openCore opens keys and store and builds the authority over them.
func openCore(ctx context.Context, cfg coreConfig) (*core, error) {
	if cfg.logger == nil {
		cfg.logger = slog.New(slog.DiscardHandler)
	}
	files := caDir(cfg.dir)
	keys, err := openKeys(ctx, files, cfg.passphrase)
	if err != nil {
		return nil, err
	}
	log, err := audit.New(audit.Config{Origin: logOrigin(cfg.config.Network), Signer: keys.log})
	if err != nil {
		return nil, err
	}
	rootCRL, err := os.ReadFile(files.path("root.crl"))
	if err != nil {
		return nil, err
	}
	linter, err := lint.New()
	if err != nil {
		return nil, err
	}
	profiles, err := cfg.config.CompiledProfiles()
	if err != nil {
		return nil, err
	}
	store, err := boltstore.Open(ctx, boltstore.Config{Path: storePath(cfg.dir, cfg.config), Log: log, Logger: cfg.logger})
	if err != nil {
		return nil, err
	}
	c := &core{config: cfg.config, root: keys.root, store: store, tokenKey: keys.token, logKey: log.VerifierKey()}
	c.status, err = status.New(status.Config{
		Store: store, Root: keys.root, RootCRL: rootCRL, OCSPValidity: cfg.config.OCSP.Validity.Duration(),
		OCSPMaxAge: cfg.config.OCSP.MaxAge.Duration(), CRLValidity: cfg.config.CRL.Validity.Duration(), Now: cfg.now, Logger: cfg.logger,
	})
	if err == nil {
		c.authority, err = ca.New(ctx, ca.Config{
			Network: cfg.config.Network, Root: keys.root, Issuers: keys.issuers, Profiles: profiles,
			Store: store, Linter: linter, StatusURL: cfg.config.StatusURL, OnRevoke: c.status.Revoked, Now: cfg.now, Logger: cfg.logger,
		})
	}
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	return c, nil
}

func storePath(dir string, cfg *config.Config) string {
	if cfg.Store.Bolt != "" {
		return filepath.Join(dir, cfg.Store.Bolt) // Join keeps an absolute second path relative; config refuses those
	}
	return caDir(dir).path("store.db")
}

// keys are the opened keys of a network; the root's is not among them.
type keys struct {
	root    *x509.Certificate
	issuers []ca.Issuer
	log     crypto.Signer
	token   crypto.Signer
}

func openKeys(ctx context.Context, files layout, passphrase []byte) (*keys, error) {
	ring, err := ca.NewKeyring(passphrase)
	if err != nil {
		return nil, err
	}
	var k keys
	if k.root, err = readCertificate(files.certificate("root")); err != nil {
		return nil, err
	}
	for _, name := range policy.CAs() {
		is := ca.Issuer{Name: name}
		if is.Certificate, err = readCertificate(files.certificate(name)); err != nil {
			return nil, err
		}
		if is.Signer, err = ca.OpenKey(ctx, files.key(name), ring); err != nil {
			return nil, fmt.Errorf("opening the key of the %s CA: %w", name, err)
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

// LoadConfig reads the configuration of the network in dir; [ErrNoNetwork] if there is none.
func LoadConfig(dir string) (*config.Config, error) {
	path := filepath.Join(dir, ConfigFile)
	cfg, err := config.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoNetwork)
	}
	return cfg, err
}

// readPassphrase finds the passphrase of the network's keys: the given file,
// the configured one, or ca/passphrase.
func readPassphrase(dir, file string, cfg *config.Config) ([]byte, error) {
	if file == "" && cfg.Keys.PassphraseFile != "" {
		file = cfg.Keys.PassphraseFile
	}
	if file == "" {
		file = caDir(dir).path("passphrase")
	}
	return ReadPassphrase(file)
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
