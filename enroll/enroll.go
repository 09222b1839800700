package enroll

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/payca/payca/policy"
)

// An Action says what became of an identity.
type Action string

// The actions.
const (
	Enrolled Action = "enrolled" // a new key was certified
	Kept     Action = "kept"     // it is current
	Renewed  Action = "renewed"  // its key has a new certificate
	Waiting  Action = "waiting"  // approvers are asked; the same call again gets the certificate
)

// EnrollConfig says what to enroll and where to keep it.
type EnrollConfig struct {
	Token string // what payca token create printed
	Dir   string // identity directory
	Force bool   // enroll although the identity is current
	// Key is the key to certify, nil for a new one; CSR is the request on it (PKCS#10, DER), nil for a new one.
	Key crypto.Signer
	CSR []byte
	// Wait asks again and again until approvers have decided or the context ends; without it what waits is an Outcome too.
	Wait bool
	Poll time.Duration // how often it asks, 0 for 5 s
	// Approval is what a bank signed about the request that waits, "" for nothing.
	Approval string
	Notify   func(Pending)    // is told of a request that now waits; nil: nobody
	Now      func() time.Time // nil: time.Now
}

// An Outcome says what [Enroll] or [Renew] did.
type Outcome struct {
	Action     Action
	Identity   policy.Identity
	Serial     string // hexadecimal
	NotAfter   time.Time
	RenewAfter time.Time
	Files      []string // certificate, key, root
	Pending    *Pending // what it waits for, with Waiting
}

// Enroll gets a party its certificate, or keeps it current: an identity of that party in cfg.Dir that is
// still good is kept, or renewed if it is due; then the token is not used. It
// refuses a directory with another identity. Where the CA wants approval, the outcome is Waiting, and the same call gets the certificate later; key
// and request are kept in cfg.Dir meanwhile. Errors are *[TokenError], *problem.Problem for a refusal of the CA,
// or what kept the CA from being reached.
func Enroll(ctx context.Context, cfg EnrollConfig) (Outcome, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	token, err := ReadToken(cfg.Token)
	if err != nil {
		return Outcome{}, err
	}
	l, err := lockDir(ctx, cfg.Dir)
	if err != nil {
		return Outcome{}, err
	}
	defer l.unlock()
	stands, err := Open(cfg.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Outcome{}, err
	case stands.Identity.Party != token.Party || stands.Identity.Network != token.Network:
		return Outcome{}, fmt.Errorf("%s holds %s, the token is for %s of %s: want another directory", cfg.Dir, stands.Identity, token.Party, token.Network)
	case !cfg.Force && cfg.Now().Before(stands.Leaf().NotAfter):
		return renew(ctx, cfg.Dir, stands, false, cfg.Now)
	}
	return begin(ctx, cfg, token, l)
}

// begin enrolls, or goes on with an enrollment that is under way.
func begin(ctx context.Context, cfg EnrollConfig, token Token, l *locked) (Outcome, error) {
	if cfg.Notify == nil {
		cfg.Notify = func(Pending) {}
	}
	if cfg.Poll == 0 {
		cfg.Poll = pollEvery
	}
	w, err := openWaiting(ctx, cfg, token, l)
	if err != nil {
		return Outcome{}, err
	}
	client, err := NewClient(ClientConfig{URL: token.URL, Network: token.Network, Roots: w.roots, Now: cfg.Now})
	if err != nil {
		return Outcome{}, err
	}
	reply, err := w.ask(ctx, client, cfg)
	if err != nil {
		return Outcome{}, err
	}
	if reply.Pending != nil {
		id := policy.Identity{Network: token.Network, Role: policy.Role(token.Role), Party: token.Party}
		return Outcome{Action: Waiting, Identity: id, Pending: reply.Pending}, nil
	}
	enrolled, err := accept(reply, &Credential{URL: token.URL, Key: w.signer, Roots: w.roots}, token.Network, token.Party, cfg)
	if err != nil {
		return Outcome{}, err
	}
	return enrolled, w.drop()
}

