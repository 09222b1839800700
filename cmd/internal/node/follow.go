package node

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
)

const (
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
	pageWait   = 10 // seconds for which the CA holds a question for what was issued
)

// again calls do until ctx ends, after an error with a pause that grows.
func (n *Node) again(ctx context.Context, what string, do func(context.Context) error) {
	pause := retryFirst
	for ctx.Err() == nil {
		err := do(ctx)
		if err == nil {
			pause = retryFirst
			continue
		}
		if ctx.Err() == nil {
			n.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot follow the CA", slog.String("what", what), slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMost)
	}
}

// followIssued reads the next page of what was issued. The first one comes after the first checkpoint: what changes
// later is among the changes.
func (n *Node) followIssued(ctx context.Context) error {
	if n.store.read(keyCheckpoint) == nil {
		if err := n.changes.Refresh(ctx); err != nil {
			return err
		}
	}
	from := n.store.position()
	wait := 0
	if n.complete.Load() {
		wait = pageWait
	}
	raw, err := n.client.Issued(ctx, from, wait)
	if err != nil {
		return err
	}
	page, err := feed.ParsePage(raw, n.verifier)
	if err != nil {
		return err
	}
	if page.From != from || len(page.Certificates) == 0 && page.Next != from {
		return fmt.Errorf("page from %d to %d with %d certificates, want what follows %d", page.From, page.Next, len(page.Certificates), from)
	}
	if len(page.Certificates) == 0 && n.complete.Load() {
		return nil
	}
	if err := n.store.addPage(page); err != nil {
		return fmt.Errorf("keeping a page of issued certificates: %w", err)
	}
	for _, c := range page.Certificates { // nobody is told unknown of them any more
		n.responder.Drop(c.Issuer, c.Serial)
	}
	if page.End && !n.complete.Swap(true) {
		n.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "list of issued certificates read", slog.Uint64("position", page.Next))
	}
	return nil
}

// keepDelegates renews what signs answers at half of its life, until ctx ends.
func (n *Node) keepDelegates(ctx context.Context) {
	n.again(ctx, "delegates", func(ctx context.Context) error {
		for _, is := range n.issuers {
			s := is.signer.Load()
			if s != nil && n.cfg.Now().Before(middle(s.Certificate())) {
				continue
			}
			if err := n.renewDelegate(ctx, is); err != nil {
				return fmt.Errorf("OCSP delegate of %s: %w", is.name, err)
			}
			n.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "ocsp delegate renewed", slog.String("issuer", is.name), slog.Time("not_after", is.signer.Load().Certificate().NotAfter))
		}
		select {
		case <-ctx.Done():
		case <-time.After(delegatePause):
		}
		return nil
	})
}

const delegatePause = 10 * time.Second

func middle(c *x509.Certificate) time.Time { return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) / 2) }

func (n *Node) delegateFile(is *issuer) string {
	return filepath.Join(n.cfg.Dir, "delegates", is.name+".pem")
}

// loadDelegate takes over the delegate of a process before this one.
func (n *Node) loadDelegate(is *issuer) error {
	raw, err := os.ReadFile(n.delegateFile(is))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var key any
	var cert *x509.Certificate
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "CERTIFICATE":
			cert, err = x509.ParseCertificate(block.Bytes)
		}
		if err != nil {
			return err
		}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return fmt.Errorf("%s: want a key and a certificate", n.delegateFile(is))
	}
	return n.use(is, signer, cert)
}

func (n *Node) use(is *issuer, key crypto.Signer, cert *x509.Certificate) error {
	s, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: is.certificate, Certificate: cert, Key: key})
	if err == nil {
		is.signer.Store(s)
	}
	return err
}

// renewDelegate makes a key, has the CA certify it and keeps both.
func (n *Node) renewDelegate(ctx context.Context, is *issuer) error {
	key, request, err := enroll.NewKey()
	if err != nil {
		return err
	}
	der, err := n.client.Delegate(ctx, is.name, request)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return err
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := n.use(is, key, cert); err != nil {
		return err
	}
	return put(n.delegateFile(is), text, 0o700, 0o600)
}

// put writes a file, so that readers see the old one or the new one.
func put(path string, data []byte, dirMode, mode os.FileMode) (err error) {
	if err := os.MkdirAll(filepath.Dir(path), dirMode); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}
