package ca_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestIssuedCertificateSaysWhatTheRegistrySays(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	c := w.issue("shop1", key)
	leaf := c.Leaf
	if got, want := leaf.URIs[0].String(), "spiffe://merchant.pay.example/shop1"; len(leaf.URIs) != 1 || got != want {
		t.Errorf("URIs %v, want only %s", leaf.URIs, want)
	}
	if !key.PublicKey.Equal(leaf.PublicKey) {
		t.Error("public key is not the requester's")
	}
	issuer, err := w.ca.Issuer(policy.MerchantCA)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(leaf.AuthorityKeyId, issuer.SubjectKeyId) || len(leaf.SubjectKeyId) != 20 {
		t.Errorf("key identifiers %x, %x, want %x and 20 bytes", leaf.AuthorityKeyId, leaf.SubjectKeyId, issuer.SubjectKeyId)
	}
	for got, want := range map[string]string{
		strings.Join(leaf.OCSPServer, " "):            "http://localhost:8080/ocsp/merchant",
		strings.Join(leaf.IssuingCertificateURL, " "): "http://localhost:8080/ca/merchant.crt",
		strings.Join(leaf.CRLDistributionPoints, " "): "http://localhost:8080/crl/merchant.crl",
	} {
		if got != want {
			t.Errorf("URL %q, want %q", got, want)
		}
	}
	if leaf.IsCA || !leaf.BasicConstraintsValid {
		t.Error("want basicConstraints CA:FALSE")
	}
	if d := leaf.NotAfter.Sub(leaf.NotBefore) + time.Second; d%(24*time.Hour) != 0 {
		t.Errorf("valid for %v, want whole days, both ends included", d)
	}
	if len(c.Chain) != 2 || c.Chain[0] != leaf || c.Chain[1] != issuer || c.Root != w.ca.Root() {
		t.Error("chain is not leaf, issuer below the root")
	}
	rec, err := w.store.BySerial(t.Context(), c.Record.Serial)
	if err != nil || !bytes.Equal(rec.DER, leaf.Raw) || rec.SPKI != sha256.Sum256(leaf.RawSubjectPublicKeyInfo) {
		t.Errorf("inventory has another certificate (%v)", err)
	}
	issued := w.events(audit.CertificateIssued)
	sum := sha256.Sum256(leaf.Raw)
	if len(issued) != 1 || issued[0].Serial != c.Record.Serial.String() || issued[0].Thumbprint != hex.EncodeToString(sum[:]) {
		t.Errorf("events %+v, want one for this certificate", issued)
	}
}

func TestEveryProfileChainsToTheRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	roots := x509.NewCertPool()
	roots.AddCert(w.ca.Root())
	for name, leaf := range allProfiles(t, w) {
		between := x509.NewCertPool()
		issuer, err := w.ca.Issuer(issuerOf(t, w, leaf))
		if err != nil {
			t.Fatal(err)
		}
		between.AddCert(issuer)
		_, err = leaf.Verify(x509.VerifyOptions{
			Roots: roots, Intermediates: between, CurrentTime: w.now(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
		})
		if err != nil {
			t.Errorf("profile %s: %v", name, err)
		}
	}
}

// allProfiles issues a certificate under each profile.
func allProfiles(t *testing.T, w *world) map[string]*x509.Certificate {
	t.Helper()
	leaves := make(map[string]*x509.Certificate)
	for _, p := range profiles(t) {
		if p.Issuer() { // only a ceremony makes an issuing CA
			continue
		}
		if p.Name() == "ocsp-signer" {
			for _, issuer := range w.ca.Issuers() {
				leaf, err := w.ca.IssueResponder(t.Context(), issuer, newKey(t))
				if err != nil {
					t.Fatal(err)
				}
				leaves[issuer+" OCSP signer"] = leaf
			}
			continue
		}
		req := request(t, string(p.Role()), newKey(t))
		req.Profile = p.Name()
		c, err := w.ca.Issue(t.Context(), req)
		if err != nil {
			t.Fatalf("profile %s: %v", p.Name(), err)
		}
		leaves[p.Name()] = c.Leaf
	}
	return leaves
}

func issuerOf(t *testing.T, w *world, leaf *x509.Certificate) string {
	t.Helper()
	for _, name := range w.ca.Issuers() {
		if c, err := w.ca.Issuer(name); err == nil && bytes.Equal(c.RawSubject, leaf.RawIssuer) {
			return name
		}
	}
	t.Fatalf("no issuer %s", leaf.Issuer)
	return ""
}

func TestIssuersOfEveryKeyKindSign(t *testing.T) {
	t.Parallel()
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]crypto.Signer{"P-384": p384, "Ed25519": ed, "RSA": rsaKey} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.cfg.Issuers = []ca.Issuer{rekeyed(t, w, policy.MerchantCA, key)}
			w.open()
			c := w.issue("shop1", newKey(t))
			if err := c.Leaf.CheckSignatureFrom(c.Chain[1]); err != nil {
				t.Error(err)
			}
			if _, _, err := signCRL(t, w, policy.MerchantCA, goodList(t, w, policy.MerchantCA)); err != nil {
				t.Error(err)
			}
		})
	}
}

