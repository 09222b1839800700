package testca

import (
	"bytes"
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A Responder answers OCSP for a CA: everything is good that was not revoked there.
type Responder struct {
	responder *ocsp.Responder

	mu      sync.Mutex
	revoked map[string]int // reason by serial; guarded by mu
	down    bool           // guarded by mu
	asked   int            // guarded by mu
}

// Responder makes a responder for the issuing CAs; its answers are those of now.
func (ca *CA) Responder(t testing.TB, now func() time.Time) *Responder {
	t.Helper()
	r := &Responder{revoked: map[string]int{}}
	var issuers []ocsp.ResponderIssuer
	for _, name := range policy.CAs() {
		is, key := ca.issuers[name], Key(t)
		delegate := sign(t, &x509.Certificate{
			SerialNumber: serial(t), Subject: pkix.Name{CommonName: name + " OCSP"}, NotBefore: is.cert.NotBefore, NotAfter: is.cert.NotAfter,
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
			ExtraExtensions: []pkix.Extension{{Id: []int{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: []byte{5, 0}}},
		}, is.cert, key.Public(), is.key)
		signer, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: is.cert, Certificate: delegate, Key: key})
		if err != nil {
			t.Fatal(err)
		}
		issuers = append(issuers, ocsp.ResponderIssuer{Name: name, Certificate: is.cert, Signer: func() *ocsp.Signer { return signer }})
	}
	responder, err := ocsp.NewResponder(ocsp.ResponderConfig{Issuers: issuers, Source: r, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	r.responder = responder
	return r
}

// ServeHTTP implements http.Handler.
func (r *Responder) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.asked++
	down := r.down
	r.mu.Unlock()
	if down {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	r.responder.ServeHTTP(w, req)
}

// Start serves it, and returns its URL.
func (r *Responder) Start(t testing.TB) string {
	t.Helper()
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return server.URL + "/ocsp"
}

// Ask asks it without a network.
func (r *Responder) Ask(ctx context.Context, request []byte) ([]byte, error) {
	req := httptest.NewRequestWithContext(ctx, http.MethodPost, "/ocsp", bytes.NewReader(request))
	req.Header.Set("Content-Type", "application/ocsp-request")
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	if w.Code != http.StatusOK {
		return nil, fmt.Errorf("responder answers %d", w.Code)
	}
	return w.Body.Bytes(), nil
}

// Status implements ocsp.Source.
func (r *Responder) Status(_ context.Context, _ string, serial []byte) (ocsp.Status, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reason, ok := r.revoked[string(serial)]; ok {
		return ocsp.Status{State: ocsp.Revoked, Reason: reason, RevokedAt: time.Now()}, nil
	}
	return ocsp.Status{State: ocsp.Good}, nil
}

// Revoke revokes a certificate of the CA with that name, at once.
func (r *Responder) Revoke(issuer string, cert *x509.Certificate) {
	r.mu.Lock()
	r.revoked[string(cert.SerialNumber.Bytes())] = 1
	r.mu.Unlock()
	r.responder.Drop(issuer, cert.SerialNumber.Bytes())
}

// Down takes the responder away, or brings it back.
func (r *Responder) Down(down bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = down
}

// Asked returns how many requests came.
func (r *Responder) Asked() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.asked
}
