package catest

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/lint"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/policy"
)

// A Network is a CA that lives for one test: a root, every issuing CA, a store
// in the test's directory, and OCSP and CRLs on a loopback port.
type Network struct {
	Name      string
	Root      *x509.Certificate
	Issuers   []ca.Issuer // with their keys, so that a test can mis-issue
	Authority *ca.Authority
	Store     ca.Store
	Status    *status.Service
	StatusURL string
	LogKey    string       // verifier key of the audit log
	StatusKey string       // verifier key of the status feed
	Ceremony  *ca.Ceremony // with the key of the root

	cfg     Config
	dir     string
	server  *httptest.Server
	feedKey ed25519.PrivateKey
	rootCRL atomic.Pointer[[]byte]
}

// A Config says how a network differs from the usual one.
type Config struct {
	Shards int              // of the CRL of each issuing CA; 0: 4, less than 0: none
	Now    func() time.Time // nil: time.Now
	Wrap   func(ca.Store) ca.Store
	// Coalesce is as in status.Config; 0: 10 ms, so that tests need not wait for lists.
	Coalesce time.Duration
	Logger   *slog.Logger
}

// New makes a network named pay.example. When the test ends it verifies every
// certificate issued, and the audit log.
func New(t testing.TB) *Network { return Make(t, Config{}) }

// Make is New for a network that differs from the usual one.
func Make(t testing.TB, cfg Config) *Network {
	t.Helper()
	n := &Network{Name: "pay.example", cfg: cfg, dir: t.TempDir()}
	if n.cfg.Now == nil {
		n.cfg.Now = time.Now
	}
	if n.cfg.Coalesce == 0 {
		n.cfg.Coalesce = 10 * time.Millisecond
	}
	n.server = httptest.NewUnstartedServer(nil)
	n.StatusURL = "http://" + n.server.Listener.Addr().String()
	t.Cleanup(n.server.Close)

	ceremony, err := ca.Create(ca.CeremonyConfig{Network: n.Name, StatusURL: n.StatusURL, Now: n.cfg.Now})
	must(t, err)
	n.Ceremony, n.Root, n.Issuers = ceremony, ceremony.Root, ceremony.Issuers
	rootCRL, err := status.RootCRL(ceremony, status.RootList{Number: 1, Now: n.cfg.Now(), Validity: 365 * 24 * time.Hour})
	must(t, err)
	n.SetRootCRL(rootCRL)

	_, logKey, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	log, err := audit.New(audit.Config{Origin: n.Name + "/ca", Signer: logKey})
	must(t, err)
	n.LogKey = log.VerifierKey()
	_, n.feedKey, err = ed25519.GenerateKey(rand.Reader)
	must(t, err)
	n.StatusKey, err = feed.VerifierKey(n.Name+"/status", n.feedKey)
	must(t, err)
	n.Store, err = boltstore.Open(t.Context(), boltstore.Config{Path: filepath.Join(n.dir, "store.db"), Log: log})
	must(t, err)
	if cfg.Wrap != nil {
		n.Store = cfg.Wrap(n.Store)
	}
	t.Cleanup(func() { n.verify(t) })
	must(t, n.Restart(t, cfg.Shards))
	n.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { n.Status.ServeHTTP(w, r) })
	n.server.Start()
	return n
}

// SetRootCRL is what a ceremony does that renews the CRL of the root.
func (n *Network) SetRootCRL(der []byte) { n.rootCRL.Store(&der) }

