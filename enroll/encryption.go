package enroll

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/payca/payca/policy"
)

// overlap is how long a key opens what was sealed to it after its certificate was replaced: 7 days, counted
// from the notBefore of the successor, which may lie an hour before its issuance.
const overlap = 7*24*time.Hour + time.Hour

// EncryptionConfig says whose certificate for encryption an [Encryption] keeps, and where.
type EncryptionConfig struct {
	Source *Source          // the identity of the party, which asks for the certificates
	Dir    string           // a directory of its own: "encryption" in the identity directory
	Now    func() time.Time // nil: as the source
	Logger *slog.Logger     // nil for none
}

// An Encryption is the keys that others seal to: one party's certificate for encryption, under the profile
// ROLE-encryption, and the keys of those before it for as long as something may arrive that was sealed to them.
// It is safe for concurrent use, but for Run, which is called once.
type Encryption struct {
	cfg  EncryptionConfig
	held atomic.Pointer[[]sealed] // the current one last; what it points to is never changed
}

// OpenEncryption opens cfg.Dir. When there is no valid certificate it makes a key and gets one from the CA, and fails
// if that fails. A certificate that is due is replaced; when that fails it is left to Run.
func OpenEncryption(ctx context.Context, cfg EncryptionConfig) (*Encryption, error) {
	if cfg.Source == nil || cfg.Dir == "" {
		return nil, errors.New("encryption keys: want Source and Dir")
	}
	if cfg.Now == nil {
		cfg.Now = cfg.Source.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Encryption{cfg: cfg}
	if err := e.renew(ctx); err != nil {
		held := e.held.Load()
		if held == nil || !e.valid(*held) {
			return nil, fmt.Errorf("opening the encryption keys in %s: %w", cfg.Dir, err)
		}
		e.warn(ctx, err)
	}
	return e, nil
}

// Certificate returns the certificate that others are to seal to.
func (e *Encryption) Certificate() *x509.Certificate { return e.Chain()[0] }

// Chain returns the certificate that others are to seal to, and its issuer's.
func (e *Encryption) Chain() []*x509.Certificate {
	held := *e.held.Load()
	return held[len(held)-1].chain
}

// Key returns the key of the certificate with that [Thumbprint], if it is the current one, or was replaced less
// than 7 days ago.
func (e *Encryption) Key(thumbprint string) (*ecdh.PrivateKey, bool) {
	now := e.cfg.Now()
	for _, s := range *e.held.Load() {
		if s.thumbprint == thumbprint && !s.over(now) {
			return s.key, true
		}
	}
	return nil, false
}

// Run replaces certificate and key at two thirds of the certificate's life, as [Source.Run] does, and removes
// the keys that are no longer needed. It returns when ctx ends.
func (e *Encryption) Run(ctx context.Context) error {
	keepFresh(ctx, e.cfg.Now, e.next, func() time.Duration { return lastRetry }, func(ctx context.Context) bool {
		err := e.renew(ctx)
		if err != nil {
			e.warn(ctx, err)
		}
		return err == nil
	})
	return nil
}

func (e *Encryption) warn(ctx context.Context, err error) {
	e.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot renew encryption certificate",
		slog.String("subject", e.cfg.Source.Identity().String()), slog.Any("err", err))
}

// next is when there is something to do: to renew, or to remove an old key.
func (e *Encryption) next() time.Time {
	held := *e.held.Load()
	leaf := held[len(held)-1].chain[0]
	at := renewAt(leaf)
	for _, s := range held[:len(held)-1] {
		if s.until.Before(at) {
			at = s.until
		}
	}
	return at
}

// renew takes what is in the directory, where another process may have renewed it, gets a new
// certificate if that is due, and removes what is over.
func (e *Encryption) renew(ctx context.Context) error {
	held, err := readSealed(e.cfg.Dir, e.cfg.Source.Identity())
	if err != nil {
		return err
	}
	if len(held) > 0 {
		e.hold(held)
	}
	if !e.valid(held) || !e.cfg.Now().Before(RenewAfter(held[len(held)-1].chain[0])) {
		next, err := e.fetch(ctx)
		if err != nil {
			return err
		}
		if err := next.save(); err != nil {
			return fmt.Errorf("writing the encryption key to %s: %w", e.cfg.Dir, err)
		}
		held = inOrder(append(slices.Clone(held), next))
		e.hold(held)
	}
	left, err := removeOver(e.cfg.Dir, held, e.cfg.Now())
	e.hold(left)
	return err
}

func (e *Encryption) hold(held []sealed) { e.held.Store(&held) }

// valid says whether the current certificate is one that others seal to now.
func (e *Encryption) valid(held []sealed) bool {
	if len(held) == 0 {
		return false
	}
	_, err := e.cfg.Source.Trust().Identify(held[len(held)-1].chain, policy.EncryptionUse, e.cfg.Now())
	return err == nil
}

// fetch makes a key and gets it certified, over mutual TLS with the certificate of the source.
func (e *Encryption) fetch(ctx context.Context) (sealed, error) {
	source := e.cfg.Source
	id, trust := source.Identity(), source.Trust()
	client, err := NewClient(ClientConfig{
		URL: source.URL(), Network: id.Network, Roots: trust.Roots, Certificate: source.Certificate, Now: e.cfg.Now,
	})
	if err != nil {
		return sealed{}, err
	}
	key, csr, err := NewKey()
	if err != nil {
		return sealed{}, err
	}
	reply, err := client.Issue(ctx, string(id.Role)+"-encryption", csr)
	if err != nil {
		return sealed{}, err
	}
	c := &Credential{Key: key, Roots: trust.Roots}
	if err := c.take(reply, e.cfg.Now()); err != nil {
		return sealed{}, err
	}
	if _, err := trust.Identify(c.Chain, policy.EncryptionUse, e.cfg.Now()); err != nil {
		return sealed{}, fmt.Errorf("checking the certificate from the CA: %w", err)
	}
	if c.Identity != id {
		return sealed{}, fmt.Errorf("the CA issued %s a certificate of %s", id, c.Identity)
	}
	signer, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return sealed{}, fmt.Errorf("encryption key is %T, want ECDSA", key)
	}
	return newSealed(e.cfg.Dir, signer, c.Chain)
}
