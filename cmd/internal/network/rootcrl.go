package network

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A RootCRLConfig says what the next CRL of the root is to be.
type RootCRLConfig struct {
	Dir            string        // of the network, or a copy with ca/root.crt, ca/root.crl and what Revoke names
	KeyFile        string        // the root's key; "" for ca/root.key
	PassphraseFile string        // opens it; "" for the configured one
	Validity       time.Duration // from now; 0 for RootCRLValidity
	Floor          uint64        // no CRL of the root had a higher number; 0: the one in ca/root.crl is the newest
	Revoke         []string      // issuing CAs to be revoked from now on
	Reason         ca.Reason     // why
	Now            func() time.Time
}

// The shortest and longest validity of a root CRL.
const (
	minRootCRL = 24 * time.Hour
	maxRootCRL = 2 * 365 * 24 * time.Hour
)

// RenewRootCRL has the root sign its next CRL: what was revoked stays, the number grows. It takes the place of ca/root.crl; a
// server that runs takes it over from there. Nothing is changed if anything fails.
func RenewRootCRL(ctx context.Context, cfg RootCRLConfig) (*ocsp.List, error) {
	if cfg.Validity == 0 {
		cfg.Validity = RootCRLValidity
	}
	if cfg.Validity < minRootCRL || cfg.Validity > maxRootCRL {
		return nil, fmt.Errorf("validity of the root's CRL is %s, want %s to %s", cfg.Validity, minRootCRL, maxRootCRL)
	}
	files := caDir(cfg.Dir)
	roots, err := enroll.ReadCertificates(files.certificate("root"))
	if err != nil {
		return nil, err
	}
	before, err := rootCRLBefore(files.path("root.crl"), roots[0], cfg.Floor)
	if err != nil {
		return nil, err
	}
	list := status.RootList{Number: cfg.Floor + 1, Now: clock(cfg.Now)(), Validity: cfg.Validity}
	if before != nil {
		list.Number, list.Revoked = max(list.Number, before.Number+1), slices.Collect(before.All())
	}
	if err := revokeIssuers(files, &list, cfg); err != nil {
		return nil, err
	}
	ceremony := &ca.Ceremony{Root: roots[0], Now: cfg.Now}
	if ceremony.RootSigner, err = openRootKey(ctx, files, cfg); err != nil {
		return nil, err
	}
	der, err := status.RootCRL(ceremony, list)
	if err != nil {
		return nil, err
	}
	next, err := status.CheckRootCRL(roots[0], der, before)
	if err != nil {
		return nil, err
	}
	return next, replaceFile(files.path("root.crl"), der)
}

// replaceFile puts a file in the place of another, on disk before it returns.
func replaceFile(path string, data []byte) error {
	if err := os.Remove(path + ".new"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeNew(path+".new", data, 0o644); err != nil {
		return err
	}
	f, err := os.Open(path + ".new")
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// rootCRLBefore reads the CRL that is there, nil if there is none and a floor says what was before.
func rootCRLBefore(path string, root *x509.Certificate, floor uint64) (*ocsp.List, error) {
	der, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) && floor > 0 {
		return nil, nil //nolint:nilnil // the floor says enough
	}
	if err != nil {
		return nil, fmt.Errorf("%w: give the newest one back, or say with a floor which number it had at most", err)
	}
	list, err := status.CheckRootCRL(root, der, nil)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return list, nil
}

// revokeIssuers adds issuing CAs to a list of the root.
func revokeIssuers(files layout, list *status.RootList, cfg RootCRLConfig) error {
	for _, name := range cfg.Revoke {
		if !slices.Contains(policy.CAs(), name) {
			return fmt.Errorf("issuing CA %q, want one of %s", name, strings.Join(policy.CAs(), ", "))
		}
		certificates, err := enroll.ReadCertificates(files.certificate(name))
		if err != nil {
			return err
		}
		serial := certificates[0].SerialNumber.Bytes()
		known := slices.ContainsFunc(list.Revoked, func(e ocsp.Entry) bool { return bytes.Equal(e.Serial, serial) })
		if known {
			return fmt.Errorf("the %s CA is revoked already, want one that is not", name)
		}
		list.Revoked = append(list.Revoked, ocsp.Entry{Serial: serial, At: list.Now.UTC().Truncate(time.Second), Reason: int(cfg.Reason)})
	}
	slices.SortFunc(list.Revoked, func(a, b ocsp.Entry) int {
		return cmp.Or(len(a.Serial)-len(b.Serial), bytes.Compare(a.Serial, b.Serial))
	})
	return nil
}

// openRootKey opens the key of the root, which nothing else does after its creation.
func openRootKey(ctx context.Context, files layout, cfg RootCRLConfig) (crypto.Signer, error) {
	conf, err := LoadConfig(cfg.Dir)
	if err != nil && (cfg.PassphraseFile == "" || !errors.Is(err, ErrNoNetwork)) {
		return nil, err
	}
	ring, err := openRing(cfg.Dir, cfg.PassphraseFile, conf)
	if err != nil {
		return nil, err
	}
	file := cfg.KeyFile
	if file == "" {
		file = files.key("root")
	}
	key, err := ca.OpenKey(ctx, file, ring)
	if err != nil {
		return nil, fmt.Errorf("opening the key of the root: %w", err)
	}
	return key, nil
}