// Restart makes Authority and Status anew over the same store and published CRLs, as a start of the program does, with so many
// CRL shards for each issuing CA; as in [Config].
func (n *Network) Restart(t testing.TB, shards int) error {
	t.Helper()
	service, err := status.New(status.Config{
		Store: n.Store, Root: n.Root, RootCRL: func() ([]byte, error) { return *n.rootCRL.Load(), nil },
		Dir: filepath.Join(n.dir, "crl"), Feed: status.FeedOptions{Key: n.feedKey, Origin: n.Name + "/status"},
		Coalesce: n.cfg.Coalesce, Now: n.cfg.Now, Logger: n.cfg.Logger,
	})
	must(t, err)
	var profiles []*policy.Profile
	for _, cfg := range policy.DefaultProfiles() {
		profile, err := policy.NewProfile(cfg)
		must(t, err)
		profiles = append(profiles, profile)
	}
	linter, err := lint.New(lint.Config{Network: n.Name, StatusURL: n.StatusURL, Issuers: n.Issuers, Profiles: profiles})
	must(t, err)
	if shards == 0 {
		shards = 4
	}
	each := map[string]int{}
	for _, name := range policy.CAs() {
		each[name] = max(shards, 0)
	}
	authority, err := ca.New(t.Context(), ca.Config{
		Network: n.Name, Root: n.Root, Issuers: n.Issuers, Profiles: profiles, Store: n.Store,
		Linter: linter, StatusURL: n.StatusURL, OnRevoke: service.Revoked, OnIssue: service.OnIssue, Shards: each, Now: n.cfg.Now, Logger: n.cfg.Logger,
	})
	must(t, err)
	if err := service.Start(t.Context(), authority); err != nil {
		return err
	}
	n.Authority, n.Status = authority, service
	return nil
}

// Trust is what a relying party of the network knows.
func (n *Network) Trust() policy.Trust {
	return policy.Trust{Network: n.Name, Roots: []*x509.Certificate{n.Root}}
}

// Enroll registers a party and issues it a certificate for a new P-256 key.
func (n *Network) Enroll(t testing.TB, id string, role policy.Role, dns ...string) tls.Certificate {
	t.Helper()
	now := n.cfg.Now().UTC().Truncate(time.Second)
	party := policy.Party{ID: id, Role: role, Name: "Test " + id, DNSNames: dns, State: policy.Active, Created: now}
	must(t, party.Check(n.Name))
	must(t, n.Store.AddParty(t.Context(), party, audit.Event{Time: now, Kind: audit.PartyAdded, Actor: "test", Party: id}))
	return n.Issue(t, id)
}

// Issue issues a registered party one more certificate, for a new P-256 key.
func (n *Network) Issue(t testing.TB, id string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	must(t, err)
	issued, err := n.Authority.Issue(t.Context(), ca.Request{Party: id, CSR: csr, Requester: "test", Protocol: "local"})
	must(t, err)
	certificate := tls.Certificate{PrivateKey: key, Leaf: issued.Leaf}
	for _, c := range issued.Chain {
		certificate.Certificate = append(certificate.Certificate, c.Raw)
	}
	return certificate
}

// Revoke revokes a certificate that the network issued.
func (n *Network) Revoke(t testing.TB, leaf *x509.Certificate, reason ca.Reason) {
	t.Helper()
	serial, err := ca.SerialOf(leaf.SerialNumber)
	must(t, err)
	_, err = n.Authority.Revoke(t.Context(), ca.RevokeRequest{Serial: serial, Reason: reason, By: "test"})
	must(t, err)
}

// Issuer returns the named issuing CA, with its key.
func (n *Network) Issuer(t testing.TB, name string) ca.Issuer {
	t.Helper()
	for _, is := range n.Issuers {
		if is.Name == name {
			return is
		}
	}
	t.Fatalf("no issuing CA %q", name)
	return ca.Issuer{}
}

// verify checks what must hold of every CA at any time.
func (n *Network) verify(t testing.TB) {
	ctx := context.Background()
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(n.Root)
	for _, is := range n.Issuers {
		intermediates.AddCert(is.Certificate)
	}
	serials := map[ca.Serial]bool{}
	for record, err := range n.Store.Certificates(ctx, ca.Filter{}) {
		must(t, err)
		if serials[record.Serial] {
			t.Errorf("serial %s was issued twice", record.Serial)
		}
		serials[record.Serial] = true
		leaf, err := x509.ParseCertificate(record.DER)
		must(t, err)
		options := x509.VerifyOptions{Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: leaf.NotBefore}
		if _, err := leaf.Verify(options); err != nil {
			t.Errorf("certificate %s does not verify: %v", record.Serial, err)
		}
	}
	if _, err := audit.Verify(ctx, n.Store.Log(), n.LogKey); err != nil {
		t.Errorf("audit log: %v", err)
	}
	must(t, n.Store.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
