package agent

import (
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/policy"
)

// maxCertificates bounds how many certificates an agent remembers.
const maxCertificates = 4096

// encryptionAge is how long an agent seals to a certificate before it asks whether there is a newer one.
const encryptionAge = time.Minute

// certificates remembers what the directory said. A certificate that its thumbprint names cannot change,
// so only its identity, validity and status are looked at again.
type certificates struct {
	agent      *Agent
	mu         sync.Mutex
	chains     map[string][]*x509.Certificate // by thumbprint; guarded by mu
	encryption map[string]newest              // by identity URI; guarded by mu
}

// newest is what was a party's newest encryption certificate.
type newest struct {
	chain []*x509.Certificate
	at    time.Time
}

func newCertificates(a *Agent) *certificates {
	return &certificates{agent: a, chains: map[string][]*x509.Certificate{}, encryption: map[string]newest{}}
}

// chain finds a certificate and its issuer's by thumbprint.
func (c *certificates) chain(ctx context.Context, thumbprint string) ([]*x509.Certificate, error) {
	c.mu.Lock()
	chain, ok := c.chains[thumbprint]
	c.mu.Unlock()
	if ok {
		return chain, nil
	}
	chain, err := c.agent.cfg.Directory.Certificate(ctx, thumbprint)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, payment.Refuse(payment.UnknownSigner, "kid", thumbprint, "the thumbprint of a certificate of "+c.agent.self.Network)
	case err != nil:
		return nil, fmt.Errorf("fetching the certificate %s: %w", thumbprint, err)
	case len(chain) == 0 || payment.Thumbprint(chain[0].Raw) != thumbprint:
		return nil, fmt.Errorf("fetching the certificate %s: the directory sent another", thumbprint)
	}
	c.keep(thumbprint, chain)
	return chain, nil
}

func (c *certificates) keep(thumbprint string, chain []*x509.Certificate) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.chains) >= maxCertificates {
		clear(c.chains) // they are fetched again as they are needed
	}
	c.chains[thumbprint] = chain
}

// identify checks chain, identity, use, validity and status of a certificate, as of now.
func (a *Agent) identify(ctx context.Context, chain []*x509.Certificate, use policy.Use) (*policy.Peer, ocsp.Verdict, error) {
	peer, err := a.identifier.Identify(chain, use)
	if err != nil {
		return nil, ocsp.Verdict{}, a.refusalOf(chain, err)
	}
	verdict, err := a.cfg.Status.Check(ctx, peer.Leaf, peer.Issuer, nil)
	if err == nil {
		_, err = a.cfg.Status.Check(ctx, peer.Issuer, peer.Chain[len(peer.Chain)-1], nil)
	}
	if err != nil {
		return nil, verdict, a.refusalOf(chain, err)
	}
	return peer, verdict, nil
}

// refusalOf gives a refused certificate its code.
func (a *Agent) refusalOf(chain []*x509.Certificate, err error) error {
	refuse := func(code payment.Code, want string) error {
		name := "certificate"
		if len(chain) > 0 {
			name += " " + fmt.Sprintf("%x", chain[0].SerialNumber)
		}
		return &payment.Refusal{Code: code, Field: name, Got: "refused", Want: want, Err: err}
	}
	if _, ok := errors.AsType[*ocsp.RevokedError](err); ok {
		return refuse(payment.CertRevoked, "one that is not revoked")
	}
	if _, ok := errors.AsType[*ocsp.UnknownError](err); ok {
		return refuse(payment.StatusUnknown, "one whose status can be found out")
	}
	for _, v := range policy.ViolationsOf(err) {
		switch v.Rule {
		case "validity":
			if len(chain) > 0 && a.Now().Before(chain[0].NotBefore) {
				return refuse(payment.CertNotValidYet, "one that is valid now")
			}
			return refuse(payment.CertExpired, "one that is valid now")
		case "chain":
			return refuse(payment.UnknownIssuer, "one from a CA of "+a.self.Network)
		case "eku":
			return refuse(payment.WrongKeyUsage, "one for this use")
		case "authorized-role":
			return refuse(payment.WrongRole, v.Want)
		default: // uri-single, uri-form, role-known, role-issuer, role-ou, leaf-ca
			return refuse(payment.NameNotPermitted, "one that its CA may issue, with one role URI")
		}
	}
	return err
}

