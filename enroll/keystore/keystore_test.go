package keystore_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/keystore"
	"github.com/payca/payca/policy"
)

// credential is what a party holds after its enrollment.
func credential(t *testing.T, n *catest.Network, id policy.Identity, certificate tls.Certificate) *enroll.Credential {
	t.Helper()
	c := &enroll.Credential{Identity: id, URL: "https://localhost", Key: certificate.PrivateKey.(crypto.Signer), Roots: []*x509.Certificate{n.Root}}
	for _, der := range certificate.Certificate {
		parsed, err := x509.ParseCertificate(der)
		must(t, err)
		c.Chain = append(c.Chain, parsed)
	}
	return c
}

// shops are two certificates of one shop, and one of another.
func shops(t *testing.T) (first, second, other *enroll.Credential) {
	t.Helper()
	n := catest.New(t)
	shop1 := policy.Identity{Network: n.Name, Role: policy.Merchant, Party: "shop1"}
	shop2 := policy.Identity{Network: n.Name, Role: policy.Merchant, Party: "shop2"}
	first = credential(t, n, shop1, n.Enroll(t, "shop1", policy.Merchant, "shop1.example"))
	second = credential(t, n, shop1, n.Issue(t, "shop1"))
	return first, second, credential(t, n, shop2, n.Enroll(t, "shop2", policy.Merchant))
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileIsKeptCurrentAndNothingElseOverwritten(t *testing.T) {
	t.Parallel()
	first, second, other := shops(t)
	for _, form := range []keystore.Form{keystore.PKCS12, keystore.PEM} {
		t.Run(string(form), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			f := keystore.File{Form: form, Path: filepath.Join(dir, "shop1"), Password: "secret"}
			write := func(c *enroll.Credential, want bool) {
				t.Helper()
				if got, err := f.Write(c); err != nil || got != want {
					t.Fatalf("got change %t, %v, want %t", got, err, want)
				}
			}
			write(first, true)
			if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o600 {
				t.Errorf("got mode %v, %v, want 0600", info.Mode(), err)
			}
			write(first, false)
			must(t, os.Chmod(f.Path, 0o640))
			write(second, true)
			if info, err := os.Stat(f.Path); err != nil || info.Mode() != 0o640 {
				t.Errorf("got mode %v, %v, want 0640 as it was", info.Mode(), err)
			}
			write(second, false)
			before, err := os.ReadFile(f.Path)
			must(t, err)
			if _, err := f.Write(other); err == nil || !strings.Contains(err.Error(), "it holds spiffe://merchant.pay.example/shop1") {
				t.Errorf("got %v over another party's, want a refusal that names it", err)
			}
			f.Password = "another"
			if _, err := f.Write(first); form == keystore.PKCS12 && err == nil {
				t.Error("wrote over a file that does not open with the password")
			}
			f.Password = "secret"
			if after, err := os.ReadFile(f.Path); form == keystore.PKCS12 && (err != nil || !bytes.Equal(before, after)) {
				t.Errorf("the file changed, %v", err)
			}
			const foreign = "-----BEGIN PRIVATE KEY-----\nsomebody's\n-----END PRIVATE KEY-----\n"
			f.Path = filepath.Join(dir, "foreign")
			must(t, os.WriteFile(f.Path, []byte(foreign), 0o600))
			if _, err := f.Write(first); err == nil {
				t.Error("wrote over a key that is not ours")
			}
			if after, err := os.ReadFile(f.Path); err != nil || string(after) != foreign {
				t.Errorf("got %q, %v, want the foreign key", after, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil || len(entries) != 2 {
				t.Errorf("got %v, %v, want the two files and nothing beside", entries, err)
			}
		})
	}
}

func TestATrustStoreIsReplacedByOneOfTheSameNetworkOnly(t *testing.T) {
	t.Parallel()
	first, second, _ := shops(t)
	f := keystore.File{Form: keystore.TrustStore, Path: filepath.Join(t.TempDir(), "trust.p12"), Password: keystore.TrustStorePassword}
	for i, c := range []*enroll.Credential{first, second} {
		if got, err := f.Write(c); err != nil || got != (i == 0) {
			t.Errorf("got change %t, %v for credential %d", got, err, i)
		}
	}
	if info, err := os.Stat(f.Path); err != nil || info.Mode() != fs.FileMode(0o644) {
		t.Errorf("got mode %v, %v, want 0644", info.Mode(), err)
	}
	again, _, _ := shops(t) // another root of the same name, as after a restart from nothing
	if got, err := f.Write(again); err != nil || !got {
		t.Errorf("got change %t, %v for another root of the network", got, err)
	}
	stranger := *first
	stranger.Roots = first.Chain[:1]
	if _, err := f.Write(&stranger); err == nil {
		t.Error("wrote over the trust store of another network")
	}
}

func TestEncodeRefusesAFormThatIsNone(t *testing.T) {
	t.Parallel()
	first, _, _ := shops(t)
	if _, err := keystore.Encode("jks", first, ""); err == nil || !strings.Contains(err.Error(), `form "jks", want pkcs12, truststore or pem`) {
		t.Errorf("got %v", err)
	}
}
