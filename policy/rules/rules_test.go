package rules_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/policy"
	"github.com/payca/payca/policy/rules"
)

const network = "pay.example"

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC) // a Monday

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// issuers are a root and the merchant CA.
func issuers(t testing.TB) (root, merchant *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	make := func(name, parent string, permitted ...string) *x509.Certificate {
		tmpl := &x509.Certificate{
			SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(5, 0, 0),
			IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign, PermittedURIDomains: permitted,
		}
		der, err := x509.CreateCertificate(rand.Reader, tmpl, &x509.Certificate{Subject: pkix.Name{CommonName: parent}}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return cert
	}
	return make("root", "root"), make("merchant CA", "root", "merchant."+network)
}

// requestUnder is one that Decide accepts but for the rules.
func requestUnder(t testing.TB, list ...policy.RuleConfig) policy.Request {
	t.Helper()
	compile, err := rules.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	profile, err := policy.CompileProfile(policy.ProfileConfig{
		Name: "merchant", Role: policy.Merchant, Use: "tls", Validity: policy.Duration(24 * time.Hour), Rules: list,
	}, compile)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		DNSNames: []string{"shop.test", "www.shop.test"}, IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)},
	}, newKey(t))
	if err != nil {
		t.Fatal(err)
	}
	csr, err := policy.ParseCSR(der)
	if err != nil {
		t.Fatal(err)
	}
	root, merchant := issuers(t)
	return policy.Request{
		Network: network, Profile: profile, CSR: csr, IssuerName: policy.MerchantCA, Issuer: merchant, Above: []*x509.Certificate{root},
		Requester: "token:1", Protocol: "token", Now: now,
		Party: policy.Party{
			ID: "shop1", Role: policy.Merchant, Name: "Acme Computers", State: policy.Active, Created: now.AddDate(0, -1, 0),
			DNSNames: []string{"shop.test", "www.shop.test"}, Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")},
		},
	}
}

func TestRulesThatHold(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`true`,
		`party.id == "shop1" && party.role == "merchant" && party.name.startsWith("Acme") && network == "pay.example"`,
		`request.protocol in ["token", "renew"] && request.requester.startsWith("token:")`,
		`request.dns.all(n, n.endsWith(".test")) && size(request.dns) == 2 && request.dns == certificate.dns`,
		`request.addresses.all(a, cidr("192.0.2.0/24").containsIP(ip(a))) && party.addresses == certificate.addresses`,
		`request.key == "P-256" && request.rsa_bits == 0 && request.common_name == ""`,
		`request.extensions.exists(e, e == "2.5.29.17")`,
		`now.getDayOfWeek() == 1 && now.getHours() == 12 && now - party.created > duration("24h")`,
		`certificate.lifetime <= duration("24h") && certificate.not_after > now && certificate.not_before < now`,
		`profile.name == "merchant" && profile.use == "tls"`,
		`party.dns.exists(n, n.matches("^www[.]"))`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			if _, err := policy.Decide(requestUnder(t, policy.RuleConfig{Name: "r", Require: text})); err != nil {
				t.Errorf("got %v, want a decision", err)
			}
		})
	}
}

