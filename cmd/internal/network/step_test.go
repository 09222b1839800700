package network_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// A stepper runs the step command of smallstep, unchanged, in a home of its own.
type stepper struct {
	t    *testing.T
	dir  string
	path string
}

// newStepper skips the test where the command is missing, except where PAYCA_REQUIRE_TOOLS is set.
func newStepper(t *testing.T) *stepper {
	t.Helper()
	path, err := exec.LookPath("step")
	if err != nil {
		if os.Getenv("PAYCA_REQUIRE_TOOLS") != "" {
			t.Fatal(err)
		}
		t.Skip("step is not installed")
	}
	return &stepper{t, t.TempDir(), path}
}

// run runs step, and returns what it printed.
func (s *stepper) run(args ...string) (string, error) {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), s.path, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "STEPPATH="+filepath.Join(s.dir, ".step"), "HOME="+s.dir)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// must runs step, which must succeed.
func (s *stepper) must(args ...string) {
	s.t.Helper()
	if out, err := s.run(args...); err != nil {
		s.t.Fatalf("step %q: %v\n%s", args, err, out)
	}
}

func (s *stepper) certificate(name string) *x509.Certificate {
	s.t.Helper()
	block, _ := pem.Decode([]byte(read(s.t, filepath.Join(s.dir, name))))
	c, err := x509.ParseCertificate(block.Bytes)
	must(s.t, err)
	return c
}

func TestTheStepCommandWorksUnchanged(t *testing.T) {
	t.Parallel()
	r := start(t)
	s := newStepper(t)
	token := r.register(t, "shop1", policy.Merchant)
	root := filepath.Join(r.dir, "ca", "root.crt")
	s.must("ca", "certificate", "shop1", "shop1.crt", "shop1.key", "--token", token)
	first := s.certificate("shop1.crt")
	if first.URIs[0].String() != "spiffe://merchant.pay.example/shop1" {
		t.Errorf("issued to %v, want shop1", first.URIs)
	}
	s.must("certificate", "verify", "shop1.crt", "--roots", root)
	if out, err := s.run("ca", "certificate", "shop1", "again.crt", "again.key", "--token", token); err == nil || !strings.Contains(out, "was used by shop1") {
		t.Errorf("the token again: got %v\n%s\nwant it to say who used it", err, out)
	}
	at := func(command string, args ...string) []string {
		return append([]string{"ca", command, "--ca-url", r.url, "--root", root}, args...)
	}
	s.must(at("health")...)
	s.must(at("renew", "--force", "shop1.crt", "shop1.key")...)
	renewed := s.certificate("shop1.crt")
	if renewed.SerialNumber.Cmp(first.SerialNumber) == 0 || !bytes.Equal(renewed.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("want another certificate for the same key")
	}
	s.must(at("rekey", "--force", "shop1.crt", "shop1.key")...)
	rekeyed := s.certificate("shop1.crt")
	if bytes.Equal(rekeyed.RawSubjectPublicKeyInfo, first.RawSubjectPublicKeyInfo) {
		t.Error("want another key")
	}
	s.must(at("revoke", "--cert", "shop1.crt", "--key", "shop1.key", "--reasonCode", "superseded")...)
	serial, err := ca.SerialOf(rekeyed.SerialNumber)
	must(t, err)
	got, err := r.operator.Certificate(t.Context(), serial.String())
	must(t, err)
	if got.Revocation == nil || got.Revocation.Reason != ca.Superseded {
		t.Errorf("got %+v, want it superseded", got.Revocation)
	}
	if out, err := s.run(at("renew", "--force", "shop1.crt", "shop1.key")...); err == nil || !strings.Contains(out, "revoked") {
		t.Errorf("a revoked certificate was renewed: %v\n%s", err, out)
	}
}

