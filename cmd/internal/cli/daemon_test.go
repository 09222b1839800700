package cli_test

import (
	"crypto"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/cmd/internal/cli"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// TestTheDaemonEndsWithACertificateThatExpiredLongAgo: nobody is there to renew it, and systemd is not to start it again.
func TestTheDaemonEndsWithACertificateThatExpiredLongAgo(t *testing.T) {
	t.Parallel()
	past := time.Now().AddDate(0, 0, -90)
	n := catest.Make(t, catest.Config{Now: func() time.Time { return past }})
	made := n.Enroll(t, "shop1", policy.Merchant)
	c := &enroll.Credential{
		Identity: policy.Identity{Network: n.Name, Role: policy.Merchant, Party: "shop1"},
		URL:      "https://localhost:1", Key: made.PrivateKey.(crypto.Signer), Roots: []*x509.Certificate{n.Root},
	}
	for _, der := range made.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		c.Chain = append(c.Chain, parsed)
	}
	dir := filepath.Join(t.TempDir(), "shop1")
	if _, err := c.Save(dir); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := run(t, nil, "renew", "--daemon", dir, "--", "touch", filepath.Join(dir, "hooked"))
	if code != cli.ExitInvalid || stdout != "" || !strings.Contains(stderr, "expired at ") || !strings.Contains(stderr, "hint: enroll again, with a new token: payca enroll TOKEN") {
		t.Errorf("got exit code %d, %q, %s", code, stdout, stderr)
	}
	if _, err := os.Stat(filepath.Join(dir, "hooked")); err == nil {
		t.Error("the hook ran, although nothing changed")
	}
}
