package policy_test

import (
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

// under is a good request under a profile that change made of the built-in one of merchants.
func under(t testing.TB, p pki, change func(*policy.ProfileConfig)) policy.Request {
	t.Helper()
	req := goodRequest(t, p, policy.Merchant, "merchant")
	cfg := req.Profile.Config()
	change(&cfg)
	profile, err := policy.NewProfile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	req.Profile = profile
	return req
}

func TestNamesFromTheRequestAndFixed(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	from := func(source string, allow ...string) policy.NameSource {
		return policy.NameSource{From: source, Allow: allow}
	}
	for _, tt := range []struct {
		name    string
		dns     policy.NameSource
		party   string
		asked   []string
		want    []string
		refused []string
	}{
		{"the party's names within a pattern", from("party", "www.shop.test"), "shop1", nil, []string{"www.shop.test"}, nil},
		{"a name of the party outside of the pattern", from("party", "www.shop.test"), "shop1", []string{"shop.test"}, nil, []string{"san-dns"}},
		{"a name of the request within a pattern", from("request", "{party}.shops.test"), "shop1", []string{"shop1.shops.test"}, []string{"shop1.shops.test"}, nil},
		{"no name asked for, none granted", from("request", "{party}.shops.test"), "shop1", nil, nil, nil},
		{"a name of another party", from("request", "{party}.shops.test"), "shop1", []string{"shop2.shops.test"}, nil, []string{"san-dns"}},
		{"a name that a dot in the id would widen to", from("request", "*.{party}.shops.test"), "a.shop2", []string{"x.a.shop2.shops.test"}, nil, []string{"san-dns"}},
		{"the record does not count", from("request", "{party}.shops.test"), "shop1", []string{"shop.test"}, nil, []string{"san-dns"}},
		{"a name in the network's own domain", from("request", "*.pay.example"), "shop1", []string{"gateway.pay.example"}, nil, []string{"san-dns", "issuer-constraint"}},
		{"fixed names", from("fixed", "{party}.shops.test", "pos.{party}.shops.test"), "shop1", nil, []string{"shop1.shops.test", "pos.shop1.shops.test"}, nil},
		{"a fixed name asked for", from("fixed", "{party}.shops.test"), "shop1", []string{"shop1.shops.test"}, []string{"shop1.shops.test"}, nil},
		{"a name that is not among the fixed ones", from("fixed", "{party}.shops.test"), "shop1", []string{"shop.test"}, nil, []string{"san-dns"}},
		{"a fixed name that the id does not fit into", from("fixed", "{party}.shops.test"), "a.b", nil, nil, []string{"name-fixed"}},
		{"a fixed name in the network's own domain", from("fixed", "{party}.pay.example"), "shop1", nil, nil, []string{"name-fixed", "issuer-constraint"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := under(t, p, func(cfg *policy.ProfileConfig) { cfg.DNS = tt.dns })
			req.Party.ID = tt.party
			req.CSR = parsed(t, x509.CertificateRequest{DNSNames: tt.asked})
			d, err := policy.Decide(req)
			if tt.refused != nil {
				wantRules(t, err, tt.refused...)
				return
			}
			if err != nil || !slices.Equal(d.DNSNames, tt.want) {
				t.Errorf("got %v and %v, want %v", d, err, tt.want)
			}
		})
	}
}

func TestAddressesFromTheRequest(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	mapped := netip.AddrFrom16(netip.MustParseAddr("203.0.113.9").As16()).As16()
	for _, tt := range []struct {
		name    string
		asked   []byte
		refused []string
	}{
		{"within a range", []byte{192, 0, 2, 77}, nil},
		{"outside of it", []byte{203, 0, 113, 9}, []string{"san-address"}},
		{"23 outside of it, mapped into IPv6", mapped[:], []string{"san-address"}},
		{"no host's", []byte{0, 0, 0, 0}, []string{"san-address"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := under(t, p, func(cfg *policy.ProfileConfig) {
				cfg.Addresses = policy.NameSource{From: "request", Allow: []string{"192.0.2.0/24", "2001:db8::/32"}}
			})
			csr, err := policy.ParseCSR(rawCSR(t, nil, extensionRequest(t, san(t, 7, string(tt.asked)))))
			if err != nil {
				t.Fatal(err)
			}
			req.CSR = csr
			d, err := policy.Decide(req)
			wantRules(t, err, tt.refused...)
			if err == nil && (len(d.Addresses) != 1 || len(d.DNSNames) != 0) {
				t.Errorf("got %v %v, want the address alone", d.Addresses, d.DNSNames)
			}
		})
	}
}

func TestPoliciesAndExtensions(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	grants := func(cfg *policy.ProfileConfig) {
		cfg.Policies, cfg.Extensions = []string{"1.3.6.1.4.1.99999.7"}, []string{oidNone.String()}
	}
	with := func(ext pkix.Extension) policy.Request {
		req := under(t, p, grants)
		req.CSR = parsed(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{ext}})
		return req
	}
	d, err := policy.Decide(with(extension(t, oidNone, "kept")))
	if err != nil || len(d.Extensions) != 1 || !d.Extensions[0].Id.Equal(oidNone) || d.Extensions[0].Critical || len(d.Policies) != 1 || d.Policies[0].String() != "1.3.6.1.4.1.99999.7" {
		t.Errorf("got %+v and %v, want the extension and the policy", d, err)
	}
	other := extension(t, append(slices.Clone(oidNone), 1), "dropped")
	if d, err := policy.Decide(with(other)); err != nil || len(d.Extensions) != 0 {
		t.Errorf("got %+v and %v, want an extension that is not granted ignored", d, err)
	}
	for _, tt := range []struct {
		name string
		ext  pkix.Extension
		rule string
	}{
		{"critical", pkix.Extension{Id: oidNone, Critical: true, Value: []byte{5, 0}}, "extension-critical"},
		{"not DER", pkix.Extension{Id: oidNone, Value: []byte{5}}, "extension-form"},
		{"two values", pkix.Extension{Id: oidNone, Value: []byte{5, 0, 5, 0}}, "extension-form"},
		{"empty", pkix.Extension{Id: oidNone}, "extension-form"},
		{"too large", extension(t, oidNone, strings.Repeat("a", 1025)), "extension-form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := policy.Decide(with(tt.ext))
			wantRules(t, err, tt.rule)
		})
	}
}