// signer finds who signs with the certificate of that thumbprint, and whether to believe it now.
func (a *Agent) signer(ctx context.Context, thumbprint string) (*policy.Peer, ocsp.Verdict, error) {
	chain, err := a.certs.chain(ctx, thumbprint)
	if err != nil {
		return nil, ocsp.Verdict{}, err
	}
	return a.identify(ctx, chain, policy.ClientUse)
}

// EncryptionOf returns the newest encryption certificate of a party, after checking that it may be sealed to: chain,
// identity, use and status. The code of a refusal is payment.BadRecipient.
func (a *Agent) EncryptionOf(ctx context.Context, uri string) (*x509.Certificate, error) {
	id, err := identityOf(uri, a.self.Network)
	if err != nil {
		return nil, err
	}
	c := a.certs
	c.mu.Lock()
	known, ok := c.encryption[uri]
	c.mu.Unlock()
	now := a.Now()
	if age := now.Sub(known.at); !ok || age < 0 || age > encryptionAge {
		chain, err := a.cfg.Directory.Encryption(ctx, id.Party)
		switch {
		case err == nil:
			known = newest{chain, now}
			c.mu.Lock()
			c.encryption[uri] = known
			c.mu.Unlock()
		case !ok:
			return nil, &payment.Refusal{Code: payment.BadRecipient, Field: "recipient", Got: uri, Want: "a party with an encryption certificate", Err: err}
		}
	}
	return a.recipient(ctx, known.chain, uri)
}

// Recipient returns the encryption certificate with that thumbprint if the party may be sealed to with it.
func (a *Agent) Recipient(ctx context.Context, thumbprint, uri string) (*x509.Certificate, error) {
	chain, err := a.certs.chain(ctx, thumbprint)
	if err != nil {
		return nil, badRecipient(err, uri)
	}
	return a.recipient(ctx, chain, uri)
}

func (a *Agent) recipient(ctx context.Context, chain []*x509.Certificate, uri string) (*x509.Certificate, error) {
	peer, _, err := a.identify(ctx, chain, policy.EncryptionUse)
	if err != nil {
		return nil, badRecipient(err, uri)
	}
	if peer.Identity.String() != uri {
		return nil, payment.Refuse(payment.BadRecipient, "recipient", peer.Identity.String(), uri)
	}
	return peer.Leaf, nil
}

func badRecipient(err error, uri string) error {
	if r, ok := errors.AsType[*payment.Refusal](err); ok && r.Code != payment.StatusUnknown {
		return &payment.Refusal{Code: payment.BadRecipient, Field: "encryption certificate of " + uri, Got: "refused", Want: "one that may be sealed to", Err: err}
	}
	return err
}

// Signer returns what the agent signs with now.
func (a *Agent) Signer() (payment.Signer, error) {
	certificate, err := a.cfg.Source.Certificate()
	if err != nil {
		return payment.Signer{}, err
	}
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return payment.Signer{}, fmt.Errorf("the key of %s is %T, want one that signs", a.uri, certificate.PrivateKey)
	}
	return payment.Signer{URI: a.uri, Thumbprint: payment.Thumbprint(certificate.Certificate[0]), Key: key}, nil
}

func identityOf(uri, network string) (policy.Identity, error) {
	u, err := url.Parse(uri)
	if err != nil {
		return policy.Identity{}, payment.Refuse(payment.NotAddressedHere, "identity", fmt.Sprintf("%.80q", uri), "a URI")
	}
	id, err := policy.ParseIdentity(u, network)
	if err == nil && id.String() != uri {
		err = payment.Refuse(payment.NotAddressedHere, "identity", fmt.Sprintf("%.80q", uri), id.String())
	}
	return id, err
}

// Is reports whether a role is one of those listed.
func Is(role policy.Role, roles []policy.Role) bool { return slices.Contains(roles, role) }
