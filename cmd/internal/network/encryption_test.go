package network_test

import (
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// caller returns a client of the enrollment routes that calls with the credential.
func (r *running) caller(t testing.TB, c *enroll.Credential) *enroll.Client {
	t.Helper()
	client, err := enroll.NewClient(enroll.ClientConfig{
		URL: r.url, Network: "pay.example", Roots: c.Roots,
		Certificate: func() (*tls.Certificate, error) { return c.TLS(), nil },
	})
	must(t, err)
	return client
}

// events returns the events of the log that are about a party and a profile.
func (r *running) events(t testing.TB, party, profile string) []audit.Event {
	t.Helper()
	var found []audit.Event
	for from := uint64(0); ; {
		leaves, err := r.operator.Leaves(t.Context(), from, 1000)
		must(t, err)
		for _, leaf := range leaves {
			var event audit.Event
			must(t, json.Unmarshal(leaf, &event))
			if event.Party == party && event.Profile == profile {
				found = append(found, event)
			}
		}
		if from += uint64(len(leaves)); len(leaves) == 0 {
			return found
		}
	}
}

func issueBody(t testing.TB, profile string, csr []byte) []byte {
	t.Helper()
	body, err := json.Marshal(enroll.IssueRequest{Profile: profile, CSR: csr})
	must(t, err)
	return body
}

func newRequest(t testing.TB) []byte {
	t.Helper()
	_, csr, err := enroll.NewKey()
	must(t, err)
	return csr
}

func parseChain(t testing.TB, text string) []*x509.Certificate {
	t.Helper()
	var chain []*x509.Certificate
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		parsed, err := x509.ParseCertificate(block.Bytes)
		must(t, err)
		chain = append(chain, parsed)
	}
	return chain
}

func problemOf(t testing.TB, err error) *problem.Problem {
	t.Helper()
	var refused *problem.Problem
	if !errors.As(err, &refused) {
		t.Fatalf("got %v, want a problem document", err)
	}
	return refused
}

// One network serves them all: to make one takes long.
func TestCertificatesForEncryption(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, tt := range []struct {
		name string
		test func(*testing.T, *running)
	}{
		{"every role that opens gets a certificate for encryption", checkEveryRoleThatOpensGetsACertificateForEncryption},
		{"issue refuses", checkIssueRefuses},
		{"issue asks who calls", checkIssueAsksWhoCalls},
		{"a party that is not active is issued nothing", checkAPartyThatIsNotActiveIsIssuedNothing},
		{"the directory finds every certificate by its thumbprint", checkTheDirectoryFindsEveryCertificateByItsThumbprint},
		{"the directory answers as a cache wants it", checkTheDirectoryAnswersAsACacheWantsIt},
		{"renew leaves the encryption keys alone", checkRenewLeavesTheEncryptionKeysAlone},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.test(t, r)
		})
	}
}

func checkEveryRoleThatOpensGetsACertificateForEncryption(t *testing.T, r *running) {
	for _, role := range []policy.Role{policy.Gateway, policy.Aggregator, policy.IssuingBank, policy.Confirmer, policy.Wallet} {
		id, profile := string(role)+"1", string(role)+"-encryption"
		party, err := enroll.Open(r.enroll(t, id, role))
		must(t, err)
		reply, err := r.caller(t, party).Issue(t.Context(), profile, newRequest(t))
		must(t, err)
		chain := parseChain(t, reply.Certificate)
		peer, err := party.Trust().Identify(chain, policy.EncryptionUse, time.Now())
		must(t, err)
		leaf := chain[0]
		if peer.Identity != party.Identity || reply.Party != id || leaf.KeyUsage != x509.KeyUsageKeyAgreement || len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 {
			t.Errorf("got %s for %v, %v, want keyAgreement alone for %s", peer.Identity, leaf.KeyUsage, leaf.ExtKeyUsage, party.Identity)
		}
		if life := leaf.NotAfter.Sub(leaf.NotBefore); life < 29*24*time.Hour || life > 30*24*time.Hour {
			t.Errorf("it lasts %v, want 30 days", life)
		}
		events := r.events(t, id, profile)
		if len(events) != 1 || events[0].Kind != audit.CertificateIssued || events[0].Actor != party.Identity.String() || events[0].Attrs["protocol"] != "issue" {
			t.Errorf("the log has %+v, want one issuance by %s through issue", events, party.Identity)
		}
		record, err := r.operator.Certificate(t.Context(), reply.Serial)
		if err != nil || record.Profile != profile || record.Requester != party.Identity.String() || record.Protocol != "issue" {
			t.Errorf("the inventory has %+v, %v", record, err)
		}
	}
}