func TestRulesThatRefuse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want, got, wanted string }{
		{"a condition that is false", `request.protocol == "renew"`, "", `request.protocol "token"`, `true: request.protocol == "renew"`},
		{"says what its author wants", `now.getHours() < 12`, "a request before noon, UTC", "now 2026-11-23T12:00:00Z", "a request before noon, UTC"},
		{"shows each variable once", `size(request.dns) > 2 || request.dns[0] == party.id`, "", `party.id "shop1", request.dns ["shop.test", "www.shop.test"]`, "true: size"},
		{"a constant", `false`, "", "false", "true: false"},
		{"no result: an index", `request.dns[7] == "shop.test"`, "", "no result, for", "true:"},
		{"no result: a division", `request.rsa_bits / request.rsa_bits == 1`, "", "no result, for", "true:"},
		{"no result: no address", `ip(party.id) == ip("192.0.2.1")`, "", "no result, for", "true:"},
		{"one line, whatever it looks at", "party.name ==\n\t\"x\"", "", `party.name "Acme Computers"`, `true: party.name == "x"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d, err := policy.Decide(requestUnder(t, policy.RuleConfig{Name: "night-watch", Require: tt.text, Want: tt.want}))
			vs := policy.ViolationsOf(err)
			if d != nil || len(vs) != 1 || vs[0].Rule != "rule-night-watch" || !strings.HasPrefix(vs[0].Got, tt.got) || !strings.HasPrefix(vs[0].Want, tt.wanted) {
				t.Errorf("got %v, want rule-night-watch, %q and %q", err, tt.got, tt.wanted)
			}
			if strings.ContainsAny(err.Error(), "\n\t") {
				t.Errorf("got %q, want one line", err)
			}
		})
	}
	t.Run("every rule is told, beside what else is wrong", func(t *testing.T) {
		t.Parallel()
		req := requestUnder(t, policy.RuleConfig{Name: "one", Require: "false"}, policy.RuleConfig{Name: "two", Require: "true"}, policy.RuleConfig{Name: "three", Require: "request.dns[9] == ''"})
		req.Party.State = policy.Suspended
		_, err := policy.Decide(req)
		var got []string
		for _, v := range policy.ViolationsOf(err) {
			got = append(got, v.Rule)
		}
		if want := "party-active rule-one rule-three"; strings.Join(got, " ") != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func TestCompilingRefuses(t *testing.T) {
	t.Parallel()
	compile, err := rules.NewCompiler()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "require of 0 octets"},
		{"too much", "true" + strings.Repeat(" ", rules.MaxExpression), "octets, want an expression"},
		{"a character that does not show", "party.id == \"\x1b\"", "does not show"},
		{"no expression", "party.id ==", "at 1:"},
		{"an unknown variable", `party.nmae == "x"`, `nothing is called "party.nmae", want party.id, party.role`},
		{"an unknown function", `open("/etc/passwd") == ""`, `nothing is called "open"`},
		{"another type", `party.id`, "is of type string, want bool"},
		{"types that do not fit", `party.id == 1`, "no matching overload"},
		{"a list of many types", `party.id in ["a", 1]`, "expected type 'string' but found 'int'"},
		{"a regular expression that is none", `party.id.matches("(")`, "invalid matches argument"},
		{"a duration that is none", `certificate.lifetime < duration("long")`, "invalid duration argument"},
		{"deep nesting", strings.Repeat("(", 200) + "true" + strings.Repeat(")", 200), "recursion limit"},
		{"a cost of the cube of a list", `request.dns.all(a, party.dns.all(b, request.dns.all(c, a != b || b != c)))`, "units, want at most"},
		{"a cost of a square of texts", `request.dns.all(a, party.dns.all(b, a.contains(b)))`, "units, want at most"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rule, err := compile(policy.RuleConfig{Name: "r", Require: tt.text})
			if rule != nil || err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("got %q, want one line", err)
			}
		})
	}
}

// What is bounded when it is compiled, is bounded when it runs too.
func TestTheCostOfARunIsBounded(t *testing.T) {
	t.Parallel()
	req := requestUnder(t, policy.RuleConfig{Name: "long", Require: `party.name.contains("b") || party.name.contains("a") || true`})
	req.Party.Name = strings.Repeat("x", 10_000_000) // no registry lets it in
	start := time.Now()
	_, err := policy.Decide(req)
	if d := time.Since(start); d > 5*time.Second {
		t.Errorf("took %s, want it stopped", d)
	}
	if err == nil || !strings.Contains(err.Error(), "rule-long") || !strings.Contains(err.Error(), "cost") || len(err.Error()) > 2000 {
		t.Errorf("got %.300v, want rule-long stopped for its cost", err)
	}
}

func TestRulesServeManyAtOnce(t *testing.T) {
	t.Parallel()
	req := requestUnder(t, policy.RuleConfig{Name: "a", Require: `request.dns.all(n, n.endsWith(".test"))`})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				if _, err := policy.Decide(req); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func TestEveryVariableIsDocumented(t *testing.T) {
	t.Parallel()
	for _, v := range rules.Variables() {
		if v.Name == "" || v.Type == "" || v.Doc == "" {
			t.Errorf("got %+v, want name, type and doc", v)
		}
	}
}

func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		`request.dns.all(n, n.endsWith(".test"))`, `now - party.created > duration("24h")`, `party.dns[0] == "" ? true : 1/0 == 0`,
		`[1, 2].map(x, x * 2) == [2, 4]`, `{"a": party.id}["b"] == ""`, `ip("::1").family() == 6`, "(((((", "\x00", `"\U00110000" == ""`,
	} {
		f.Add(seed)
	}
	compile, err := rules.NewCompiler()
	if err != nil {
		f.Fatal(err)
	}
	req := requestUnder(f)
	f.Fuzz(func(t *testing.T, text string) {
		rule, err := compile(policy.RuleConfig{Name: "r", Require: text})
		if (rule == nil) != (err != nil) {
			t.Fatalf("got rule %t and %v, want one of the two", rule != nil, err)
		}
		if err != nil {
			return
		}
		d := policy.Decision{NotBefore: now, NotAfter: now.Add(time.Hour), DNSNames: req.CSR.DNSNames, Addresses: req.CSR.Addresses}
		if v := rule(&policy.Case{Request: &req, Decision: &d}); v != nil && (v.Rule != "rule-r" || v.Got == "" || v.Want == "" || strings.ContainsAny(v.Got, "\n\r")) {
			t.Fatalf("got %+v, want a whole violation on one line", v)
		}
	})
}

// A decision with two rules, all of it but the signature of the CSR: under 20 us of CPU.
func BenchmarkDecideTwoRules(b *testing.B) {
	req := requestUnder(b,
		policy.RuleConfig{Name: "office-hours", Require: `now.getHours() >= 6 && now.getHours() < 22 || request.protocol == "renew"`},
		policy.RuleConfig{Name: "own-domain", Require: `request.dns.all(n, n.endsWith(".test")) && certificate.lifetime <= duration("720h")`})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Decide(req); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecideWithoutRules(b *testing.B) {
	req := requestUnder(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := policy.Decide(req); err != nil {
			b.Fatal(err)
		}
	}
}
