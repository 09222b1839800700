package network_test

import (
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// long leaves a test out of the short run.
func long(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs programs of others against a whole network")
	}
}

// tool runs a program and returns what it prints on both streams.
func tool(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	return string(out), err
}

// download writes what the status service serves at path, as PEM.
func (r *running) download(t *testing.T, path, kind string) string {
	t.Helper()
	resp, err := http.Get(r.status + path)
	must(t, err)
	defer func() { _ = resp.Body.Close() }()
	der, err := io.ReadAll(resp.Body)
	must(t, err)
	if resp.StatusCode != http.StatusOK || resp.Header.Get("ETag") == "" {
		t.Fatalf("%s: got %s, ETag %q", path, resp.Status, resp.Header.Get("ETag"))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// OpenSSL must see every certificate, its chain, its CRLs and its OCSP answer
// as we do, before and after the revocation.
func TestOpenSSLAgreesBeforeAndAfterARevocation(t *testing.T) {
	long(t)
	t.Parallel()
	openssl := catest.NeedTool(t, "openssl")
	r := start(t)
	dir := r.enroll(t, "shop1", policy.Merchant)
	cert := filepath.Join(dir, enroll.CertificateFile)
	files := t.TempDir()
	root, issuer, all := filepath.Join(files, "root.pem"), filepath.Join(files, "merchant.pem"), filepath.Join(files, "all.pem")
	write := func() {
		must(t, os.WriteFile(root, []byte(r.download(t, "/ca/root.crt", "CERTIFICATE")), 0o600))
		must(t, os.WriteFile(issuer, []byte(r.download(t, "/ca/merchant.crt", "CERTIFICATE")), 0o600))
		crls := r.download(t, "/crl/root.crl", "X509 CRL") + r.download(t, "/crl/merchant.crl", "X509 CRL")
		must(t, os.WriteFile(all, []byte(r.download(t, "/ca/root.crt", "CERTIFICATE")+r.download(t, "/ca/merchant.crt", "CERTIFICATE")+crls), 0o600))
	}
	write()
	if out, err := tool(t, openssl, "verify", "-x509_strict", "-CAfile", root, "-untrusted", issuer, cert); err != nil {
		t.Errorf("openssl verify: %v\n%s", err, out)
	}
	if out, err := tool(t, openssl, "verify", "-crl_check_all", "-CAfile", all, cert); err != nil {
		t.Errorf("openssl verify -crl_check_all: %v\n%s", err, out)
	}
	ask := func(more ...string) string {
		args := append([]string{"ocsp", "-issuer", issuer, "-cert", cert, "-url", r.status + "/ocsp/merchant", "-CAfile", root}, more...)
		out, err := tool(t, openssl, args...)
		if err != nil || !strings.Contains(out, "Response verify OK") {
			t.Errorf("openssl ocsp %v: %v\n%s", more, err, out)
		}
		return out
	}
	if out := ask(); !strings.Contains(out, "cert.pem: good") {
		t.Errorf("got %s, want good", out)
	}
	if out := ask("-serial", "0x1234"); !strings.Contains(out, "cert.pem: good") || !strings.Contains(out, "0x1234: unknown") {
		t.Errorf("two certificates in one request: got %s, want good and unknown", out)
	}
	_, err := r.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Party: "shop1", All: true}, Reason: "keyCompromise"})
	must(t, err)
	write()
	if out := ask("-no_nonce"); !strings.Contains(out, "cert.pem: revoked") || !strings.Contains(out, "keyCompromise") {
		t.Errorf("got %s, want revoked for keyCompromise", out)
	}
	if out, err := tool(t, openssl, "verify", "-crl_check_all", "-CAfile", all, cert); err == nil || !strings.Contains(out, "certificate revoked") {
		t.Errorf("openssl verify -crl_check_all: got %v\n%s, want certificate revoked", err, out)
	}
}

// curl is a client like any other: its certificate says who calls.
func TestCurlCallsWithAClientCertificate(t *testing.T) {
	long(t)
	t.Parallel()
	curl := catest.NeedTool(t, "curl")
	r := start(t)
	dir := r.enroll(t, "shop1", policy.Merchant)
	args := []string{"-sS", "--cacert", filepath.Join(dir, enroll.RootFile), "--cert", filepath.Join(dir, enroll.CertificateFile), "--key", filepath.Join(dir, enroll.KeyFile), r.url + "/v1/certificates"}
	if out, err := tool(t, curl, args...); err != nil || !strings.Contains(out, `"party":"shop1"`) {
		t.Errorf("got %v, %s, want the certificates of shop1", err, out)
	}
	if out, err := tool(t, curl, "-sS", "--cacert", filepath.Join(dir, enroll.RootFile), r.url+"/v1/certificates"); err != nil || !strings.Contains(out, "certificate-required") {
		t.Errorf("without a certificate: got %v, %s, want certificate-required", err, out)
	}
}

// s_client must verify the server and be asked for a certificate.
func TestSClientVerifiesTheServer(t *testing.T) {
	long(t)
	t.Parallel()
	openssl := catest.NeedTool(t, "openssl")
	r := start(t)
	dir := r.enroll(t, "shop1", policy.Merchant)
	out, err := tool(t, openssl, "s_client", "-connect", strings.TrimPrefix(r.url, "https://"), "-CAfile", filepath.Join(dir, enroll.RootFile),
		"-cert", filepath.Join(dir, enroll.CertificateFile), "-key", filepath.Join(dir, enroll.KeyFile), "-verify_return_error", "-verify_hostname", "localhost")
	if err != nil || !strings.Contains(out, "Verify return code: 0 (ok)") {
		t.Errorf("got %v\n%s", err, out)
	}
}