func checkIssueRefuses(t *testing.T, r *running) {
	gateway, err := enroll.Open(r.enroll(t, "gw2", policy.Gateway))
	must(t, err)
	shop, err := enroll.Open(r.enroll(t, "shop2", policy.Merchant))
	must(t, err)
	signing, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, gateway.Key)
	must(t, err)
	flipped := newRequest(t)
	flipped[len(flipped)-1] ^= 1
	for _, tt := range []struct {
		name    string
		caller  *enroll.Credential
		profile string
		csr     []byte
		rule    string
		want    string
	}{
		{"another role's profile", gateway, "issuing-bank-encryption", newRequest(t), "profile-role", "want gateway-encryption"},
		{"a role that opens nothing", shop, "gateway-encryption", newRequest(t), "profile-role", "merchant has no profile for encryption"},
		{"the signing profile", gateway, "gateway", newRequest(t), "profile-encryption", "signing certificates come by token or renewal"},
		{"another role's signing profile", gateway, "operator", newRequest(t), "profile-encryption", "signing certificates come by token or renewal"},
		{"the CA's own profile", gateway, policy.OCSPSignerProfile, newRequest(t), "profile-encryption", "gateway-encryption"},
		{"no profile", gateway, "", newRequest(t), "profile-encryption", `profile is "", want gateway-encryption`},
		{"a profile that does not exist", gateway, strings.Repeat("x", 5000), newRequest(t), "profile-encryption", "gateway-encryption"},
		{"the key that signs", gateway, "gateway-encryption", signing, "key-use", "a key for encryption alone"},
		{"a request that its key did not sign", gateway, "gateway-encryption", flipped, "csr-signature", ""},
	} {
		_, err := r.caller(t, tt.caller).Issue(t.Context(), tt.profile, tt.csr)
		if refused := problemOf(t, err); refused.Status != 403 || refused.Name() != "policy-violation" || len(refused.Violations) == 0 ||
			refused.Violations[0].Rule != tt.rule || !strings.Contains(refused.Error(), tt.want) {
			t.Errorf("%s: got %d %s, %v, want 403 with rule %s and %q", tt.name, refused.Status, refused.Name(), refused, tt.rule, tt.want)
		}
		clipped := tt.profile[:min(64, len(tt.profile))]
		events := r.events(t, tt.caller.Identity.Party, clipped)
		if len(events) == 0 {
			t.Errorf("%s: the log has nothing", tt.name)
			continue
		}
		if last := events[len(events)-1]; last.Kind != audit.CertificateRefused || !strings.Contains(last.Reason, tt.rule) || last.Actor != tt.caller.Identity.String() || last.Attrs["protocol"] != "issue" {
			t.Errorf("%s: the log has %+v, want the refusal by rule %s", tt.name, last, tt.rule)
		}
	}
}

func checkIssueAsksWhoCalls(t *testing.T, r *running) {
	gateway, err := enroll.Open(r.enroll(t, "gw3", policy.Gateway))
	must(t, err)
	key, csr, err := enroll.NewKey()
	must(t, err)
	reply, err := r.caller(t, gateway).Issue(t.Context(), "gateway-encryption", csr)
	must(t, err)
	encryption := (&enroll.Credential{Key: key, Chain: parseChain(t, reply.Certificate)}).TLS()
	body := issueBody(t, "gateway-encryption", newRequest(t))
	post := func(certificate *tls.Certificate) (int, string) {
		return r.request(t, certificate, http.MethodPost, "/v1/issue", "application/json", body)
	}
	if status, name := post(nil); status != 401 || name != "certificate-required" {
		t.Errorf("without a certificate: got %d %s", status, name)
	}
	if status, name := post(encryption); status != 403 || name != "identity-refused" {
		t.Errorf("with a certificate for encryption: got %d %s", status, name)
	}
	if status, name := r.request(t, gateway.TLS(), http.MethodGet, "/v1/issue", "", nil); status != 405 || name != "method-not-allowed" {
		t.Errorf("GET: got %d %s", status, name)
	}
	if status, name := r.request(t, gateway.TLS(), http.MethodPost, "/v1/issue", "application/json", []byte(`{"profile":"a","profile":"b","csr":""}`)); status != 400 || name != "bad-json" {
		t.Errorf("a member twice: got %d %s", status, name)
	}
	_, err = r.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Serial: gateway.Leaf().SerialNumber.Text(16), All: true}, Reason: "superseded"})
	must(t, err)
	if status, name := post(gateway.TLS()); status != 403 || name != "certificate-revoked" {
		t.Errorf("with a revoked certificate: got %d %s", status, name)
	}
}

func checkAPartyThatIsNotActiveIsIssuedNothing(t *testing.T, r *running) {
	gateway, err := enroll.Open(r.enroll(t, "gw4", policy.Gateway))
	must(t, err)
	for _, state := range []policy.State{policy.Suspended, policy.Closed} {
		_, err := r.operator.SetState(t.Context(), "gw4", api.StateRequest{State: state})
		must(t, err)
		_, err = r.caller(t, gateway).Issue(t.Context(), "gateway-encryption", newRequest(t))
		if refused := problemOf(t, err); refused.Status != 403 || refused.Name() != "certificate-revoked" {
			t.Errorf("%s: got %v, want certificate-revoked, as all its certificates are on hold or revoked", state, refused)
		}
	}
}

