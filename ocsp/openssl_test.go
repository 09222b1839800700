package ocsp_test

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// missing skips a test for want of something beyond Go; where PAYCA_REQUIRE_TOOLS is set, as in CI, the test fails.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
		t.Fatalf("%s is not installed, and PAYCA_REQUIRE_TOOLS is set", what)
	}
	t.Skipf("%s is not installed", what)
}

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		missing(t, name)
	}
}

// opensslDir finds openssl and writes the certificates and lists to a directory.
func opensslDir(t *testing.T, files map[string][]byte) string {
	t.Helper()
	needTool(t, "openssl")
	dir := t.TempDir()
	for name, der := range files {
		if strings.HasSuffix(name, ".pem") {
			kind := "CERTIFICATE"
			if strings.Contains(name, "crl") {
				kind = "X509 CRL"
			}
			der = pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
		}
		if err := os.WriteFile(filepath.Join(dir, name), der, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// openssl runs a command and returns what it printed.
func openssl(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "openssl", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestOpenSSLAcceptsOurAnswers(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	good, revoked, never := ca.leaf(t, 1), ca.leaf(t, 2), ca.leaf(t, 3)
	dir := opensslDir(t, map[string][]byte{"ca.pem": ca.cert.Raw, "good.pem": good.Raw, "revoked.pem": revoked.Raw, "never.pem": never.Raw})
	at := time.Now().Add(-time.Hour)
	src := &book{}
	src.set("merchant", good, ocsp.Status{State: ocsp.Good, Since: at})
	src.set("merchant", revoked, ocsp.Status{State: ocsp.Revoked, Reason: 1, RevokedAt: at, Since: at})
	server := httptest.NewServer(newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Now = time.Now }))
	t.Cleanup(server.Close)
	base := []string{"ocsp", "-issuer", "ca.pem", "-CAfile", "ca.pem"}
	post := append(base[:len(base):len(base)], "-url", server.URL+"/ocsp/merchant")
	tests := []struct {
		name string
		args []string
		want []string
	}{
		{"SHA-1 and nonce, its default", []string{"-cert", "good.pem"}, []string{"Response verify OK", "good.pem: good"}},
		{"SHA-256", []string{"-no_nonce", "-sha256", "-cert", "good.pem"}, []string{"Response verify OK", "good.pem: good"}},
		{"revoked", []string{"-cert", "revoked.pem"}, []string{"Response verify OK", "revoked.pem: revoked", "Reason: keyCompromise"}},
		{"never issued", []string{"-cert", "never.pem"}, []string{"Response verify OK", "never.pem: unknown"}},
		{
			"three in one request",
			[]string{"-cert", "good.pem", "-sha256", "-cert", "revoked.pem", "-cert", "never.pem"},
			[]string{"Response verify OK", "good.pem: good", "revoked.pem: revoked", "never.pem: unknown"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			// The hash option stands before the certificates it is for.
			args := append(post[:len(post):len(post)], tt.args...)
			out, err := openssl(t, dir, args...)
			if err != nil || strings.Contains(out, "no nonce in response") {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range tt.want {
				if !strings.Contains(out, want) {
					t.Errorf("want %q in\n%s", want, out)
				}
			}
		})
	}
	t.Run("GET", func(t *testing.T) {
		t.Parallel()
		if out, err := openssl(t, dir, append(base[:len(base):len(base)], "-no_nonce", "-sha256", "-cert", "good.pem", "-reqout", "req.der")...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		der, err := os.ReadFile(filepath.Join(dir, "req.der"))
		if err != nil {
			t.Fatal(err)
		}
		rec := serve(server.Config.Handler, "GET", "/ocsp/merchant/"+base64.StdEncoding.EncodeToString(der), nil)
		if err := os.WriteFile(filepath.Join(dir, "resp.der"), rec.Body.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := openssl(t, dir, append(base[:len(base):len(base)], "-no_nonce", "-sha256", "-cert", "good.pem", "-respin", "resp.der")...)
		if err != nil || !strings.Contains(out, "Response verify OK") || !strings.Contains(out, "good.pem: good") {
			t.Errorf("%v\n%s", err, out)
		}
	})
}

func TestOpenSSLAcceptsOurCRLs(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA-2048"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t, "merchant ca", kind)
			good, revoked := ca.leaf(t, 1), ca.leaf(t, 2)
			c := ca.crl(77)
			c.ThisUpdate, c.NextUpdate = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
			der := ca.signCRL(t, c, ocsp.Entry{Serial: revoked.SerialNumber.Bytes(), At: time.Now(), Reason: 4})
			empty := ca.signCRL(t, c)
			dir := opensslDir(t, map[string][]byte{"ca.pem": ca.cert.Raw, "good.pem": good.Raw, "revoked.pem": revoked.Raw, "crl.pem": der, "empty-crl.pem": empty})
			out, err := openssl(t, dir, "crl", "-in", "crl.pem", "-CAfile", "ca.pem", "-noout", "-text")
			for _, want := range []string{"verify OK", "Version 2", "X509v3 Authority Key Identifier", "X509v3 CRL Number", "77", "Superseded"} {
				if err != nil || !strings.Contains(out, want) {
					t.Errorf("%v: want %q in\n%s", err, want, out)
				}
			}
			out, err = openssl(t, dir, "crl", "-in", "empty-crl.pem", "-CAfile", "ca.pem", "-noout", "-text")
			if err != nil || !strings.Contains(out, "verify OK") || !strings.Contains(out, "No Revoked Certificates") {
				t.Errorf("%v\n%s", err, out)
			}
			for leaf, want := range map[string]string{"good.pem": "good.pem: OK", "revoked.pem": "certificate revoked"} {
				out, err := openssl(t, dir, "verify", "-crl_check", "-CAfile", "ca.pem", "-CRLfile", "crl.pem", leaf)
				if !strings.Contains(out, want) {
					t.Errorf("%s: %v\n%s", leaf, err, out)
				}
			}
		})
	}
}

// Answers of OpenSSL's own responder are believed, whatever key it signs with.
func TestAnswersOfOpenSSLAreVerified(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	key := newKey(t, "P-256")
	delegate := ca.issue(t, 5, key.Public(), asDelegate)
	leaf := ca.leaf(t, 1)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	index := "V\t360101000000Z\t\t" + strings.ToUpper(leaf.SerialNumber.Text(16)) + "\tunknown\t/CN=leaf\n"
	dir := opensslDir(t, map[string][]byte{
		"ca.pem": ca.cert.Raw, "ocsp.pem": delegate.Raw, "leaf.pem": leaf.Raw, "index.txt": []byte(index),
		"key.der": pkcs8, "req.der": request(t, leaf, ca.cert, crypto.SHA256, octets(32)),
	})
	out, err := openssl(t, dir, "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ocsp.pem", "-rkey", "key.der",
		"-reqin", "req.der", "-respout", "resp.der", "-nmin", "60")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	der, err := os.ReadFile(filepath.Join(dir, "resp.der"))
	if err != nil {
		t.Fatal(err)
	}
	v, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: time.Now(), Nonce: octets(32), RequireNonce: true})
	if err != nil || v.State != ocsp.Good {
		t.Errorf("got %+v, %v, want good", v, err)
	}
}