// Renew renews the identity in dir if two thirds of its certificate's life
// are over, or if it is forced to. The key stays.
func Renew(ctx context.Context, dir string, force bool) (Outcome, error) {
	if _, err := Open(dir); err != nil {
		return Outcome{}, err
	}
	l, err := lockDir(ctx, dir)
	if err != nil {
		return Outcome{}, err
	}
	defer l.unlock()
	stands, err := Open(dir)
	if err != nil {
		return Outcome{}, err
	}
	return renew(ctx, dir, stands, force, time.Now)
}

func renew(ctx context.Context, dir string, stands *Credential, force bool, now func() time.Time) (Outcome, error) {
	if !force && now().Before(RenewAfter(stands.Leaf())) {
		return stands.Outcome(Kept, dir), nil
	}
	next, err := fetchRenewal(ctx, stands, now)
	if err != nil {
		return Outcome{}, err
	}
	if _, err := next.Save(dir); err != nil {
		return Outcome{}, err
	}
	return next.Outcome(Renewed, dir), nil
}

// fetchRenewal gets a new certificate for the same key, over mutual TLS.
func fetchRenewal(ctx context.Context, stands *Credential, now func() time.Time) (*Credential, error) {
	client, err := NewClient(ClientConfig{
		URL: stands.URL, Network: stands.Identity.Network, Roots: stands.Roots, Now: now,
		Certificate: func() (*tls.Certificate, error) { return stands.TLS(), nil },
	})
	if err != nil {
		return nil, err
	}
	csr, err := newRequest(stands.Key)
	if err != nil {
		return nil, err
	}
	reply, err := client.Renew(ctx, csr)
	if err != nil {
		return nil, err
	}
	next := &Credential{URL: stands.URL, Key: stands.Key, Roots: stands.Roots}
	if err := next.take(reply, now()); err != nil {
		return nil, err
	}
	if next.Identity != stands.Identity {
		return nil, fmt.Errorf("the CA renewed %s as %s", stands.Identity, next.Identity)
	}
	return next, nil
}

// accept checks a reply and writes what came of it.
func accept(reply *Reply, c *Credential, network, party string, cfg EnrollConfig) (Outcome, error) {
	if err := c.take(reply, cfg.Now()); err != nil {
		return Outcome{}, err
	}
	if c.Identity.Network != network || c.Identity.Party != party {
		return Outcome{}, fmt.Errorf("the CA enrolled %s, the token is for %s of %s", c.Identity, party, network)
	}
	if _, err := c.Save(cfg.Dir); err != nil {
		return Outcome{}, err
	}
	return c.Outcome(Enrolled, cfg.Dir), nil
}

// take puts the certificate of a reply into the credential: it must chain to
// the roots, be on the key, and carry one identity.
func (c *Credential) take(reply *Reply, now time.Time) error {
	chain, err := parseCertificates([]byte(reply.Certificate))
	if err != nil {
		return fmt.Errorf("reading the certificate from the CA: %w", err)
	}
	peer, err := policy.Trust{Network: reply.Network, Roots: c.Roots}.Identify(chain, policy.AnyUse, now)
	if err != nil {
		return fmt.Errorf("checking the certificate from the CA: %w", err)
	}
	if !sameKey(c.Key.Public(), peer.Leaf.PublicKey) {
		return errors.New("checking the certificate from the CA: it is on another key")
	}
	c.Identity, c.Chain = peer.Identity, []*x509.Certificate{peer.Leaf, peer.Issuer}
	return nil
}

// Outcome describes the credential, which is kept in dir.
func (c *Credential) Outcome(action Action, dir string) Outcome {
	leaf := c.Leaf()
	return Outcome{
		Action: action, Identity: c.Identity, Serial: fmt.Sprintf("%x", leaf.SerialNumber),
		NotAfter: leaf.NotAfter, RenewAfter: RenewAfter(leaf),
		Files: []string{filepath.Join(dir, CertificateFile), filepath.Join(dir, KeyFile), filepath.Join(dir, RootFile)},
	}
}
