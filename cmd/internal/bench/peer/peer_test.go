package peer_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/bench/peer"
)

func request(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: peer.Name}, DNSNames: []string{peer.Name}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return csr
}

func TestThePeerDoesTheWholeWork(t *testing.T) {
	t.Parallel()
	p, err := peer.New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	token, err := p.Token()
	if err != nil {
		t.Fatal(err)
	}
	csr := request(t)
	if err := p.Issue(t.Context(), token, csr); err != nil {
		t.Fatal(err)
	}
	if err := p.Issue(t.Context(), token, csr); err == nil {
		t.Error("a token served twice: it was not stored")
	}
	if token, err = p.Token(); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(map[string]string{"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), "ott": token})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	p.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/1.0/sign", strings.NewReader(string(body))))
	if w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), "BEGIN CERTIFICATE") {
		t.Errorf("the handler says %d %s", w.Code, w.Body)
	}
}
