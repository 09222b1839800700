package ocsp_test

import (
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// GnuTLS asks with a nonce and wants a signer that it finds by name or key.
func TestGnuTLSAcceptsOurAnswers(t *testing.T) {
	t.Parallel()
	needTool(t, "ocsptool")
	for _, byName := range []bool{false, true} {
		ca := newAuthority(t, "merchant ca", "P-256")
		good, revoked := ca.leaf(t, 1), ca.leaf(t, 2)
		dir := opensslDir(t, map[string][]byte{"ca.pem": ca.cert.Raw, "good.pem": good.Raw, "revoked.pem": revoked.Raw})
		at := time.Now().Add(-time.Hour)
		src := &book{}
		src.set("merchant", good, ocsp.Status{State: ocsp.Good, Since: at})
		src.set("merchant", revoked, ocsp.Status{State: ocsp.Revoked, Reason: 4, RevokedAt: at, Since: at})
		key := newKey(t, "P-256")
		signer, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: ca.cert, Certificate: ca.issue(t, 9, key.Public(), asDelegate), Key: key, ByName: byName})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) {
			cfg.Now, cfg.Issuers[0].Signer = time.Now, func() *ocsp.Signer { return signer }
		}))
		t.Cleanup(server.Close)
		for file, want := range map[string]string{"good.pem": "good", "revoked.pem": "revoked"} {
			for _, nonce := range []string{"--nonce", "--no-nonce"} {
				args := []string{"--ask=" + server.URL + "/ocsp/merchant", "--load-cert", file, "--load-issuer", "ca.pem", "--load-trust", "ca.pem", nonce}
				if nonce == "--no-nonce" {
					args = args[:len(args)-1]
				}
				cmd := exec.CommandContext(t.Context(), "ocsptool", args...)
				cmd.Dir = dir
				out, _ := cmd.CombinedOutput() // its exit code tells a revoked one, too
				if !strings.Contains(string(out), "Certificate Status: "+want) || !strings.Contains(string(out), "Verifying OCSP Response: Success") {
					t.Errorf("%s, %s, by name %v:\n%s", file, nonce, byName, out)
				}
			}
		}
	}
}