func TestTheStepDoorRefusesInItsForm(t *testing.T) {
	t.Parallel()
	r := start(t)
	shop, err := enroll.Open(r.enroll(t, "shop1", policy.Merchant))
	must(t, err)
	other, err := enroll.Open(r.enroll(t, "shop2", policy.Merchant))
	must(t, err)
	_, csr, err := enroll.NewKey()
	must(t, err)
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}))
	body := func(members map[string]any) []byte {
		raw, err := json.Marshal(members)
		must(t, err)
		return raw
	}
	for _, tt := range []struct {
		name, method, path string
		caller             *enroll.Credential
		body               []byte
		status             int
		want               string
	}{
		{"no token", "POST", "/1.0/sign", nil, body(map[string]any{"csr": text, "ott": ""}), 401, "token-form"},
		{"no request", "POST", "/sign", nil, body(map[string]any{"csr": "x", "ott": r.register(t, "shop3", policy.Merchant)}), 400, "want one in PEM"},
		{"a time of its own", "POST", "/sign", nil, body(map[string]any{"csr": text, "ott": "x", "notAfter": "24h"}), 400, "the profile decides"},
		{"65 a member twice", "POST", "/sign", nil, []byte(`{"ott":"a","ott":"b"}`), 400, "ott"},
		{"65 deep nesting", "POST", "/sign", nil, []byte(`{"templateData":` + strings.Repeat("[", 10_000)), 400, ""},
		{"a large body", "POST", "/sign", nil, bytes.Repeat([]byte(" "), 65<<10), 413, ""},
		{"GET", "GET", "/1.0/sign", nil, nil, 405, "want POST"},
		{"renewal without a certificate", "POST", "/renew", nil, nil, 401, "no client certificate"},
		{"rekey without a request", "POST", "/rekey", shop, []byte("{}"), 400, "want one in PEM"},
		{"revocation of another's", "POST", "/revoke", shop, body(map[string]any{"serial": other.Leaf().SerialNumber.String(), "reasonCode": 4, "passive": true}), 404, "not found"},
		{"revocation for no reason", "POST", "/revoke", shop, body(map[string]any{"serial": shop.Leaf().SerialNumber.String(), "reasonCode": 7}), 400, "reasonCode is 7"},
		{"revocation by token", "POST", "/1.0/revoke", shop, body(map[string]any{"serial": "1", "ott": "x"}), 400, "by the certificate"},
		{"another root", "GET", "/root/" + strings.Repeat("0", 64), nil, nil, 404, "no root of this network"},
		{"what does not exist", "GET", "/1.0/ssh/roots", nil, nil, 404, "nothing is at"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			client := trusting(nil)
			if tt.caller != nil {
				client = trusting(tt.caller.TLS())
			}
			req, err := http.NewRequestWithContext(t.Context(), tt.method, r.url+tt.path, bytes.NewReader(tt.body))
			must(t, err)
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			must(t, err)
			defer func() { _ = resp.Body.Close() }()
			raw, err := io.ReadAll(resp.Body)
			must(t, err)
			var got struct {
				Status  int
				Message string
			}
			if err := json.Unmarshal(raw, &got); err != nil || got.Status != tt.status || resp.StatusCode != tt.status || !strings.Contains(got.Message, tt.want) {
				t.Errorf("got %d %s, %v, want %d and %q", resp.StatusCode, raw, err, tt.status, tt.want)
			}
		})
	}
}

func TestTheStepDoorTellsWhatThereIs(t *testing.T) {
	t.Parallel()
	r := start(t)
	for path, want := range map[string]string{
		"/health": `{"status":"ok"}`, "/1.0/health": `{"status":"ok"}`, "/version": `"version":`, "/1.0/roots": "BEGIN CERTIFICATE", "/roots.pem": "BEGIN CERTIFICATE",
		"/1.0/roots.pem": "BEGIN CERTIFICATE", "/provisioners": `"type":"JWK"`,
	} {
		resp, err := trusting(nil).Get(r.url + path)
		must(t, err)
		raw, err := io.ReadAll(resp.Body)
		must(t, err)
		_ = resp.Body.Close()
		if resp.StatusCode >= 300 || !strings.Contains(string(raw), want) {
			t.Errorf("%s: got %s", path, fmt.Sprintf("%d %s", resp.StatusCode, raw))
		}
	}
}
