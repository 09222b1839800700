package network

import (
	"bytes"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"os"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/backup"
	"github.com/payca/payca/ocsp"
)

func invalid(format string, args ...any) error {
	return &InvalidError{Err: fmt.Errorf(format, args...)}
}

// verify checks what was unpacked into dir: keys against certificates, the log against its signed head
// and the manifest, every certificate against its issuer and the log.
func verify(ctx context.Context, dir string, m *backup.Manifest, cfg RestoreConfig) error {
	conf, err := LoadConfig(dir)
	if err != nil {
		return &InvalidError{Err: err}
	}
	if conf.Network != m.Network {
		return invalid("the configuration is of network %s, want %s as in the manifest", conf.Network, m.Network)
	}
	ring, err := keysRing(dir, cfg.KeysPassphraseFile, conf, cfg.Passphrase)
	if err != nil {
		return err
	}
	keys, err := openKeys(ctx, caDir(dir), ring)
	switch {
	case errors.Is(err, ca.ErrPassphrase):
		return err
	case err != nil:
		return &InvalidError{Err: err}
	}
	if err := checkKeys(dir, conf.Network, keys); err != nil {
		return err
	}
	store, err := boltstore.OpenReadOnly(inDir(dir, backup.StoreName))
	if err != nil {
		return &InvalidError{Err: err}
	}
	return errors.Join(verifyStore(ctx, store, keys, m), store.Close())
}

// checkKeys wants the keys to be those of the certificates, and the certificates to be the root's.
func checkKeys(dir, network string, k *keys) error {
	if err := k.root.CheckSignatureFrom(k.root); err != nil {
		return invalid("the root did not sign itself: %w", err)
	}
	for _, is := range k.issuers {
		if err := is.Certificate.CheckSignatureFrom(k.root); err != nil {
			return invalid("the %s CA is not signed by the root: %w", is.Name, err)
		}
		if public, ok := is.Signer.Public().(interface{ Equal(crypto.PublicKey) bool }); !ok || !public.Equal(is.Certificate.PublicKey) {
			return invalid("the key of the %s CA is not that of its certificate", is.Name)
		}
	}
	log, err := audit.New(audit.Config{Origin: logOrigin(network), Signer: k.log})
	if err != nil {
		return &InvalidError{Err: err}
	}
	if stated, err := LogKey(dir); err != nil || stated != log.VerifierKey() {
		return invalid("ca/log.pub is %q, want %q, of the key of the audit log", stated, log.VerifierKey())
	}
	der, err := os.ReadFile(caDir(dir).path("root.crl"))
	if err != nil {
		return &InvalidError{Err: err}
	}
	list, err := ocsp.ParseCRL(der)
	if err != nil {
		return invalid("the root's CRL: %w", err)
	}
	if err := list.CheckSignatureFrom(k.root); err != nil {
		return invalid("the root's CRL: %w", err)
	}
	return nil
}

// verifyStore proves the log, and then the inventory by it.
func verifyStore(ctx context.Context, store *boltstore.Store, k *keys, m *backup.Manifest) error {
	log, err := audit.New(audit.Config{Origin: logOrigin(m.Network), Signer: k.log})
	if err != nil {
		return err
	}
	report, err := audit.Verify(ctx, store.Log(), log.VerifierKey())
	if err != nil {
		return &InvalidError{Err: err}
	}
	if report.Size != m.LogSize || report.Root.String() != m.LogRoot {
		return invalid("the audit log has %d entries with root %s, want %d with root %s as in the manifest", report.Size, report.Root, m.LogSize, m.LogRoot)
	}
	issuers := map[string]*x509.Certificate{}
	for _, is := range k.issuers {
		issuers[is.Name] = is.Certificate
	}
	var count uint64
	for record, err := range store.Certificates(ctx, ca.Filter{}) {
		if err != nil {
			return &InvalidError{Err: err}
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := checkRecord(ctx, store, issuers, record); err != nil {
			return invalid("certificate %s: %w", record.Serial, err)
		}
		count++
	}
	if count != m.Certificates {
		return invalid("the inventory has %d certificates, want %d as in the manifest", count, m.Certificates)
	}
	return checkIssued(ctx, store, count)
}

// checkRecord wants a certificate of the inventory to be its issuer's, and the log to say so where the record points to.
func checkRecord(ctx context.Context, store *boltstore.Store, issuers map[string]*x509.Certificate, record ca.Record) error {
	leaf, err := x509.ParseCertificate(record.DER)
	if err != nil {
		return err
	}
	issuer := issuers[record.Issuer]
	if issuer == nil {
		return fmt.Errorf("its issuer is %q, want one of the issuing CAs", record.Issuer)
	}
	if err := leaf.CheckSignatureFrom(issuer); err != nil {
		return fmt.Errorf("not signed by the %s CA: %w", record.Issuer, err)
	}
	if serial, err := ca.SerialOf(leaf.SerialNumber); err != nil || serial != record.Serial {
		return fmt.Errorf("it has serial %x", leaf.SerialNumber)
	}
	if !bytes.Equal(leaf.RawIssuer, issuer.RawSubject) {
		return fmt.Errorf("it names issuer %q, want %q", leaf.Issuer, issuer.Subject)
	}
	leaves, err := store.Log().Leaves(ctx, record.Index, 1)
	if err != nil {
		return err
	}
	if len(leaves) != 1 {
		return fmt.Errorf("the audit log has no entry %d", record.Index)
	}
	event, err := audit.ParseEvent(leaves[0])
	if err != nil {
		return err
	}
	sum := sha256.Sum256(record.DER)
	if event.Kind != audit.CertificateIssued || event.Thumbprint != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("entry %d of the audit log is %s of %q, want %s of it", record.Index, event.Kind, event.Thumbprint, audit.CertificateIssued)
	}
	return nil
}

// checkIssued wants the log to know of no more issuances than the inventory.
func checkIssued(ctx context.Context, store *boltstore.Store, want uint64) error {
	const batch = 1000
	var issued uint64
	for from := uint64(0); ; {
		leaves, err := store.Log().Leaves(ctx, from, batch)
		if err != nil {
			return &InvalidError{Err: err}
		}
		for _, leaf := range leaves {
			event, err := audit.ParseEvent(leaf)
			if err != nil {
				return &InvalidError{Err: err}
			}
			if event.Kind == audit.CertificateIssued {
				issued++
			}
		}
		from += uint64(len(leaves))
		if len(leaves) == 0 {
			break
		}
	}
	if issued != want {
		return invalid("the audit log has %d issuances, the inventory %d certificates", issued, want)
	}
	return nil
}
