package network_test

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// A device is what has curl and openssl, and a directory.
type device struct {
	t   *testing.T
	dir string
	url string // of EST
}

// newDevice skips the test where a program is missing, except where PAYCA_REQUIRE_TOOLS is set.
func newDevice(t *testing.T, r *running) *device {
	t.Helper()
	for _, program := range []string{"curl", "openssl"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
				t.Fatal(err)
			}
			t.Skip(program + " is not installed")
		}
	}
	d := &device{t: t, dir: t.TempDir(), url: r.url + "/.well-known/est/"}
	root, err := os.ReadFile(filepath.Join(r.dir, "ca", "root.crt"))
	must(t, err)
	must(t, os.WriteFile(filepath.Join(d.dir, "root.pem"), root, 0o600))
	return d
}

// run runs a program in the directory.
func (d *device) run(program string, args ...string) string {
	d.t.Helper()
	cmd := exec.CommandContext(d.t.Context(), program, args...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return string(out)
}

// An estReply is what curl saw.
type estReply struct {
	status, headers, body string
}

// curl asks for an operation; more are further arguments.
func (d *device) curl(path string, more ...string) estReply {
	d.t.Helper()
	out := d.run("curl", append([]string{"-sS", "--cacert", "root.pem", "-D", "headers", "-o", "body", "-w", "%{http_code}", d.url + path}, more...)...)
	headers, err := os.ReadFile(filepath.Join(d.dir, "headers"))
	must(d.t, err)
	body, err := os.ReadFile(filepath.Join(d.dir, "body"))
	must(d.t, err)
	return estReply{out, strings.ToLower(string(headers)), string(body)}
}

// want wants a status, and a text in headers or body.
func (d *device) want(name string, r estReply, status int, text string) {
	d.t.Helper()
	if r.status != fmt.Sprint(status) || !strings.Contains(r.headers+"\n"+r.body, text) {
		d.t.Errorf("%s: got %s\n%s%s\nwant %d and %q", name, r.status, r.headers, r.body, status, text)
	}
}

// key makes a key and a request in base64, as devices do.
func (d *device) key(name, subject string) {
	d.run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", name+".key", "-subj", subject, "-outform", "DER", "-out", name+".der")
	d.run("openssl", "base64", "-in", name+".der", "-out", name+".b64")
}

// certificate decodes a certs-only reply into a file, and wants so many certificates in it.
func (d *device) certificate(r estReply, name string, count int) *x509.Certificate {
	d.t.Helper()
	d.want(name, r, http.StatusOK, "application/pkcs7-mime; smime-type=certs-only")
	if strings.ContainsAny(r.body, "\r\n ") {
		d.t.Errorf("%s: base64 with white space: %q", name, r.body)
	}
	must(d.t, os.WriteFile(filepath.Join(d.dir, name+".p7.b64"), []byte(r.body), 0o600))
	d.run("openssl", "base64", "-d", "-A", "-in", name+".p7.b64", "-out", name+".p7")
	text := d.run("openssl", "pkcs7", "-inform", "DER", "-in", name+".p7", "-print_certs", "-out", name+".pem") + read(d.t, filepath.Join(d.dir, name+".pem"))
	if got := strings.Count(text, "BEGIN CERTIFICATE"); got != count {
		d.t.Fatalf("%s: got %d certificates, want %d:\n%s", name, got, count, text)
	}
	block, _ := pem.Decode([]byte(text[strings.Index(text, "-----BEGIN"):]))
	c, err := x509.ParseCertificate(block.Bytes)
	must(d.t, err)
	return c
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	must(t, err)
	return string(raw)
}

func TestADeviceEnrollsByEST(t *testing.T) {
	t.Parallel()
	r := startConfigured(t, network.Config{}, func(c *config.Config) {
		c.Profiles = []policy.ProfileConfig{{
			Name: "gateway-encryption", Role: policy.Gateway, Use: "encryption", Validity: policy.Duration(30 * 24 * time.Hour), ServerKeygen: true,
		}}
	})
	d := newDevice(t, r)
	d.certificate(d.curl("cacerts"), "all", 6)
	d.certificate(d.curl("merchant/cacerts"), "cas", 2)
	d.want("without a label", d.curl("csrattrs"), http.StatusNoContent, "")
	attrs := d.curl("merchant/csrattrs")
	d.want("attributes", attrs, http.StatusOK, "application/csrattrs")
	der, err := base64.StdEncoding.DecodeString(attrs.body)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(d.dir, "attrs"), der, 0o600))
	if text := d.run("openssl", "asn1parse", "-inform", "DER", "-in", "attrs"); !strings.Contains(text, "prime256v1") || !strings.Contains(text, "ecdsa-with-SHA256") {
		t.Errorf("attributes %s, want P-256", text)
	}

	// A token is the password, once.
	token := r.register(t, "shop1", policy.Merchant)
	d.key("shop1", "/CN=whatever the device calls itself")
	d.want("no word", d.curl("simpleenroll", "--data-binary", "@shop1.b64"), http.StatusUnauthorized, `www-authenticate: basic realm="pay.example"`)
	d.want("another user", d.curl("simpleenroll", "-u", "shop2:"+token, "--data-binary", "@shop1.b64"), http.StatusUnauthorized, "want the party that the token names")
	d.want("another password", d.curl("simpleenroll", "-u", "shop1:secret", "--data-binary", "@shop1.b64"), http.StatusUnauthorized, "token-form")
	d.want("another profile", d.curl("merchant-encryption/simpleenroll", "-u", "shop1:"+token, "--data-binary", "@shop1.b64"), http.StatusNotFound, "no EST label")
	d.want("the profile of another role", d.curl("gateway/simpleenroll", "-u", "shop1:"+token, "--data-binary", "@shop1.b64"), http.StatusForbidden, "token-profile")
	first := d.certificate(d.curl("merchant/simpleenroll", "-u", "shop1:"+token, "-H", "Content-Type: application/pkcs10", "--data-binary", "@shop1.b64"), "shop1", 1)
	d.run("openssl", "verify", "-CAfile", "root.pem", "-untrusted", "cas.pem", "shop1.pem")
	if first.URIs[0].String() != "spiffe://merchant.pay.example/shop1" || first.Subject.CommonName != "shop1" {
		t.Errorf("issued %s for %v, want the names of the registry", first.Subject, first.URIs)
	}
	used := d.curl("simpleenroll", "-u", "shop1:"+token, "--data-binary", "@shop1.b64")
	d.want("the token again", used, http.StatusForbidden, "was used by shop1 from 127.0.0.1:")
	if !strings.Contains(used.headers, "content-type: text/plain") {
		t.Errorf("refused with %s, want text", used.headers)
	}

	d.renews(first)
	d.getsKeys(r)
	d.refusals()
}

