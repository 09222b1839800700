package testca

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// Network is the name of the network.
const Network = "pay.example"

// A CA is a root with one issuing CA per group of roles.
type CA struct {
	Root    *x509.Certificate
	rootKey crypto.Signer
	issuers map[string]issuer
}

type issuer struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// A Leaf says what [CA.Issue] is to issue. Without times it is valid from an hour ago for three hours.
type Leaf struct {
	Role                policy.Role
	Party               string
	DNS                 []string
	Usages              []x509.ExtKeyUsage // nil: client and server
	NotBefore, NotAfter time.Time
	Key                 crypto.PublicKey // nil: a new key
	Serial              *big.Int         // nil: random
	CA                  string           // "": the role's
	OCSP                string           // URL of the responder, "" for none
	MustStaple          bool
}

// New makes a network that is valid for two days.
func New(t testing.TB) *CA { return Make(t, 48*time.Hour) }

// Make makes a network that is valid for so long.
func Make(t testing.TB, life time.Duration) *CA {
	t.Helper()
	ca := &CA{issuers: map[string]issuer{}}
	rootKey := Key(t)
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: Network + " root"},
		NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life),
		IsCA: true, BasicConstraintsValid: true, MaxPathLen: 1, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	ca.rootKey, ca.Root = rootKey, sign(t, template, template, rootKey.Public(), rootKey)
	for _, name := range policy.CAs() {
		key := Key(t)
		template := &x509.Certificate{
			SerialNumber: serial(t), Subject: pkix.Name{CommonName: Network + " " + name + " CA"},
			NotBefore: now.Add(-24 * time.Hour), NotAfter: now.Add(life - time.Hour),
			IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		for _, role := range policy.RolesOf(name) {
			template.PermittedURIDomains = append(template.PermittedURIDomains, role.Host(Network))
		}
		ca.issuers[name] = issuer{sign(t, template, ca.Root, key.Public(), rootKey), key}
	}
	return ca
}

// Trust returns what a member of the network trusts.
func (ca *CA) Trust() policy.Trust {
	return policy.Trust{Network: Network, Roots: []*x509.Certificate{ca.Root}}
}

// Issuer returns the issuing CA with that name.
func (ca *CA) Issuer(name string) *x509.Certificate { return ca.issuers[name].cert }

// Issue issues a certificate, followed by that of its issuing CA. PrivateKey is nil if l.Key is given.
func (ca *CA) Issue(t testing.TB, l Leaf) tls.Certificate {
	t.Helper()
	if l.CA == "" {
		l.CA = l.Role.CA()
	}
	var key crypto.Signer
	if l.Key == nil {
		key = Key(t)
		l.Key = key.Public()
	}
	if l.Usages == nil {
		l.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}
	}
	if l.NotAfter.IsZero() {
		l.NotBefore, l.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(2*time.Hour)
	}
	if l.Serial == nil {
		l.Serial = serial(t)
	}
	is := ca.issuers[l.CA]
	template := &x509.Certificate{
		SerialNumber: l.Serial, Subject: pkix.Name{CommonName: l.Party, OrganizationalUnit: []string{string(l.Role)}},
		NotBefore: l.NotBefore, NotAfter: l.NotAfter, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: l.Usages,
		URIs:     []*url.URL{policy.Identity{Network: Network, Role: l.Role, Party: l.Party}.URI()},
		DNSNames: l.DNS, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	if l.OCSP != "" {
		template.OCSPServer = []string{l.OCSP}
	}
	if l.MustStaple { // RFC 7633
		template.ExtraExtensions = []pkix.Extension{{Id: []int{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}}}
	}
	leaf := sign(t, template, is.cert, l.Key, is.key)
	cert := tls.Certificate{Certificate: [][]byte{leaf.Raw, is.cert.Raw}, Leaf: leaf}
	if key != nil {
		cert.PrivateKey = key
	}
	return cert
}

// Source issues a certificate and returns a source of it.
func (ca *CA) Source(t testing.TB, l Leaf) *enroll.Source {
	t.Helper()
	src, err := enroll.NewStaticSource(ca.Issue(t, l), ca.Trust())
	if err != nil {
		t.Fatal(err)
	}
	return src
}

// SelfSigned returns a certificate that nobody vouches for, with the names and the serial number of victim.
func SelfSigned(t testing.TB, victim *x509.Certificate) tls.Certificate {
	t.Helper()
	key := Key(t)
	template := &x509.Certificate{
		SerialNumber: victim.SerialNumber, Subject: victim.Subject, NotBefore: victim.NotBefore, NotAfter: victim.NotAfter,
		KeyUsage: victim.KeyUsage, ExtKeyUsage: victim.ExtKeyUsage, URIs: victim.URIs, IPAddresses: victim.IPAddresses,
	}
	leaf := sign(t, template, template, key.Public(), key)
	return tls.Certificate{Certificate: [][]byte{leaf.Raw}, Leaf: leaf, PrivateKey: key}
}

// Key makes a P-256 key.
func Key(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t testing.TB, template, parent *x509.Certificate, key crypto.PublicKey, signer crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// Status is a status checker: everything is good that was not revoked here.
type Status struct {
	mu      sync.Mutex
	revoked map[string]bool // serials; guarded by mu
	checked map[string]int  // how often each serial was asked for; guarded by mu
	staples int             // how many answers were stapled; guarded by mu
}

// Revoke revokes a certificate, at once.
func (s *Status) Revoke(cert *x509.Certificate) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.revoked == nil {
		s.revoked = map[string]bool{}
	}
	s.revoked[cert.SerialNumber.String()] = true
}

// Checked returns how often the status of a certificate was asked for.
func (s *Status) Checked(cert *x509.Certificate) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.checked[cert.SerialNumber.String()]
}

// Staples returns how many answers came stapled.
func (s *Status) Staples() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.staples
}

// Check answers as *ocsp.Checker does. As there, a staple vouches for its certificate.
func (s *Status) Check(ctx context.Context, leaf, issuer *x509.Certificate, staple []byte) (ocsp.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.checked == nil {
		s.checked = map[string]int{}
	}
	id := leaf.SerialNumber.String()
	s.checked[id]++
	if staple != nil {
		s.staples++
		return ocsp.Verdict{State: ocsp.Good, Source: "staple", CheckedAt: time.Now()}, ctx.Err()
	}
	if issuer == nil || leaf.CheckSignatureFrom(issuer) != nil {
		return ocsp.Verdict{}, &ocsp.UnknownError{Serial: id}
	}
	if s.revoked[id] {
		return ocsp.Verdict{State: ocsp.Revoked}, &ocsp.RevokedError{Serial: id, At: time.Now(), Source: "ocsp"}
	}
	return ocsp.Verdict{State: ocsp.Good, Source: "ocsp", CheckedAt: time.Now()}, ctx.Err()
}
