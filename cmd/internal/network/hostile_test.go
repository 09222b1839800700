package network_test

import (
	"crypto/tls"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/policy"
)

// TestNoHostileCertificateIsAnybodyOnAnyRoute calls every route of the CA with every certificate of catest.Hostile: as an operator,
// who may do everything, and as a merchant.
func TestNoHostileCertificateIsAnybodyOnAnyRoute(t *testing.T) {
	t.Parallel()
	r := start(t)
	var issuers []ca.Issuer
	for _, name := range policy.CAs() {
		is, err := network.OpenIssuer(t.Context(), r.dir, name)
		must(t, err)
		issuers = append(issuers, is)
	}
	paths := strings.NewReplacer("{id}", "none", "{serial}", "1234567890abcdef", "{index}", "0")
	for _, dir := range []string{filepath.Join(r.dir, network.Operator), r.enroll(t, "shop1", policy.Merchant)} {
		victim, err := enroll.Open(dir)
		must(t, err)
		hostile := catest.Hostile(t, issuers, *victim.TLS())
		if len(hostile) < 50 {
			t.Fatalf("got %d hostile certificates", len(hostile))
		}
		for i, name := range slices.Sorted(maps.Keys(hostile)) {
			certificate := hostile[name]
			if unreadable(t, r, &certificate) {
				continue // so there is no request at all
			}
			for j, e := range config.Endpoints() {
				if testing.Short() && (i+j)%12 != 0 { // each certificate and each route, in a part of the pairs
					continue
				}
				method, path, _ := strings.Cut(paths.Replace(e.Pattern), " ")
				status, answer := r.request(t, &certificate, method, path, "application/json", []byte("{}"))
				if e.Open { // it is nobody, who gets the same answer, where a certificate is not another way in
					if status == http.StatusForbidden && says(path, answer, "identity-refused") {
						continue
					}
					if wantStatus, want := r.request(t, nil, method, path, "application/json", []byte("{}")); status != wantStatus || answer != want {
						t.Errorf("%s by %s, %s: got %d %s, want %d %s as for anybody", e.Pattern, victim.Identity, name, status, answer, wantStatus, want)
					}
					continue
				}
				if status != http.StatusForbidden || !says(path, answer, "identity-refused") && !says(path, answer, "certificate-unknown") {
					t.Errorf("%s by %s, %s: got %d %s, want 403 identity-refused", e.Pattern, victim.Identity, name, status, answer)
				}
			}
			for _, path := range []string{feed.CheckpointPath, feed.ChangesPath + "?after=0", feed.KeyPath} { // public: it is told what all are told
				if status, _ := r.request(t, &certificate, http.MethodGet, path, "", nil); status != http.StatusOK {
					t.Errorf("%s by %s, %s: got %d, want what everybody is told", path, victim.Identity, name, status)
				}
			}
		}
	}
	for c, err := range r.operator.Certificates(t.Context(), nil) {
		must(t, err)
		if c.Status == "revoked" {
			t.Errorf("certificate %s was revoked by nobody", c.Serial)
		}
	}
}

// unreadable says whether the server ends the handshake because it cannot read the certificate.
func unreadable(t *testing.T, r *running, certificate *tls.Certificate) bool {
	t.Helper()
	resp, err := trusting(certificate).Get(r.url + "/v1/roots")
	if err != nil && strings.Contains(err.Error(), "remote error: tls: error decoding message") {
		return true
	}
	must(t, err)
	_ = resp.Body.Close()
	return false
}