// renews replaces a certificate with the same key, and with a new one.
func (d *device) renews(first *x509.Certificate) {
	d.t.Helper()
	with := func(name string) []string { return []string{"--cert", name + ".pem", "--key", name + ".key"} }
	d.run("openssl", "x509", "-x509toreq", "-copy_extensions", "copyall", "-in", "shop1.pem", "-signkey", "shop1.key", "-out", "again.csr")
	d.want("without a certificate", d.curl("simplereenroll", "--data-binary", "@again.csr"), http.StatusUnauthorized, "no client certificate was presented")
	// What copyall copies of keyUsage and other extensions the registry's certificate has too.
	again := d.certificate(d.curl("simplereenroll", append(with("shop1"), "--data-binary", "@again.csr")...), "again", 1)
	if again.SerialNumber.Cmp(first.SerialNumber) == 0 || again.Subject.String() != first.Subject.String() {
		d.t.Errorf("renewed as %s %s, want another serial for %s", again.Subject, again.SerialNumber, first.Subject)
	}
	d.run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "other.key", "-subj", "/CN=shop2", "-outform", "DER", "-out", "other.der")
	d.want("other names", d.curl("simplereenroll", append(with("shop1"), "--data-binary", "@other.der")...), http.StatusForbidden, "want the same ones or none")
	d.run("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "rekey.key", "-subj", "/", "-outform", "DER", "-out", "rekey.der")
	rekeyed := d.certificate(d.curl("merchant/simplereenroll", append(with("shop1"), "--data-binary", "@rekey.der")...), "rekey", 1)
	if string(rekeyed.RawSubjectPublicKeyInfo) == string(first.RawSubjectPublicKeyInfo) {
		d.t.Error("rekeyed with the old key")
	}
	d.want("the new key", d.curl("simpleenroll", append(with("rekey"), "--data-binary", "@rekey.der")...), http.StatusOK, "certs-only")
	d.want("another profile", d.curl("gateway/simplereenroll", append(with("rekey"), "--data-binary", "@rekey.der")...), http.StatusForbidden, "renew-profile")
}

