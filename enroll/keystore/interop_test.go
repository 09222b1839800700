package keystore_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/keystore"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A gateway over mutual TLS that greets merchants, and a merchant with its files.
type gateway struct {
	url, keyStore, trustStore, pem, root, password string // the last is a file
}

const secret = "an exported password"

// serve starts a gateway, and exports the identity of a shop.
func serve(t *testing.T) gateway {
	t.Helper()
	if testing.Short() {
		t.Skip("runs programs of others")
	}
	n := catest.New(t)
	source, err := enroll.NewStaticSource(n.Enroll(t, "gw1", policy.Gateway, "localhost"), n.Trust())
	must(t, err)
	status, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true})
	must(t, err)
	conf, err := mtls.Server(source, mtls.AuthorizeRole(policy.Merchant), status)
	must(t, err)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, err := policy.IdentityOf(r.TLS.PeerCertificates[0], n.Name)
		fmt.Fprintf(w, "good day, %s %v", id.Party, err)
	}))
	server.TLS, server.Config.ErrorLog = conf, log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)

	shop := credential(t, n, policy.Identity{Network: n.Name, Role: policy.Merchant, Party: "shop1"}, n.Enroll(t, "shop1", policy.Merchant))
	dir := t.TempDir()
	g := gateway{
		root:     filepath.Join(dir, "root.pem"),
		url:      strings.Replace(server.URL, "127.0.0.1", "localhost", 1),
		keyStore: filepath.Join(dir, "shop1.p12"), trustStore: filepath.Join(dir, "trust.p12"), pem: filepath.Join(dir, "shop1.pem"), password: filepath.Join(dir, "password"),
	}
	must(t, os.WriteFile(g.root, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: n.Root.Raw}), 0o600))
	must(t, os.WriteFile(g.password, []byte(secret+"\n"), 0o600))
	for _, f := range []keystore.File{
		{Form: keystore.PKCS12, Path: g.keyStore, Password: secret},
		{Form: keystore.TrustStore, Path: g.trustStore, Password: keystore.TrustStorePassword},
		{Form: keystore.PEM, Path: g.pem},
	} {
		_, err := f.Write(shop)
		must(t, err)
	}
	return g
}

// tool runs a program and returns what it prints.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), catest.NeedTool(t, name), args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestOpenSSLReadsThePKCS12(t *testing.T) {
	t.Parallel()
	g := serve(t)
	out := tool(t, "openssl", "pkcs12", "-in", g.keyStore, "-passin", "file:"+g.password, "-info", "-noenc")
	for _, want := range []string{"MAC: sha256", "PBES2, PBKDF2, AES-256-CBC", "BEGIN PRIVATE KEY", "CN = shop1"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %s in it", out, want)
		}
	}
	if got := strings.Count(out, "BEGIN CERTIFICATE"); got != 3 {
		t.Errorf("got %d certificates, want the party's, its issuer's and the root", got)
	}
	out, _, _ = strings.Cut(tool(t, "openssl", "pkcs12", "-in", g.trustStore, "-passin", "pass:changeit", "-nokeys"), "-----END")
	if !strings.Contains(out, "friendlyName: pay.example") {
		t.Errorf("got %s, want the root under the name of the network", out)
	}
}

// One file for both is what HAProxy takes for crt, and curl for --cert.
func TestCurlCallsWithOnePEMFile(t *testing.T) {
	t.Parallel()
	g := serve(t)
	if out := tool(t, "curl", "-sS", "--cacert", g.root, "--cert", g.pem, g.url); out != "good day, shop1 <nil>" {
		t.Errorf("got %s", out)
	}
}

func TestKeytoolReadsBothStores(t *testing.T) {
	t.Parallel()
	g := serve(t)
	out := tool(t, "keytool", "-list", "-v", "-keystore", g.keyStore, "-storepass:file", g.password)
	for _, want := range []string{"Your keystore contains 1 entry", "Entry type: PrivateKeyEntry", "Certificate chain length: 3", "CN=shop1"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %s in it", out, want)
		}
	}
	out = tool(t, "keytool", "-list", "-keystore", g.trustStore, "-storepass", keystore.TrustStorePassword)
	for _, want := range []string{"Your keystore contains 1 entry", "pay.example, ", "trustedCertEntry"} {
		if !strings.Contains(out, want) {
			t.Errorf("got %s, want %s in it", out, want)
		}
	}
}

func TestAJavaProgramCallsOverMutualTLS(t *testing.T) {
	t.Parallel()
	catest.NeedTool(t, "javac") // a source file runs with a JDK only
	g := serve(t)
	if out := tool(t, "java", "testdata/Client.java", g.url, g.keyStore, g.password, g.trustStore); out != "200 good day, shop1 <nil>\n" {
		t.Errorf("got %s", out)
	}
}

// The data base of NSS is where Chromium finds roots and client certificates.
func TestChromiumCallsWithTheImportedPKCS12(t *testing.T) {
	t.Parallel()
	browser := catest.NeedTool(t, "chromium")
	g := serve(t)
	home := t.TempDir()
	db := filepath.Join(home, ".pki", "nssdb")
	must(t, os.MkdirAll(db, 0o700))
	tool(t, "certutil", "-N", "-d", "sql:"+db, "--empty-password")
	tool(t, "certutil", "-A", "-d", "sql:"+db, "-n", "pay.example root", "-t", "C,,", "-i", g.root)
	// A browser asks its user which certificate to show; here the profile says it, as the policy AutoSelectCertificateForUrls does.
	profile := filepath.Join(home, "profile")
	must(t, os.MkdirAll(filepath.Join(profile, "Default"), 0o700))
	const chosen = `{"profile":{"content_settings":{"exceptions":{"auto_select_certificate":{"https://localhost,*":{"setting":{"filters":[{"ISSUER":{"O":"pay.example"}}]}}}}}}}`
	must(t, os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(chosen), 0o600))
	visit := func() string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--user-data-dir="+profile, "--timeout=20000", "--dump-dom", g.url)
		cmd.Env = append(os.Environ(), "HOME="+home)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("chromium: %v", err)
		}
		return string(out)
	}
	if out := visit(); strings.Contains(out, "good day") {
		t.Errorf("without a certificate: got %s", out)
	}
	if out := tool(t, "pk12util", "-i", g.keyStore, "-d", "sql:"+db, "-w", g.password); !strings.Contains(out, "PKCS12 IMPORT SUCCESSFUL") {
		t.Errorf("got %s", out)
	}
	if out := visit(); !strings.Contains(out, "good day, shop1 &lt;nil&gt;") {
		t.Errorf("got %s", out)
	}
}