// rekeyed returns the issuer with another key.
func rekeyed(t *testing.T, w *world, name string, key crypto.Signer) ca.Issuer {
	t.Helper()
	for _, is := range w.ceremony.Issuers {
		if is.Name == name {
			template := *is.Certificate
			template.SubjectKeyId, template.SignatureAlgorithm = []byte{1, 2, 3, 4}, 0
			der, err := x509.CreateCertificate(rand.Reader, &template, w.ceremony.Root, key.Public(), w.ceremony.RootSigner)
			if err != nil {
				t.Fatal(err)
			}
			cert, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			return ca.Issuer{Name: name, Certificate: cert, Signer: key}
		}
	}
	t.Fatalf("no issuer %q", name)
	return ca.Issuer{}
}

func TestRefusedRequestIsRecordedAndSignsNothing(t *testing.T) {
	t.Parallel()
	yesterday := start.Add(-24 * time.Hour)
	for _, tt := range []struct {
		name, rule string
		change     func(t *testing.T, w *world, req *ca.Request)
	}{
		{"unknown party", "party-known", func(_ *testing.T, _ *world, r *ca.Request) { r.Party = "nobody" }},
		{"CR LF in the party", "party-known", func(_ *testing.T, _ *world, r *ca.Request) { r.Party = "a\r\n{\"kind\":\"x\"}" }},
		{"unknown profile", "profile-known", func(_ *testing.T, _ *world, r *ca.Request) { r.Profile = "root" }},
		{"OCSP signer profile for a party", "profile-known", func(_ *testing.T, _ *world, r *ca.Request) { r.Profile = "ocsp-signer" }},
		{"unknown token", "token-known", func(_ *testing.T, _ *world, r *ca.Request) { r.Token = "none" }},
		{"token of another party", "token-party", func(_ *testing.T, w *world, r *ca.Request) {
			w.addToken(ca.Token{ID: "t", Party: "gateway", Profile: "merchant", NotAfter: start.Add(time.Hour)})
			r.Token = "t"
		}},
		{"token of another profile", "token-profile", func(_ *testing.T, w *world, r *ca.Request) {
			w.addToken(ca.Token{ID: "t", Party: "shop1", Profile: "gateway", NotAfter: start.Add(time.Hour)})
			r.Token, r.Profile = "t", "merchant"
		}},
		{"expired token", "token-expired", func(_ *testing.T, w *world, r *ca.Request) {
			w.addToken(ca.Token{ID: "t", Party: "shop1", Profile: "merchant", NotAfter: yesterday})
			r.Token = "t"
		}},
		{"key of the root", "key-own", func(t *testing.T, w *world, r *ca.Request) { r.CSR = csr(t, w.ceremony.RootSigner) }},
		{"key of an issuing CA", "key-own", func(t *testing.T, w *world, r *ca.Request) { r.CSR = csr(t, w.ceremony.Issuers[3].Signer) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			req := request(t, "shop1", newKey(t))
			tt.change(t, w, &req)
			c, err := w.ca.Issue(t.Context(), req)
			if c != nil {
				t.Error("a certificate was handed out")
			}
			wantRule(t, err, tt.rule)
			if refused := w.events(audit.CertificateRefused); len(refused) != 1 || !strings.Contains(refused[0].Reason, tt.rule) {
				t.Errorf("events %+v, want one refusal that names %s", refused, tt.rule)
			}
			if len(w.store.records)+len(w.store.intents)+len(w.store.closed) != 0 {
				t.Error("something was reserved or stored")
			}
		})
	}
}

func TestRequestThatPolicyRefusesIsRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := w.store.parties["shop1"]
	shop.State = policy.Suspended
	w.addParty(shop)
	flipped := csr(t, newKey(t))
	flipped[len(flipped)-1] ^= 1
	for name, req := range map[string]ca.Request{
		"suspended party":                      request(t, "shop1", newKey(t)),
		"signature of the request flipped":     {Party: "merchant", CSR: flipped},
		"no request at all":                    {Party: "merchant"},
		"notAfter beyond the issuer's":         {Party: "merchant", CSR: csr(t, newKey(t)), NotAfter: start.AddDate(6, 0, 0)},
		"notAfter before notBefore":            {Party: "merchant", CSR: csr(t, newKey(t)), NotAfter: start.AddDate(-1, 0, 0)},
		"profile of another role":              {Party: "merchant", CSR: csr(t, newKey(t)), Profile: "gateway"},
		"encryption profile of another role":   {Party: "merchant", CSR: csr(t, newKey(t)), Profile: "gateway-encryption"},
		"service profile for a merchant party": {Party: "merchant", CSR: csr(t, newKey(t)), Profile: "service"},
	} {
		before := len(w.events(audit.CertificateRefused))
		if _, err := w.ca.Issue(t.Context(), req); policy.ViolationsOf(err) == nil {
			t.Errorf("%s: error %v, want violations", name, err)
		}
		if got := len(w.events(audit.CertificateRefused)); got != before+1 {
			t.Errorf("%s: %d refusals recorded, want %d", name, got, before+1)
		}
	}
	if len(w.store.records)+len(w.store.closed)+len(w.store.intents) != 0 {
		t.Error("something was reserved or stored")
	}
}
