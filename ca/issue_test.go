package ca_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
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
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AddCert(w.ca.Root())
	for name, leaf := range allProfiles(t, w) {
		between = x509.NewCertPool()
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
			if _, _, err := w.ca.SignCRL(t.Context(), policy.MerchantCA, goodList(t, w, policy.MerchantCA)); err != nil {
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

func TestLintRefusalClosesTheIntentBeforeTheIssuerKeyIsUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var linted []byte
	w.cfg.Linter = func(der []byte) error { linted = der; return errors.New("e_not_nice: it is not nice") }
	signer := &countingSigner{Signer: w.cfg.Issuers[1].Signer}
	w.cfg.Issuers[1].Signer = signer
	w.open()
	c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
	if c != nil {
		t.Error("a certificate was handed out")
	}
	wantRule(t, err, "lint")
	if n := signer.calls.Load(); n != 0 {
		t.Errorf("the issuer's key was used %d times, want 0", n)
	}
	draft, err := x509.ParseCertificate(linted)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := w.ca.Issuer(policy.MerchantCA)
	if err != nil {
		t.Fatal(err)
	}
	if draft.CheckSignatureFrom(issuer) == nil {
		t.Error("the draft carries the issuer's signature")
	}
	serial, err := ca.SerialOf(draft.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	if s := w.status(policy.MerchantCA, serial); s.Revocation == nil || len(w.store.intents) != 0 {
		t.Errorf("status %+v and %d intents, want revoked and none", s, len(w.store.intents))
	}
	if refused, closed := w.events(audit.CertificateRefused), w.events(audit.IntentClosed); len(refused) != 1 || len(closed) != 1 {
		t.Errorf("%d refused and %d closed in the log, want 1 and 1", len(refused), len(closed))
	}
}

func TestLintedBytesAreTheSignedBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var linted []byte
	inner := w.cfg.Linter
	w.cfg.Linter = func(der []byte) error { linted = der; return inner(der) }
	w.open()
	c := w.issue("shop1", newKey(t))
	draft, err := x509.ParseCertificate(linted)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(draft.RawTBSCertificate, c.Leaf.RawTBSCertificate) {
		t.Error("the signed bytes are not those that were linted")
	}
	if bytes.Equal(draft.Raw, c.Leaf.Raw) {
		t.Error("the draft is the certificate")
	}
}

// A countingSigner counts signatures, fails the first so many, and spoils them on demand.
type countingSigner struct {
	crypto.Signer
	calls atomic.Int64
	fail  int64
	spoil bool
}

func (s *countingSigner) Sign(random io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	if s.calls.Add(1) <= s.fail {
		return nil, errors.New("the session is closed")
	}
	sig, err := s.Signer.Sign(random, digest, opts)
	if s.spoil {
		sig[len(sig)-1] ^= 1
	}
	return sig, err
}

func TestFailingSigner(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fail  int64
		spoil bool
		calls int64
		want  bool
	}{
		{"that fails once is asked again", 1, false, 2, true},
		{"that fails twice is not asked a third time", 2, false, 2, false},
		{"whose signatures do not verify hands out nothing", 0, true, 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			signer := &countingSigner{Signer: w.cfg.Issuers[1].Signer, fail: tt.fail, spoil: tt.spoil}
			w.cfg.Issuers[1].Signer = signer
			w.open()
			c, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t)))
			if (c != nil) != tt.want || (err == nil) != tt.want {
				t.Errorf("certificate %v, error %v, want success %t", c, err, tt.want)
			}
			if got := signer.calls.Load(); got != tt.calls {
				t.Errorf("%d calls, want %d", got, tt.calls)
			}
			if len(w.store.intents) != 0 {
				t.Error("the intent is still open")
			}
		})
	}
}

func TestTokenUsedByAHundredGivesOneCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addToken(ca.Token{ID: "9f2c", Party: "shop1", Profile: "merchant", NotAfter: start.Add(time.Hour)})
	req := request(t, "shop1", newKey(t))
	req.Token = "9f2c"
	// All are past the first look at the token before the first is committed.
	var arrived atomic.Int64
	all := make(chan struct{})
	w.store.onIssue = func() {
		if arrived.Add(1) == 100 {
			close(all)
		}
		<-all
	}
	var wg sync.WaitGroup
	var got, used atomic.Int64
	for range 100 {
		wg.Go(func() {
			_, err := w.ca.Issue(context.Background(), req)
			if err == nil {
				got.Add(1)
			} else if e, ok := errors.AsType[*ca.TokenUsedError](err); ok && e.By.Party == "shop1" {
				used.Add(1)
			} else {
				t.Errorf("error %v, want a *TokenUsedError", err)
			}
		})
	}
	wg.Wait()
	if got.Load() != 1 || used.Load() != 99 || len(w.store.records) != 1 {
		t.Errorf("%d certificates, %d refusals, %d records, want 1, 99, 1", got.Load(), used.Load(), len(w.store.records))
	}
	if len(w.store.intents) != 0 || len(w.store.closed) != 99 {
		t.Errorf("%d intents open, %d closed, want 0 and 99", len(w.store.intents), len(w.store.closed))
	}
	if _, err := w.ca.Issue(t.Context(), req); err == nil {
		t.Error("the token was taken once more")
	}
}

func TestTokenNamesTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.addToken(ca.Token{ID: "t", Party: "gateway", Profile: "gateway-encryption", NotAfter: start.Add(time.Hour)})
	req := request(t, "gateway", newKey(t))
	req.Token = "t"
	c, err := w.ca.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	if c.Record.Profile != "gateway-encryption" || c.Leaf.KeyUsage != x509.KeyUsageKeyAgreement {
		t.Errorf("profile %q, key usage %b, want gateway-encryption and keyAgreement", c.Record.Profile, c.Leaf.KeyUsage)
	}
}

func TestCompromisedKeyIsRefusedForAnyone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	c := w.issue("shop1", key)
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"}); err != nil {
		t.Fatal(err)
	}
	c = w.issue("shop1", key) // superseded says nothing against the key
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
		t.Fatal(err)
	}
	for _, party := range []string{"shop1", "gateway"} {
		_, err := w.ca.Issue(t.Context(), request(t, party, key))
		wantRule(t, err, "key-compromised")
	}
}

func TestCompromiseReportedDuringIssuanceIsNotOverlooked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	first := w.issue("shop1", key)
	w.store.onIssue = func() {
		w.store.onIssue = nil
		if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: first.Record.Serial, Reason: ca.KeyCompromise, By: "local"}); err != nil {
			t.Error(err)
		}
	}
	c, err := w.ca.Issue(t.Context(), request(t, "shop1", key))
	if c != nil {
		t.Error("a certificate for a compromised key was handed out")
	}
	wantRule(t, err, "key-compromised")
	for _, rec := range w.store.records {
		if rec.Revocation == nil || rec.Revocation.Reason != ca.KeyCompromise {
			t.Errorf("certificate %s stands at %+v, want keyCompromise", rec.Serial, rec.Revocation)
		}
	}
}

func TestSerialsStayRandomWithTheClockSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.advance(24 * time.Hour)
	seen := make(map[ca.Serial]bool)
	req := request(t, "shop1", newKey(t))
	for i := range 40 {
		if i == 20 {
			w.advance(-time.Hour)
		}
		c, err := w.ca.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.Record.Serial] {
			t.Fatalf("serial %s twice", c.Record.Serial)
		}
		seen[c.Record.Serial] = true
	}
}

func TestSerialThatWasUsedIsDrawnAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	block := bytes.Repeat([]byte{7}, 20)
	w.cfg.Random = io.MultiReader(bytes.NewReader(block), bytes.NewReader(block), rand.Reader)
	w.open()
	a, b := w.issue("shop1", newKey(t)), w.issue("shop1", newKey(t))
	if a.Record.Serial == b.Record.Serial || a.Record.Serial != ca.Serial(block) {
		t.Errorf("serials %s and %s, want %x and another", a.Record.Serial, b.Record.Serial, block)
	}
	w.cfg.Random = bytes.NewReader(bytes.Repeat(block, 100))
	w.open()
	if _, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t))); !errors.Is(err, ca.ErrSerialUsed) {
		t.Errorf("error %v with a stuck source, want ErrSerialUsed", err)
	}
}

func TestSerialsAreRandomInEveryBit(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	seen := make(map[ca.Serial]struct{}, n)
	var ones [160]int
	for range n {
		s, err := ca.NewSerial(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		seen[s] = struct{}{}
		for i, b := range s {
			for b != 0 {
				bit := bits.LeadingZeros8(b)
				ones[8*i+bit]++
				b &^= 0x80 >> bit
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d different serials, want %d", len(seen), n)
	}
	if ones[0] != 0 {
		t.Errorf("%d negative serials", ones[0])
	}
	// Seven standard deviations of a fair coin: by chance once in 10^11 bits.
	for i, got := range ones[1:] {
		if d := float64(got) - float64(n)/2; d*d > 49*float64(n)/4 {
			t.Errorf("bit %d is one %d times of %d", i+1, got, n)
		}
	}
}

func TestConcurrentIssuanceAndRevocation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := request(t, "shop1", newKey(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 10 {
				c, err := w.ca.Issue(context.Background(), req)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := w.ca.Revoke(context.Background(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if len(w.store.records) != 80 || len(w.store.intents) != 0 {
		t.Errorf("%d records, %d intents, want 80 and 0", len(w.store.records), len(w.store.intents))
	}
}

func BenchmarkIssue(b *testing.B) {
	w := newWorld(b)
	req := request(b, "shop1", newKey(b))
	for b.Loop() {
		if _, err := w.ca.Issue(context.Background(), req); err != nil {
			b.Fatal(err)
		}
	}
}