func checkTheDirectoryFindsEveryCertificateByItsThumbprint(t *testing.T, r *running) {
	gateway, err := enroll.Open(r.enroll(t, "gw5", policy.Gateway))
	must(t, err)
	reply, err := r.caller(t, gateway).Issue(t.Context(), "gateway-encryption", newRequest(t))
	must(t, err)
	encryption, root := parseChain(t, reply.Certificate), gateway.Roots[0]
	for _, tt := range []struct {
		name string
		want []*x509.Certificate
	}{
		{"a certificate for encryption", encryption},
		{"a signing certificate", gateway.Chain},
		{"an issuing CA", []*x509.Certificate{gateway.Chain[1], root}},
		{"the root", []*x509.Certificate{root}},
	} {
		for base, client := range map[string]*http.Client{r.url: trusting(nil), r.status: http.DefaultClient} {
			got, err := enroll.FetchCertificate(t.Context(), client, base, enroll.Thumbprint(tt.want[0]))
			if err != nil || len(got) != len(tt.want) || !got[0].Equal(tt.want[0]) || !got[len(got)-1].Equal(tt.want[len(tt.want)-1]) {
				t.Errorf("%s from %s: got %d certificates, %v, want %d", tt.name, base, len(got), err, len(tt.want))
			}
		}
	}
	_, err = r.operator.Revoke(t.Context(), api.RevocationRequest{Selection: api.Selection{Serial: reply.Serial, All: true}, Reason: "superseded"})
	must(t, err)
	if _, err := enroll.FetchCertificate(t.Context(), http.DefaultClient, r.status, enroll.Thumbprint(encryption[0])); err != nil {
		t.Errorf("a revoked certificate: got %v, want it all the same", err)
	}
}

func checkTheDirectoryAnswersAsACacheWantsIt(t *testing.T, r *running) {
	gateway, err := enroll.Open(r.enroll(t, "gw6", policy.Gateway))
	must(t, err)
	thumbprint := enroll.Thumbprint(gateway.Leaf())
	strange := []byte(strings.Repeat("A", 43))
	get := func(method, path, etag string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, r.status+path, nil)
		must(t, err)
		if etag != "" {
			req.Header.Set("If-None-Match", etag)
		}
		resp, err := http.DefaultClient.Do(req)
		must(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		must(t, resp.Body.Close())
		return resp
	}
	first := get("GET", "/certs/"+thumbprint, "")
	if h := first.Header; first.StatusCode != 200 || h.Get("Content-Type") != "application/pem-certificate-chain" ||
		h.Get("Cache-Control") != "public, max-age=31536000, immutable" || h.Get("ETag") != `"`+thumbprint+`"` {
		t.Errorf("got %d with %v", first.StatusCode, h)
	}
	for _, tt := range []struct {
		method, path, etag string
		status             int
	}{
		{"HEAD", "/certs/" + thumbprint, "", 200},
		{"GET", "/certs/" + thumbprint, first.Header.Get("ETag"), 304},
		{"GET", "/certs/" + string(strange), "", 404},
		{"GET", "/certs/" + string(strange[:42]), "", 400},
		{"GET", "/certs/" + string(strange[:42]) + "B", "", 400}, // two bits too many
		{"GET", "/certs/" + string(strange) + "=", "", 400},
		{"GET", "/certs/" + string(strange[:42]) + "%0A", "", 400},
		{"GET", "/certs/" + thumbprint + "/", "", 400},
		{"GET", "/certs/", "", 400},
		{"GET", "/certs/..%2F..%2Fca%2Froot.crt", "", 400},
		{"POST", "/certs/" + thumbprint, "", 405},
	} {
		resp := get(tt.method, tt.path, tt.etag)
		if resp.StatusCode != tt.status {
			t.Errorf("%s %s: got %d, want %d", tt.method, tt.path, resp.StatusCode, tt.status)
		}
		if immutable := strings.Contains(resp.Header.Get("Cache-Control"), "immutable"); immutable != (tt.status < 400) {
			t.Errorf("%s %s: got Cache-Control %q", tt.method, tt.path, resp.Header.Get("Cache-Control"))
		}
	}
}

func checkRenewLeavesTheEncryptionKeysAlone(t *testing.T, r *running) {
	dir := r.enroll(t, "gw7", policy.Gateway)
	source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir})
	must(t, err)
	e, err := enroll.OpenEncryption(t.Context(), enroll.EncryptionConfig{Source: source, Dir: filepath.Join(dir, "encryption")})
	must(t, err)
	_, err = enroll.Renew(t.Context(), dir, true)
	must(t, err)
	// What payca looks for: an identity is a directory with this file.
	for _, pattern := range []string{filepath.Join(dir, "*", enroll.MetaFile), filepath.Join(dir, "*", "*", enroll.MetaFile)} {
		if found, err := filepath.Glob(pattern); err != nil || len(found) > 0 {
			t.Errorf("got identities %v, %v, want none", found, err)
		}
	}
	if _, ok := e.Key(enroll.Thumbprint(e.Certificate())); !ok {
		t.Error("the key is gone")
	}
}
