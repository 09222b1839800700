package network

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// RootCRLValidity is for how long a root CRL holds unless something else is said. The root
// key is offline, so a new one takes a ceremony.
const RootCRLValidity = 365 * 24 * time.Hour

// CreateConfig says what [Create] makes.
type CreateConfig struct {
	Dir        string        // created if it does not exist
	Config     config.Config // written to payca.yaml
	Passphrase []byte        // opens the key files; nil has a random one written to ca/passphrase, which Config must name
	Now        func() time.Time
}

// Created is what [Create] made.
type Created struct {
	Root            *x509.Certificate
	Issuers         []string
	PassphraseFile  string // where a random passphrase was written, "" if one was given
	Operator        string // directory of the first operator's identity
	OperatorExpires time.Time
}

// An ExistsError refuses to create a network where one is already.
type ExistsError struct{ Path string }

// Error names what is in the way.
func (e *ExistsError) Error() string {
	return e.Path + " exists already, want a directory without a network"
}

// Create makes a network in cfg.Dir: keys, root, issuing CAs, store, the first
// operator and the configuration. *[ExistsError] if there is one; nothing is overwritten.
func Create(ctx context.Context, cfg CreateConfig) (*Created, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if err := policy.CheckNetworkName(cfg.Config.Network); err != nil {
		return nil, err
	}
	for _, name := range []string{config.FileName, "ca", Operator} {
		path := filepath.Join(cfg.Dir, name)
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return nil, &ExistsError{Path: path}
		}
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	building, err := os.MkdirTemp(cfg.Dir, ".creating-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(building) }()

	created, err := build(ctx, cfg, building)
	if err != nil {
		return nil, fmt.Errorf("creating network %s: %w", cfg.Config.Network, err)
	}
	text, err := cfg.Config.Marshal()
	if err != nil {
		return nil, err
	}
	if err := writeNew(filepath.Join(building, config.FileName), text, 0o600); err != nil {
		return nil, err
	}
	if err := syncTree(building); err != nil {
		return nil, err
	}
	// The configuration comes last: without it the directory is not a network.
	for _, name := range []string{"ca", Operator, config.FileName} {
		if err := os.Rename(filepath.Join(building, name), filepath.Join(cfg.Dir, name)); err != nil {
			return nil, err
		}
	}
	created.Operator = filepath.Join(cfg.Dir, Operator)
	if created.PassphraseFile != "" {
		created.PassphraseFile = caDir(cfg.Dir).path("passphrase")
	}
	return created, nil
}

// build makes everything below building, as it will stand in the network's directory.
func build(ctx context.Context, cfg CreateConfig, building string) (*Created, error) {
	files := caDir(building)
	if err := os.MkdirAll(files.path("issuers"), 0o700); err != nil {
		return nil, err
	}
	created := &Created{}
	if cfg.Passphrase == nil {
		created.PassphraseFile = files.path("passphrase")
		cfg.Passphrase = []byte(rand.Text())
		if err := writeNew(created.PassphraseFile, append(cfg.Passphrase, '\n'), 0o600); err != nil {
			return nil, err
		}
	}
	ring, err := ca.NewKeyring(cfg.Passphrase)
	if err != nil {
		return nil, err
	}
	profiles, err := cfg.Config.CompileProfiles()
	if err != nil {
		return nil, err
	}
	of := slices.IndexFunc(profiles, (*policy.Profile).Issuer) // there is a built-in one
	ceremony, err := ca.Create(ca.CeremonyConfig{Network: cfg.Config.Network, StatusURL: cfg.Config.StatusURL, Profile: profiles[of], Now: cfg.Now})
	if err != nil {
		return nil, err
	}
	created.Root = ceremony.Root
	if err := writeCeremony(files, ring, ceremony, cfg.Now()); err != nil {
		return nil, err
	}
	for _, is := range ceremony.Issuers {
		created.Issuers = append(created.Issuers, is.Name)
	}
	if err := writeServiceKeys(files, ring, cfg.Config.Network); err != nil {
		return nil, err
	}
	created.OperatorExpires, err = firstOperator(ctx, cfg, building, ring)
	return created, err
}

// writeCeremony writes what the ceremony made: certificates, sealed keys, root CRL.
func writeCeremony(files layout, ring *ca.Keyring, ceremony *ca.Ceremony, now time.Time) error {
	all := append([]ca.Issuer{{Name: "root", Certificate: ceremony.Root, Signer: ceremony.RootSigner}}, ceremony.Issuers...)
	for _, is := range all {
		if err := writePEM(files.certificate(is.Name), "CERTIFICATE", is.Certificate.Raw, 0o644); err != nil {
			return err
		}
		if err := seal(files.key(is.Name), ring, is.Signer); err != nil {
			return err
		}
	}
	der, err := status.RootCRL(ceremony, status.RootList{Number: 1, Now: now, Validity: RootCRLValidity})
	if err != nil {
		return err
	}
	return writeNew(files.path("root.crl"), der, 0o644)
}

// writeServiceKeys makes the keys of the audit log and of enrollment tokens.
func writeServiceKeys(files layout, ring *ca.Keyring, network string) error {
	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	if err := seal(files.key("log"), ring, logKey); err != nil {
		return err
	}
	log, err := audit.New(audit.Config{Origin: logOrigin(network), Signer: logKey})
	if err != nil {
		return err
	}
	if err := writeNew(files.path("log.pub"), []byte(log.VerifierKey()+"\n"), 0o644); err != nil {
		return err
	}
	tokenKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	return seal(files.key("token"), ring, tokenKey)
}

func logOrigin(network string) string { return network + "/ca" }

func seal(path string, ring *ca.Keyring, key crypto.Signer) error {
	text, err := ring.Seal(key)
	if err != nil {
		return err
	}
	return writeNew(path, text, 0o600)
}

// firstOperator opens the new network once, registers the first operator and
// writes its identity.
func firstOperator(ctx context.Context, cfg CreateConfig, building string, ring *ca.Keyring) (time.Time, error) {
	core, err := openCore(ctx, coreConfig{dir: building, config: cfg.Config, ring: ring, now: cfg.Now})
	if err != nil {
		return time.Time{}, err
	}
	defer func() { _ = core.store.Close() }()
	now := cfg.Now().UTC().Truncate(time.Second)
	name := cfg.Config.Network
	operator := policy.Party{ID: Operator, Role: policy.Operator, Name: name, State: policy.Active, Created: now}
	created := audit.Event{Time: now, Kind: audit.NetworkCreated, Actor: "local", Attrs: map[string]string{"network": name}}
	if err := core.store.Append(ctx, created); err != nil {
		return time.Time{}, err
	}
	if err := core.putInForce(ctx); err != nil {
		return time.Time{}, err
	}
	added := audit.Event{Time: now, Kind: audit.PartyAdded, Actor: "local", Party: operator.ID, Role: string(operator.Role)}
	if err := core.store.AddParty(ctx, operator, added); err != nil {
		return time.Time{}, err
	}
	key, request, err := enroll.NewKey()
	if err != nil {
		return time.Time{}, err
	}
	issued, err := core.authority.Issue(ctx, ca.Request{Party: operator.ID, CSR: request, Requester: "local", Protocol: "local"})
	if err != nil {
		return time.Time{}, err
	}
	credential := enroll.Credential{
		Identity: policy.Identity{Network: name, Role: operator.Role, Party: operator.ID}, URL: core.URL(),
		Key: key, Chain: issued.Chain, Roots: []*x509.Certificate{issued.Root},
	}
	_, err = credential.Save(filepath.Join(building, Operator))
	return issued.Leaf.NotAfter, err
}