// getsKeys has the CA make a key for a gateway.
func (d *device) getsKeys(r *running) {
	d.t.Helper()
	d.key("gw1", "/CN=gw1")
	d.certificate(d.curl("simpleenroll", "-u", "gw1:"+r.register(d.t, "gw1", policy.Gateway), "--data-binary", "@gw1.b64"), "gw1", 1)
	with := []string{"--cert", "gw1.pem", "--key", "gw1.key", "--data-binary", "@gw1.b64"}
	d.want("a key that signs", d.curl("gateway/serverkeygen", with...), http.StatusForbidden, "keys are made by who uses them")
	reply := d.curl("gateway-encryption/serverkeygen", with...)
	d.want("a key", reply, http.StatusOK, "multipart/mixed; boundary=")
	_, rest, _ := strings.Cut(reply.body, "application/pkcs8\r\n\r\n")
	private, rest, _ := strings.Cut(rest, "\r\n--")
	_, rest, _ = strings.Cut(rest, "smime-type=certs-only\r\n\r\n")
	certs, _, _ := strings.Cut(rest, "\r\n--")
	der, err := base64.StdEncoding.DecodeString(private)
	must(d.t, err)
	must(d.t, os.WriteFile(filepath.Join(d.dir, "made.key"), der, 0o600))
	made := d.certificate(estReply{"200", reply.headers + "application/pkcs7-mime; smime-type=certs-only", certs}, "made", 1)
	if d.run("openssl", "pkey", "-inform", "DER", "-in", "made.key", "-pubout") != d.run("openssl", "x509", "-in", "made.pem", "-noout", "-pubkey") {
		d.t.Error("key and certificate do not belong together")
	}
	if made.KeyUsage != x509.KeyUsageKeyAgreement || made.URIs[0].String() != "spiffe://gateway.pay.example/gw1" {
		d.t.Errorf("issued %v with key usage %d, want one for encryption", made.URIs, made.KeyUsage)
	}
}

// refusals are what a client can do wrong before anybody looks at a request.
func (d *device) refusals() {
	d.t.Helper()
	must(d.t, os.WriteFile(filepath.Join(d.dir, "huge"), []byte(strings.Repeat("A", 65<<10)), 0o600))
	must(d.t, os.WriteFile(filepath.Join(d.dir, "nested"), []byte(strings.Repeat("\x30\x80", 30_000)), 0o600))
	with := []string{"--cert", "rekey.pem", "--key", "rekey.key"}
	d.want("fullcmc", d.curl("fullcmc", "-d", "x"), http.StatusNotImplemented, "not implemented")
	d.want("an operation that is none", d.curl("frob"), http.StatusNotFound, "no EST operation")
	d.want("a label that is none", d.curl("x/y/simpleenroll", "-d", "x"), http.StatusNotFound, "no EST")
	d.want("GET", d.curl("simpleenroll"), http.StatusMethodNotAllowed, "allow: post")
	d.want("a profile of the CA itself", d.curl("ocsp-signer/cacerts"), http.StatusNotFound, "no EST label")
	d.want("65 KiB", d.curl("simpleenroll", append(with, "--data-binary", "@huge")...), http.StatusRequestEntityTooLarge, "")
	d.want("11 nested BER", d.curl("simpleenroll", append(with, "--data-binary", "@nested")...), http.StatusForbidden, "csr-form")
	d.want("no request", d.curl("simpleenroll", append(with, "-d", "hello")...), http.StatusBadRequest, "no PKCS #10 request")
}