func TestProtocolsAndApproval(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	req := under(t, p, func(cfg *policy.ProfileConfig) {
		cfg.Protocols = []string{"token", "renew"}
		cfg.Approval = &policy.ApprovalConfig{K: 2, Of: 3, By: policy.ByOperators}
	})
	for _, tt := range []struct {
		name, protocol string
		approved       bool
		rules          []string
	}{
		{"as wanted", "token", true, nil},
		{"another protocol", "issue", true, []string{"protocol"}},
		{"no protocol", "", true, []string{"protocol"}},
		{"63 not approved", "renew", false, []string{"approval"}},
		{"neither", "local", false, []string{"protocol", "approval"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := req
			req.Protocol, req.Approved = tt.protocol, tt.approved
			_, err := policy.Decide(req)
			wantRules(t, err, tt.rules...)
		})
	}
}

func TestUses(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for use, want := range map[string]struct {
		role  policy.Role
		usage x509.KeyUsage
		eku   int
	}{
		"tls": {policy.Merchant, x509.KeyUsageDigitalSignature, 2}, "client": {policy.Consumer, x509.KeyUsageDigitalSignature, 1},
		"sign": {policy.IssuingBank, x509.KeyUsageDigitalSignature, 1}, "encryption": {policy.Gateway, x509.KeyUsageKeyAgreement, 0},
		"operator": {policy.Operator, x509.KeyUsageDigitalSignature, 1},
	} {
		t.Run(use, func(t *testing.T) {
			t.Parallel()
			profile, err := policy.NewProfile(policy.ProfileConfig{Name: "p", Role: want.role, Use: use, Validity: policy.Duration(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			req := goodRequest(t, p, want.role, string(want.role))
			req.Profile = profile
			d, err := policy.Decide(req)
			if err != nil || d.KeyUsage != want.usage || len(d.ExtKeyUsage)+len(d.UnknownExtKeyUsage) != want.eku || profile.Use() != use {
				t.Errorf("got %+v, %v and use %q", d, err, profile.Use())
			}
			again, err := policy.NewProfile(profile.Config())
			if err != nil || again.Use() != use {
				t.Errorf("got %v, want the same profile from what it was made from", err)
			}
		})
	}
	t.Run("13 an issuer is no leaf", func(t *testing.T) {
		t.Parallel()
		req := goodRequest(t, p, policy.Merchant, "merchant")
		req.Profile = profile(t, policy.IssuerProfile)
		_, err := policy.Decide(req)
		wantRules(t, err, "leaf-ca", "issuer-role")
	})
}

func TestWhatWasWrongBeforeIsPartOfTheAnswer(t *testing.T) {
	t.Parallel()
	req := goodRequest(t, newPKI(t), policy.Merchant, "merchant")
	_, bad := policy.ParseCSR([]byte{0x30})
	req.CSR, req.Before, req.Party.State = nil, policy.ViolationsOf(bad), policy.Suspended
	before := slices.Clone(req.Before)
	_, err := policy.Decide(req)
	wantRules(t, err, "csr-form", "party-active")
	if !slices.Equal(req.Before, before) {
		t.Error("Decide changed what it was given")
	}
	req.Before = nil
	_, err = policy.Decide(req)
	wantRules(t, err, "request")
}

func TestLimitsExceeded(t *testing.T) {
	t.Parallel()
	limits := policy.Limits{Valid: 2, Issued: 3, Per: policy.Duration(time.Hour)}
	for _, tt := range []struct {
		valid, issued int
		rules         []string
	}{{0, 0, nil}, {1, 2, nil}, {2, 2, []string{"limit-valid"}}, {1, 3, []string{"limit-rate"}}, {5, 9, []string{"limit-valid", "limit-rate"}}} {
		var err error
		if vs := limits.Exceeded(tt.valid, tt.issued); vs != nil {
			err = vs
		}
		wantRules(t, err, tt.rules...)
	}
	if vs := (policy.Limits{}).Exceeded(1_000_000, 1_000_000); vs != nil {
		t.Errorf("got %v, want no limit", vs)
	}
}

// FuzzDecide: whatever the CSR, a decision keeps to the registry, and a refusal has every reason whole and on one line.
func FuzzDecide(f *testing.F) {
	p := newPKI(f)
	req := goodRequest(f, p, policy.Merchant, "merchant")
	key := newKey(f)
	for _, tmpl := range []x509.CertificateRequest{
		{}, {DNSNames: []string{"shop.test"}}, {DNSNames: []string{"*.shop.test"}}, {IPAddresses: []net.IP{net.IPv4(192, 0, 2, 1)}}, {EmailAddresses: []string{"a@b.test"}},
	} {
		der, err := x509.CreateCertificateRequest(rand.Reader, &tmpl, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		req := req
		csr, err := policy.ParseCSR(der)
		req.CSR, req.Before = csr, policy.ViolationsOf(err)
		d, err := policy.Decide(req)
		if err == nil {
			for _, name := range d.DNSNames {
				if !slices.Contains(req.Party.DNSNames, name) {
					t.Fatalf("got the name %q", name)
				}
			}
			if len(d.URIs) != 1 || d.URIs[0].String() != "spiffe://merchant.pay.example/shop1" || d.Subject.String() != "CN=shop1,OU=merchant,O=Acme Computers" {
				t.Fatalf("got %v %v", d.URIs, d.Subject)
			}
			return
		}
		for _, v := range policy.ViolationsOf(err) {
			if v.Rule == "" || v.Field == "" || v.Got == "" || v.Want == "" || strings.ContainsAny(v.Error(), "\n\r\x00") {
				t.Fatalf("got %+v, want a whole violation on one line", v)
			}
		}
	})
}
