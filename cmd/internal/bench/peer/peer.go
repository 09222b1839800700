// Package peer is step-ca as a library, to be measured beside payca in the same run: its authority with a JWK
// provisioner and its bbolt store, and its handler of /1.0/sign. Nothing of payca is served by it.
package peer

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net/http"
	"path/filepath"
	"time"

	"github.com/smallstep/certificates/api"
	"github.com/smallstep/certificates/authority"
	"github.com/smallstep/certificates/authority/config"
	"github.com/smallstep/certificates/authority/provisioner"
	"github.com/smallstep/certificates/db"
	"go.step.sm/crypto/jose"
)

// Name is the DNS name that every certificate is for.
const Name = "shop1.example"

// host is the authority's own name, and audience what its tokens are for.
const (
	host     = "127.0.0.1"
	audience = "https://" + host + "/1.0/sign"
)

// A Peer is a step-ca in a directory of its own.
type Peer struct {
	authority *authority.Authority
	signer    jose.Signer
}

// New makes one. Close ends it.
func New(dir string) (*Peer, error) {
	// A data race of the library's is avoided by one DNS name in its configuration.
	root, key, err := newCA("peer root", nil, nil)
	if err != nil {
		return nil, err
	}
	issuer, issuerKey, err := newCA("peer issuing CA", root, key)
	if err != nil {
		return nil, err
	}
	jwk, err := jose.GenerateJWK("EC", "P-256", jose.ES256, "sig", "", 0)
	if err != nil {
		return nil, fmt.Errorf("making the key of the provisioner: %w", err)
	}
	public := jwk.Public()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jwk.Key}, (&jose.SignerOptions{}).WithType("JWT").WithHeader("kid", jwk.KeyID))
	if err != nil {
		return nil, fmt.Errorf("making the signer of tokens: %w", err)
	}
	a, err := authority.NewEmbedded(
		authority.WithConfig(&config.Config{
			Address: host + ":0", DNSNames: []string{host},
			DB: &db.Config{Type: "bbolt", DataSource: filepath.Join(dir, "peer.db")},
			AuthorityConfig: &config.AuthConfig{
				Provisioners: provisioner.List{&provisioner.JWK{Type: "JWK", Name: "bench", Key: &public}},
			},
		}),
		authority.WithX509RootCerts(root), authority.WithX509Signer(issuer, issuerKey), authority.WithQuietInit(),
	)
	if err != nil {
		return nil, fmt.Errorf("starting the peer: %w", err)
	}
	// A provisioner that does not start is only logged.
	if _, err := a.LoadProvisionerByName("bench"); err != nil {
		return nil, fmt.Errorf("starting the peer's provisioner: %w", err)
	}
	return &Peer{a, signer}, nil
}

// Close ends it.
func (p *Peer) Close() error { return p.authority.Shutdown() }

// Token makes a one-time token.
func (p *Peer) Token() (string, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return "", err
	}
	now := time.Now()
	return jose.Signed(p.signer).Claims(jose.Claims{
		ID: hex.EncodeToString(id), Issuer: "bench", Subject: Name, Audience: jose.Audience{audience},
		IssuedAt: jose.NewNumericDate(now), NotBefore: jose.NewNumericDate(now), Expiry: jose.NewNumericDate(now.Add(time.Hour)),
	}).Claims(map[string]any{"sans": []string{Name}}).CompactSerialize()
}

// Issue signs a request with a token, as the handler of /1.0/sign does: the token is checked and used
// up in a commit, the certificate signed and stored in another.
func (p *Peer) Issue(ctx context.Context, token string, csrDER []byte) error {
	csr, err := x509.ParseCertificateRequest(csrDER)
	if err != nil {
		return err
	}
	if err := csr.CheckSignature(); err != nil {
		return err
	}
	ctx = provisioner.NewContextWithMethod(ctx, provisioner.SignMethod)
	options, err := p.authority.Authorize(ctx, token)
	if err != nil {
		return fmt.Errorf("the peer refuses the token: %w", err)
	}
	if _, err := p.authority.SignWithContext(ctx, csr, provisioner.SignOptions{}, options...); err != nil {
		return fmt.Errorf("the peer does not sign: %w", err)
	}
	return nil
}

// Handler is its POST /1.0/sign.
func (p *Peer) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.Sign(w, r.WithContext(authority.NewContext(r.Context(), p.authority)))
	})
}

// newCA makes a CA certificate, signed by parent or, without one, by itself.
func newCA(name string, parent *x509.Certificate, parentKey crypto.Signer) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	if parent == nil {
		parent, parentKey = t, key
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key.Public(), parentKey)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(der)
	return c, key, err
}