// A client whose certificate has expired is told so, and still gets the CA's certificates.
func TestAnExpiredDeviceStillGetsTheCAsCertificates(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	r := startAt(t, func() time.Time { return time.Now().Add(time.Duration(late.Load())) })
	d := newDevice(t, r)
	d.key("shop1", "/CN=shop1")
	d.certificate(d.curl("simpleenroll", "-u", "shop1:"+r.register(t, "shop1", policy.Merchant), "--data-binary", "@shop1.b64"), "shop1", 1)
	late.Store(int64(40 * 24 * time.Hour))
	with := []string{"-k", "--cert", "shop1.pem", "--key", "shop1.key"}
	d.certificate(d.curl("cacerts", with...), "cas", 6)
	d.want("re-enrollment", d.curl("simplereenroll", append(with, "--data-binary", "@shop1.b64")...), http.StatusForbidden, "is valid from ")
}

// Under a profile with a grace a certificate that has expired renews itself by every door, and does nothing else.
func TestAnExpiredCertificateIsRenewedWithinTheGraceOfItsProfile(t *testing.T) {
	t.Parallel()
	var late atomic.Int64
	r := startConfigured(t, network.Config{Now: func() time.Time { return time.Now().Add(time.Duration(late.Load())) }}, func(c *config.Config) {
		c.Profiles = []policy.ProfileConfig{{
			Name: "merchant", Role: policy.Merchant, Use: "tls", Validity: policy.Duration(24 * time.Hour), RenewGrace: policy.Duration(48 * time.Hour),
		}}
	})
	dir := r.enroll(t, "shop1", policy.Merchant)
	old, err := enroll.Open(dir)
	must(t, err)
	ask := func(method, path string, body []byte) (int, string) {
		t.Helper()
		return r.request(t, old.TLS(), method, path, "application/json", body)
	}
	for _, tt := range []struct {
		after   time.Duration
		renewed bool
	}{{47 * time.Hour, true}, {71 * time.Hour, true}, {73 * time.Hour, false}} {
		late.Store(int64(tt.after))
		if status, _ := ask("POST", "/1.0/renew", nil); (status == http.StatusCreated) != tt.renewed {
			t.Errorf("%v after it was issued: got %d, want renewed %t", tt.after, status, tt.renewed)
		}
		if status, name := ask("GET", "/v1/certificates", nil); status != http.StatusForbidden || name != "identity-refused" {
			t.Errorf("%v after it was issued: the API answered %d %s, want 403", tt.after, status, name)
		}
		if status, _ := ask("POST", "/1.0/revoke", []byte(`{"serial":"1"}`)); status != http.StatusForbidden {
			t.Errorf("%v after it was issued: revocation answered %d, want 403", tt.after, status)
		}
	}
}

// A request that waits for an approver is answered by 202, until the same request is answered with a certificate.
func TestADeviceWaitsForApproval(t *testing.T) {
	t.Parallel()
	r := startConfigured(t, network.Config{}, approving)
	d := newDevice(t, r)
	op2 := r.enroll(t, "op2", policy.Operator)
	d.key("gw1", "/CN=gw1")
	ask := []string{"-u", "gw1:" + r.register(t, "gw1", policy.Gateway), "--data-binary", "@gw1.b64"}
	for range 2 {
		d.want("before", d.curl("simpleenroll", ask...), http.StatusAccepted, "retry-after: 60")
	}
	vote(t, op2, waitingID(t, r.operator))
	d.certificate(d.curl("simpleenroll", ask...), "gw1", 1)
}

// waitingID is the id of the one request that waits.
func waitingID(t *testing.T, operator *api.Client) (id string) {
	t.Helper()
	for request, err := range operator.Requests(t.Context(), nil) {
		must(t, err)
		id = request.ID
	}
	return id
}
