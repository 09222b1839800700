package ca_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// limited opens w with a profile of merchants that change made of the built-in one.
func limited(t testing.TB, w *world, change func(*policy.ProfileConfig)) {
	t.Helper()
	i := slices.IndexFunc(w.cfg.Profiles, func(p *policy.Profile) bool { return p.Name() == "merchant" })
	cfg := w.cfg.Profiles[i].Config()
	change(&cfg)
	profile, err := policy.NewProfile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Profiles = slices.Clone(w.cfg.Profiles)
	w.cfg.Profiles[i] = profile
	w.open()
}

// try issues shop1 a certificate and says which rules refused it.
func (w *world) try(t testing.TB) (*ca.Certificate, string) {
	t.Helper()
	c, err := w.ca.Issue(context.Background(), request(t, "shop1", newKey(t)))
	return c, ruleNames(err)
}

func ruleNames(err error) string {
	var names []string
	for _, v := range policy.ViolationsOf(err) {
		names = append(names, v.Rule)
	}
	return strings.Join(names, " ")
}

func TestLimitOfValidCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited(t, w, func(cfg *policy.ProfileConfig) {
		cfg.Limits.Valid, cfg.Validity = 2, policy.Duration(24*time.Hour)
	})
	first, _ := w.try(t)
	if _, rules := w.try(t); rules != "" {
		t.Fatalf("the second: got %q", rules)
	}
	if _, rules := w.try(t); rules != "limit-valid" {
		t.Errorf("the third: got %q, want limit-valid", rules)
	}
	if _, err := w.ca.Issue(t.Context(), request(t, "gateway", newKey(t))); err != nil {
		t.Errorf("another party: got %v, want no error", err)
	}
	renewed, err := w.ca.Renew(t.Context(), first.Leaf, request(t, "", newKey(t)))
	if err != nil {
		t.Fatalf("a renewal at the limit: got %v, for what it replaces does not count", err)
	}
	if _, err := w.ca.Renew(t.Context(), first.Leaf, request(t, "", newKey(t))); ruleNames(err) != "limit-valid" {
		t.Errorf("the same renewal again: got %v, want limit-valid", err)
	}
	for _, c := range []*ca.Certificate{first, renewed} {
		if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, rules := w.try(t); rules != "" {
		t.Errorf("after a revocation: got %q, want room", rules)
	}
	if _, rules := w.try(t); rules != "limit-valid" {
		t.Errorf("full again: got %q, want limit-valid", rules)
	}
	w.advance(25 * time.Hour)
	if _, rules := w.try(t); rules != "" {
		t.Errorf("after all have expired: got %q, want room", rules)
	}
}

func TestLimitOfTheRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited(t, w, func(cfg *policy.ProfileConfig) {
		cfg.Limits = policy.Limits{Issued: 2, Per: policy.Duration(time.Hour)}
	})
	for i, want := range []string{"", "", "limit-rate"} {
		c, rules := w.try(t)
		if rules != want {
			t.Fatalf("request %d: got %q, want %q", i, rules, want)
		}
		if c != nil { // a revoked one was issued all the same
			if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "test"}); err != nil {
				t.Fatal(err)
			}
		}
		w.advance(20 * time.Minute)
	}
	// The first was issued an hour ago.
	if _, rules := w.try(t); rules != "" {
		t.Errorf("an hour after the first: got %q, want room", rules)
	}
	if _, rules := w.try(t); rules != "limit-rate" {
		t.Errorf("at once after it: got %q, want limit-rate", rules)
	}
}

func TestALimitHoldsWhenManyAskAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited(t, w, func(cfg *policy.ProfileConfig) {
		cfg.Limits = policy.Limits{Valid: 3, Issued: 50, Per: policy.Duration(time.Hour)}
	})
	var issued, refused atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		req := request(t, "shop1", newKey(t))
		wg.Go(func() {
			_, err := w.ca.Issue(context.Background(), req)
			switch {
			case err == nil:
				issued.Add(1)
			case ruleNames(err) == "limit-valid":
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if issued.Load() != 3 || refused.Load() != 17 {
		t.Errorf("got %d issued and %d refused, want 3 and 17", issued.Load(), refused.Load())
	}
}

func TestARefusalHasEveryReasonInTheLog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited(t, w, func(cfg *policy.ProfileConfig) {
		cfg.Protocols, cfg.Limits.Valid = []string{"token"}, 1
		cfg.Approval = &policy.ApprovalConfig{K: 1, Of: 2, By: policy.ByOperators}
	})
	w.addToken(ca.Token{ID: "t", Party: "gateway", Profile: "merchant", NotAfter: start.Add(-time.Hour)})
	req := request(t, "shop1", newKey(t))
	req.Token, req.CSR = "t", append(req.CSR, 0)
	_, err := w.ca.Issue(t.Context(), req)
	const want = "token-party token-expired csr-form protocol" // what is wrong otherwise is not even filed for approval
	if got := ruleNames(err); got != want {
		t.Fatalf("got %q, want %q", got, want)
	}
	events := w.events(audit.CertificateRefused)
	if len(events) != 1 || len(events[0].Violations) != 4 {
		t.Fatalf("got %+v, want one event with four violations", events)
	}
	for i, v := range policy.ViolationsOf(err) {
		if events[0].Violations[i] != *v {
			t.Errorf("got %+v in the log, want %+v", events[0].Violations[i], *v)
		}
	}
}

func TestTheLogOfARefusalIsBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	names := make([]string, 100)
	for i := range names {
		names[i] = strings.Repeat("a", 60) + "." + strings.Repeat("b", 60) + ".test"
	}
	der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{DNSNames: names, EmailAddresses: nil}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	req := request(t, "shop1", newKey(t))
	req.CSR, req.NotAfter = der, start.AddDate(9, 0, 0)
	_, err = w.ca.Issue(t.Context(), req)
	if n := len(policy.ViolationsOf(err)); n != 101 {
		t.Fatalf("got %d violations, want all 101", n)
	}
	events := w.events(audit.CertificateRefused)
	if n := len(events[0].Violations); n != 101 || events[0].Violations[100].Rule != "more" || events[0].Violations[100].Got != "101" {
		t.Errorf("got %d violations in the log, want 100 and one that says how many there were", n)
	}
}

func TestExplainIssuesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	limited(t, w, func(cfg *policy.ProfileConfig) {
		cfg.Approval = &policy.ApprovalConfig{K: 1, Of: 2, By: policy.ByOperators}
		cfg.Policies = []string{"1.3.6.1.4.1.99999.1"}
	})
	before := len(w.store.leaves)
	key := newKey(t)
	ex, err := w.ca.Explain(t.Context(), request(t, "shop1", key))
	if err != nil || ex.Draft == nil || len(ex.Violations) > 0 {
		t.Fatalf("got %+v and %v, want a draft", ex, err)
	}
	d := ex.Draft
	if ex.Issuer != policy.MerchantCA || ex.Profile != "merchant" || ex.Approval == nil || ex.Approval.K != 1 ||
		!key.PublicKey.Equal(d.PublicKey) || d.Subject.CommonName != "shop1" || len(d.Policies) != 1 || len(d.DNSNames) != 1 {
		t.Errorf("got %+v with %v", ex, d.Subject)
	}
	issuer, err := w.ca.Issuer(policy.MerchantCA)
	if err != nil || d.CheckSignatureFrom(issuer) == nil {
		t.Errorf("got a draft that the CA signed (%v)", err)
	}
	if ex, err = w.ca.Explain(t.Context(), request(t, "nobody", key)); err != nil || ruleNames(ex.Violations) != "party-known" || ex.Draft != nil {
		t.Errorf("got %+v and %v, want party-known", ex, err)
	}
	if intents, err := w.store.Intents(t.Context()); err != nil || len(intents) != 0 || len(w.store.leaves) != before {
		t.Errorf("got %d intents and %d events, want none more (%v)", len(intents), len(w.store.leaves)-before, err)
	}
	_, err = w.ca.Issue(t.Context(), request(t, "shop1", key))
	if _, ok := errors.AsType[*ca.PendingError](err); !ok {
		t.Errorf("got %v, want issuing to wait for the approval", err)
	}
}

