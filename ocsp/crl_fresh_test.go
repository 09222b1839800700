package ocsp_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// A root CRL holds for a year. A new one that revokes an issuing CA is seen
// within minutes, and when none can be had the old one goes on to hold.
func TestANewerCRLIsSeenLongBeforeTheOldOneEnds(t *testing.T) {
	t.Parallel()
	now := time.Now().UTC().Truncate(time.Second)
	var clock atomic.Int64
	clock.Store(now.Unix())
	var crl atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if body := crl.Load(); body != nil {
			_, _ = w.Write(*body)
			return
		}
		http.Error(w, "down", http.StatusServiceUnavailable)
	}))
	defer server.Close()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	make509 := func(template *x509.Certificate, parent *x509.Certificate) *x509.Certificate {
		der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	rootTemplate := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "root"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * 365 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, SubjectKeyId: []byte{1, 2, 3},
	}
	root := make509(rootTemplate, rootTemplate)
	leaf := make509(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "issuing"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * 365 * time.Hour),
		CRLDistributionPoints: []string{server.URL + "/root.crl"},
	}, root)
	publish := func(number int64, revoked ...x509.RevocationListEntry) {
		der, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{
			Number: big.NewInt(number), ThisUpdate: now, NextUpdate: now.Add(300 * 24 * time.Hour), RevokedCertificateEntries: revoked,
		}, root, key)
		if err != nil {
			t.Fatal(err)
		}
		crl.Store(&der)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1, Now: func() time.Time { return time.Unix(clock.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	check := func() error {
		_, err := checker.Check(t.Context(), leaf, root, nil)
		return err
	}
	publish(1)
	if err := check(); err != nil {
		t.Fatalf("with the first CRL: got %v, want good", err)
	}
	crl.Store(nil)
	clock.Add(int64((10 * time.Minute).Seconds()))
	if err := check(); err != nil {
		t.Errorf("with the server down: got %v, want the CRL that still holds", err)
	}
	publish(2, x509.RevocationListEntry{SerialNumber: big.NewInt(2), RevocationTime: now, ReasonCode: 2})
	clock.Add(int64((10 * time.Minute).Seconds()))
	if err := check(); !errors.As(err, new(*ocsp.RevokedError)) {
		t.Errorf("with a new CRL: got %v, want revoked", err)
	}
}
