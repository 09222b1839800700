package ca

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/payca/payca/policy"
)

const rootYears = 20

// A CeremonyConfig says for what network a root and its issuing CAs are made.
type CeremonyConfig struct {
	Network   string           // name of the network, as policy.CheckNetworkName wants it
	StatusURL string           // base of AIA and CDP, as in [Config]
	Now       func() time.Time // nil: time.Now
	Random    io.Reader        // for serials; nil: crypto/rand
	Profile   *policy.Profile  // of issuing CAs: how long they last, and the first of its kinds of key; nil: the built-in one

	// CriticalConstraints marks the name constraints critical, as RFC 5280 section 4.2.1.10
	// demands. Off by default: Chromium refuses good server chains under critical URI constraints.
	CriticalConstraints bool
}

// A Ceremony is a root and the issuing CAs that it signed, with their keys. It is made by [Create];
// to sign a root CRL later, Root and RootSigner are enough.
type Ceremony struct {
	Root       *x509.Certificate
	RootSigner crypto.Signer    // to be kept offline
	Issuers    []Issuer         // one for each of policy.CAs, in that order
	Now        func() time.Time // nil: time.Now
}

// Create makes the root (20 years, path length 1, P-384) and the issuing CAs (path length 0; five years and
// P-256, unless the profile says otherwise) of a network. Each issuing CA is permitted only the URI hosts of its own roles; besides,
// the consumer CA is forbidden all DNS names and IP addresses, and the other CAs of parties the
// network's own domain (RFC 5280 section 4.2.1.10). Issuing CAs point to the root's CRL, and to no OCSP.
func Create(cfg CeremonyConfig) (*Ceremony, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Random == nil {
		cfg.Random = rand.Reader
	}
	if err := errors.Join(policy.CheckNetworkName(cfg.Network), checkStatusURL(cfg.StatusURL)); err != nil {
		return nil, fmt.Errorf("creating a network: %w", err)
	}
	profile, err := issuerProfile(cfg.Profile)
	if err != nil {
		return nil, err
	}
	cfg.Profile = profile
	start := cfg.Now().UTC().Truncate(time.Second)
	c := &Ceremony{Now: cfg.Now}
	if c.Root, c.RootSigner, err = createRoot(cfg, start); err != nil {
		return nil, fmt.Errorf("creating the root: %w", err)
	}
	for _, name := range policy.CAs() {
		is, err := c.createIssuer(cfg, name, start)
		if err != nil {
			return nil, fmt.Errorf("creating the %s CA: %w", name, err)
		}
		c.Issuers = append(c.Issuers, is)
	}
	return c, nil
}

func createRoot(cfg CeremonyConfig, start time.Time) (*x509.Certificate, crypto.Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t, err := caTemplate(cfg, "root", start, start.AddDate(rootYears, 0, 0))
	if err != nil {
		return nil, nil, err
	}
	t.MaxPathLen = 1
	root, err := createCA(t, t, key.Public(), key)
	return root, key, err
}

func (c *Ceremony) createIssuer(cfg CeremonyConfig, name string, start time.Time) (Issuer, error) {
	profile := cfg.Profile.Config()
	curve := elliptic.P256()
	if profile.Keys[0] == policy.KeyP384 {
		curve = elliptic.P384()
	}
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		return Issuer{}, err
	}
	t, err := caTemplate(cfg, name+" CA", start, start.Add(time.Duration(profile.Validity)))
	if err != nil {
		return Issuer{}, err
	}
	t.MaxPathLenZero = true
	t.CRLDistributionPoints = []string{cfg.StatusURL + "/crl/root.crl"}
	t.IssuingCertificateURL = []string{cfg.StatusURL + "/ca/root.crt"}
	constrain(t, cfg, name)
	cert, err := createCA(t, c.Root, key.Public(), c.RootSigner)
	if err != nil {
		return Issuer{}, err
	}
	is := Issuer{Name: name, Certificate: cert, Signer: key}
	return is, errors.Join(is.check(c.Root), policy.CheckIssuer(cfg.Network, name, cert))
}

// issuerProfile returns p, or the built-in profile of issuing CAs.
func issuerProfile(p *policy.Profile) (*policy.Profile, error) {
	if p == nil {
		for _, cfg := range policy.DefaultProfiles() {
			if cfg.Name == policy.IssuerProfile {
				return policy.NewProfile(cfg)
			}
		}
	}
	if p == nil || !p.Issuer() {
		return nil, errors.New("creating a network: the profile of issuing CAs is for something else, want use issuer")
	}
	return p, nil
}

// caTemplate is what root and issuing CAs have in common. The last second before end is
// inside.
func caTemplate(cfg CeremonyConfig, name string, start, end time.Time) (*x509.Certificate, error) {
	serial, err := NewSerial(cfg.Random, start)
	if err != nil {
		return nil, err
	}
	return &x509.Certificate{
		SerialNumber:          serial.Int(),
		Subject:               pkix.Name{Organization: []string{cfg.Network}, CommonName: name},
		NotBefore:             start,
		NotAfter:              end.Add(-time.Second),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}, nil
}

// constrain writes the name constraints of an issuing CA.
func constrain(t *x509.Certificate, cfg CeremonyConfig, name string) {
	t.PermittedDNSDomainsCritical = cfg.CriticalConstraints // of the whole extension
	for _, role := range policy.RolesOf(name) {
		t.PermittedURIDomains = append(t.PermittedURIDomains, role.Host(cfg.Network))
	}
	switch name {
	case policy.ServiceCA:
	case policy.ConsumerCA: // the empty name and the empty masks stand for all
		t.ExcludedDNSDomains = []string{""}
		t.ExcludedIPRanges = []*net.IPNet{
			{IP: net.IPv4zero.To4(), Mask: net.CIDRMask(0, 32)},
			{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)},
		}
	default:
		t.ExcludedDNSDomains = []string{cfg.Network}
	}
}

// createCA signs a CA certificate and reads it back.
func createCA(t, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) (*x509.Certificate, error) {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, err
	}
	if t.SubjectKeyId, err = keyIdentifier(spki); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, parent, key, signer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// SignRootCRL signs the TBSCertList of the root that tbs writes, of any number, and nothing else; the check is that
// of [CRLSigning.Sign]. Whoever keeps the root keeps the numbers growing.
func (c *Ceremony) SignRootCRL(tbs func(io.Writer) error) (signature []byte, err error) {
	now := time.Now
	if c.Now != nil {
		now = c.Now
	}
	_, m, err := readTBSCertList(tbs, c.Root, now().UTC())
	if err != nil {
		return nil, fmt.Errorf("refusing to sign the root's CRL: %w", err)
	}
	signature, err = m.sign(c.RootSigner)
	if err != nil {
		return nil, fmt.Errorf("signing the root's CRL: %w", err)
	}
	return signature, nil
}
