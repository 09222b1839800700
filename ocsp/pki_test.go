package ocsp_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// epoch is the clock of tests that look at times.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func fixed(t time.Time) func() time.Time { return func() time.Time { return t } }

// authority is a CA that issues whatever a test wants.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

func newKey(tb testing.TB, kind string) crypto.Signer {
	tb.Helper()
	var key crypto.Signer
	var err error
	switch kind {
	case "P-256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "P-384":
		key, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "P-521":
		key, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "Ed25519":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case "RSA-2048":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		tb.Fatalf("key kind %q", kind)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func newAuthority(tb testing.TB, name, kind string) *authority {
	tb.Helper()
	key := newKey(tb, kind)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: epoch.AddDate(-10, 0, 0), NotAfter: epoch.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	return &authority{cert: parseCert(tb, der, err), key: key}
}

func parseCert(tb testing.TB, der []byte, err error) *x509.Certificate {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		tb.Fatal(err)
	}
	return cert
}

// issue signs a leaf with the serial; edit changes the template.
func (a *authority) issue(tb testing.TB, serial int64, pub crypto.PublicKey, edit func(*x509.Certificate)) *x509.Certificate {
	tb.Helper()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).Add(new(big.Int).Lsh(big.NewInt(0xf1), 100), big.NewInt(serial)),
		Subject:      pkix.Name{CommonName: "leaf"},
		NotBefore:    epoch.AddDate(-9, 0, 0), NotAfter: epoch.AddDate(10, 0, 0),
		KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if edit != nil {
		edit(template)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, pub, a.key)
	return parseCert(tb, der, err)
}

func (a *authority) leaf(tb testing.TB, serial int64) *x509.Certificate {
	tb.Helper()
	return a.issue(tb, serial, newKey(tb, "P-256").Public(), nil)
}

// asDelegate turns a template into that of an OCSP signer.
func asDelegate(c *x509.Certificate) {
	c.Subject.CommonName = "ocsp"
	c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}
	c.ExtraExtensions = []pkix.Extension{{Id: oidNoCheck, Value: []byte{5, 0}}}
}

// signer issues a delegate and makes a signer of it.
func (a *authority) signer(tb testing.TB, kind string, edits ...func(*x509.Certificate)) *ocsp.Signer {
	tb.Helper()
	key := newKey(tb, kind)
	cert := a.issue(tb, 9000, key.Public(), func(c *x509.Certificate) {
		asDelegate(c)
		for _, edit := range edits {
			edit(c)
		}
	})
	s, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: a.cert, Certificate: cert, Key: key})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// book is a Source: what it does not hold is unknown.
type book struct {
	mu     sync.RWMutex
	status map[string]ocsp.Status // by issuer and serial
	err    error
	asked  int
}

func (b *book) Status(_ context.Context, issuer string, serial []byte) (ocsp.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked++
	return b.status[issuer+string(serial)], b.err
}

func (b *book) set(issuer string, cert *x509.Certificate, st ocsp.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.status == nil {
		b.status = make(map[string]ocsp.Status)
	}
	b.status[issuer+string(cert.SerialNumber.Bytes())] = st
}

func (b *book) count() int {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.asked
}

// newResponder answers for ca under the name "merchant" with a P-256 delegate.
func newResponder(tb testing.TB, ca *authority, src ocsp.Source, edit func(*ocsp.ResponderConfig)) *ocsp.Responder {
	tb.Helper()
	s := ca.signer(tb, "P-256")
	cfg := ocsp.ResponderConfig{
		Issuers: []ocsp.ResponderIssuer{{Name: "merchant", Certificate: ca.cert, Signer: func() *ocsp.Signer { return s }}},
		Source:  src,
		Now:     fixed(epoch),
	}
	if edit != nil {
		edit(&cfg)
	}
	r, err := ocsp.NewResponder(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func request(tb testing.TB, leaf, issuer *x509.Certificate, h crypto.Hash, nonce []byte) []byte {
	tb.Helper()
	der, err := ocsp.NewRequest(leaf, issuer, h, nonce)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// certID returns the CertID of leaf.
func certID(tb testing.TB, leaf, issuer *x509.Certificate, h crypto.Hash) ocsp.CertID {
	tb.Helper()
	req, err := ocsp.ParseRequest(request(tb, leaf, issuer, h, nil))
	if err != nil {
		tb.Fatal(err)
	}
	return req.CertIDs[0]
}

func mustSign(tb testing.TB, s *ocsp.Signer, at time.Time, nonce []byte, singles ...ocsp.SingleResponse) []byte {
	tb.Helper()
	der, err := s.Sign(at, nonce, singles...)
	if err != nil {
		tb.Fatal(err)
	}
	return der
}

// fresh is a good status as of epoch.
func fresh(tb testing.TB, leaf, issuer *x509.Certificate) ocsp.SingleResponse {
	return ocsp.SingleResponse{
		CertID: certID(tb, leaf, issuer, crypto.SHA256), State: ocsp.Good,
		ThisUpdate: epoch.Add(-5 * time.Minute), NextUpdate: epoch.Add(55 * time.Minute),
	}
}