func TestNewRefusesAnIssuerWithoutItsConstraints(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, change := range map[string]func(*x509.Certificate){
		"no constraints":           func(c *x509.Certificate) { c.PermittedURIDomains, c.ExcludedDNSDomains = nil, nil },
		"the network's own domain": func(c *x509.Certificate) { c.ExcludedDNSDomains = nil },
		"another CA's roles":       func(c *x509.Certificate) { c.PermittedURIDomains = []string{"gateway." + network} },
		"CAs below it":             func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false },
	} {
		cfg := w.cfg
		cfg.Issuers = nil
		for _, is := range w.ceremony.Issuers {
			if is.Name == policy.MerchantCA {
				tmpl := *is.Certificate
				tmpl.ExtraExtensions = nil
				change(&tmpl)
				der, err := x509.CreateCertificate(nil, &tmpl, w.ceremony.Root, is.Signer.Public(), w.ceremony.RootSigner)
				if err != nil {
					t.Fatal(err)
				}
				if is.Certificate, err = x509.ParseCertificate(der); err != nil {
					t.Fatal(err)
				}
			}
			cfg.Issuers = append(cfg.Issuers, is)
		}
		_, err := ca.New(t.Context(), cfg)
		if policy.ViolationsOf(err) == nil || !strings.Contains(err.Error(), `issuer "merchant"`) {
			t.Errorf("%s: got %v, want the merchant CA refused", name, err)
		}
	}
}

func TestCreateObeysTheProfileOfIssuers(t *testing.T) {
	t.Parallel()
	profile, err := policy.NewProfile(policy.ProfileConfig{
		Name: policy.IssuerProfile, Use: "issuer", Validity: policy.Duration(365 * 24 * time.Hour), Keys: []string{policy.KeyP384},
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := ca.CeremonyConfig{Network: network, StatusURL: statusURL, Profile: profile}
	c, err := ca.Create(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, is := range c.Issuers {
		life := is.Certificate.NotAfter.Sub(is.Certificate.NotBefore)
		if policy.DescribeKey(is.Certificate.PublicKey) != "P-384" || life != 365*24*time.Hour-time.Second {
			t.Errorf("%s: got %s for %s, want P-384 for 365 days", is.Name, policy.DescribeKey(is.Certificate.PublicKey), life)
		}
	}
	cfg.Profile = profiles(t)[0]
	if _, err := ca.Create(cfg); err == nil {
		t.Error("got a network made after the profile of consumers, want an error")
	}
}

func TestAPartyThatWaitsItsTurnCanLeave(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	entered, goOn := make(chan struct{}), make(chan struct{})
	linter := w.cfg.Linter
	w.cfg.Linter = func(c *x509.Certificate) error {
		close(entered)
		<-goOn
		return linter(c)
	}
	limited(t, w, func(cfg *policy.ProfileConfig) { cfg.Limits.Valid = 5 })
	done := make(chan error, 1)
	first := request(t, "shop1", newKey(t))
	go func() {
		_, err := w.ca.Issue(context.Background(), first)
		done <- err
	}()
	<-entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := w.ca.Issue(ctx, request(t, "shop1", newKey(t))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the deadline", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// All that a profile can grant stands in the certificate, and passes the linter.
func TestACertificateHoldsWhatItsProfileGrants(t *testing.T) {
	t.Parallel()
	granted := asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 2}
	for use, eku := range map[string]int{"tls": 2, "sign": 1, "encryption": 0} {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			limited(t, w, func(cfg *policy.ProfileConfig) {
				cfg.Use, cfg.KeyUsage, cfg.ExtKeyUsage, cfg.Keys = use, "", nil, nil
				cfg.Policies, cfg.Extensions = []string{"1.3.6.1.4.1.99999.1"}, []string{granted.String()}
				cfg.MustStaple = use == "tls"
			})
			der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{
				ExtraExtensions: []pkix.Extension{{Id: granted, Value: []byte{0x0c, 0x02, 'h', 'i'}}},
			}, newKey(t))
			if err != nil {
				t.Fatal(err)
			}
			req := request(t, "shop1", newKey(t))
			req.CSR = der
			c, err := w.ca.Issue(t.Context(), req)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(c.Leaf.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(granted) })
			if i < 0 || c.Leaf.Extensions[i].Critical || string(c.Leaf.Extensions[i].Value) != "\x0c\x02hi" {
				t.Errorf("got extensions %v, want the granted one as it was sent", c.Leaf.Extensions)
			}
			if policy.MustStaple(c.Leaf) != (use == "tls") {
				t.Errorf("got a certificate that must be stapled: %t", policy.MustStaple(c.Leaf))
			}
			if len(c.Leaf.Policies) != 1 || c.Leaf.Policies[0].String() != "1.3.6.1.4.1.99999.1" || len(c.Leaf.ExtKeyUsage)+len(c.Leaf.UnknownExtKeyUsage) != eku {
				t.Errorf("got policies %v and usages %v %v", c.Leaf.Policies, c.Leaf.ExtKeyUsage, c.Leaf.UnknownExtKeyUsage)
			}
		})
	}
}
