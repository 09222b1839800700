package policy_test

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

func TestParseIdentity(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, rule string }{
		{"a merchant", "spiffe://merchant.pay.example/shop1", ""},
		{"dots and hyphens in the party", "spiffe://issuing-bank.pay.example/1.b-.", ""},
		{"a party of 63 characters", "spiffe://merchant.pay.example/" + strings.Repeat("a", 63), ""},
		{"the network's own service", "spiffe://service.pay.example/ca", ""},
		{"the network's own party in another role", "spiffe://merchant.pay.example/ca", "uri-form"},
		{"a party of 64 characters", "spiffe://merchant.pay.example/" + strings.Repeat("a", 64), "uri-form"},
		{"no host", "spiffe:///shop1", "uri-form"},
		{"the bare network", "spiffe://pay.example/shop1", "uri-form"},
		{"a longer network", "spiffe://merchant.xpay.example/shop1", "uri-form"},
		{"a trailing dot in the host", "spiffe://merchant.pay.example./shop1", "uri-form"},
		{"an unknown role", "spiffe://thief.pay.example/shop1", "role-known"},
		{"an empty role", "spiffe://.pay.example/shop1", "role-known"},
		{"a double slash", "spiffe://merchant.pay.example//shop1", "uri-form"},
		{"an escaped slash", "spiffe://merchant.pay.example/a%2fb", "uri-form"},
		{"an opaque URI", "spiffe:merchant.pay.example/shop1", "uri-form"},
		{"a password", "spiffe://a:b@merchant.pay.example/shop1", "uri-form"},
		{"a space", "spiffe://merchant.pay.example/shop%201", "uri-form"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			id, err := policy.ParseIdentity(mustURL(t, tt.text), network)
			if tt.rule != "" {
				wantRules(t, err, tt.rule)
			} else if err != nil || id.String() != tt.text {
				t.Errorf("got %v and %v, want %s", id, err, tt.text)
			}
		})
	}
	t.Run("no URI", func(t *testing.T) {
		t.Parallel()
		_, err := policy.ParseIdentity(nil, network)
		wantRules(t, err, "uri-form")
	})
	t.Run("no network", func(t *testing.T) {
		t.Parallel()
		_, err := policy.ParseIdentity(mustURL(t, "spiffe://merchant./shop1"), "")
		wantRules(t, err, "network-name")
	})
}

func FuzzParseIdentity(f *testing.F) {
	for _, seed := range []string{
		"spiffe://merchant.pay.example/shop1", "spiffe://service.pay.example/ca", "spiffe://x@merchant.pay.example/a#",
		"spiffe://gateway.merchant.pay.example/gw1", "SPIFFE://merchant.pay.example/a?", "spiffe:merchant", "",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		u, err := url.Parse(text)
		if err != nil {
			return
		}
		id, err := policy.ParseIdentity(u, network)
		if err != nil {
			if len(policy.ViolationsOf(err)) != 1 {
				t.Fatalf("got %v, want one violation", err)
			}
			return
		}
		again, err := policy.ParseIdentity(id.URI(), network)
		if err != nil || again != id || id.String() != u.String() || id.Role.CA() == "" {
			t.Fatalf("%q: got %v, then %v and %v", text, id, again, err)
		}
	})
}

func TestCheckPartyID(t *testing.T) {
	t.Parallel()
	for id, ok := range map[string]bool{
		"a": true, "0": true, "shop1": true, "a.b-c": true, strings.Repeat("a", 63): true,
		"": false, "ca": false, "-a": false, ".a": false, "A": false, "a/b": false, "a_b": false, "é": false,
		"a\n": false, "a\x00": false, strings.Repeat("a", 64): false,
	} {
		err := policy.CheckPartyID(id)
		if ok && err != nil {
			t.Errorf("%q: got %v, want no error", id, err)
		} else if !ok {
			wantRules(t, err, "party-id")
		}
	}
}

func TestCheckNetworkName(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"pay": true, "pay.internal": true, "pay.example": true, strings.Repeat("a.", 31) + "aa": true,
		"": false, "Pay.example": false, "pay.example.": false, ".pay": false, "pay_1": false, "10.0.0.1": false,
		strings.Repeat("a.", 32) + "a": false,
	} {
		err := policy.CheckNetworkName(name)
		if ok && err != nil {
			t.Errorf("%q: got %v, want no error", name, err)
		} else if !ok {
			wantRules(t, err, "network-name")
		}
	}
}

func TestPartyCheck(t *testing.T) {
	t.Parallel()
	v4 := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		name   string
		change func(*policy.Party)
		rules  []string
	}{
		{"a merchant with a server", func(*policy.Party) {}, nil},
		{"a service in the network's own domain", func(p *policy.Party) {
			p.Role, p.DNSNames = policy.Service, []string{"ca.pay.example"}
		}, nil},
		{"a suspended party", func(p *policy.Party) { p.State = policy.Suspended }, nil},
		{"a name in another script", func(p *policy.Party) { p.Name = "Käse & Söhne 株式会社" }, nil},
		{"64 characters of name", func(p *policy.Party) { p.Name = strings.Repeat("ä", 64) }, nil},
		{"65 characters of name", func(p *policy.Party) { p.Name = strings.Repeat("a", 65) }, []string{"party-name"}},
		{"no name", func(p *policy.Party) { p.Name = "" }, []string{"party-name"}},
		{"20 a line end in the name", func(p *policy.Party) { p.Name = "Acme\r\nrole=bank" }, []string{"party-name"}},
		{"a right-to-left override in the name", func(p *policy.Party) { p.Name = "Acme\u202e" }, []string{"party-name"}},
		{"a name that is no UTF-8", func(p *policy.Party) { p.Name = "Acme\xff" }, []string{"party-name"}},
		{"space around the name", func(p *policy.Party) { p.Name = " Acme" }, []string{"party-name"}},
		{"the reserved id", func(p *policy.Party) { p.ID = "ca" }, []string{"party-id"}},
		{"an unknown role", func(p *policy.Party) { p.Role = "thief" }, []string{"role-known"}},
		{"an unknown state", func(p *policy.Party) { p.State = "asleep" }, []string{"party-state"}},
		{"no state", func(p *policy.Party) { p.State = "" }, []string{"party-state"}},
		{"a consumer with a server", func(p *policy.Party) { p.Role = policy.Consumer }, []string{"party-names"}},
		{"a wildcard", func(p *policy.Party) { p.DNSNames = []string{"*.shop.test"} }, []string{"party-dns"}},
		{"the network's own domain", func(p *policy.Party) { p.DNSNames = []string{"pay.example"} }, []string{"party-dns"}},
		{"a name in the network's own domain", func(p *policy.Party) { p.DNSNames = []string{"gateway.pay.example"} }, []string{"party-dns"}},
		{"a zone in the address", func(p *policy.Party) {
			p.Addresses = []netip.Addr{netip.MustParseAddr("fe80::1%eth0")}
		}, []string{"party-address"}},
		{"no address in the list", func(p *policy.Party) { p.Addresses = []netip.Addr{{}} }, []string{"party-address"}},
		{"the unspecified address", func(p *policy.Party) { p.Addresses = []netip.Addr{netip.IPv4Unspecified()} }, []string{"party-address"}},
		{"everything wrong", func(p *policy.Party) { *p = policy.Party{} }, []string{"party-id", "role-known", "party-name", "party-state"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := policy.Party{
				ID: "shop1", Role: policy.Merchant, Name: "Acme Computers", State: policy.Active,
				DNSNames: []string{"shop.test"}, Addresses: []netip.Addr{v4},
			}
			tt.change(&p)
			err := p.Check(network)
			if len(tt.rules) == 0 && err != nil {
				t.Fatalf("got %v, want no error", err)
			}
			wantRules(t, err, tt.rules...)
		})
	}
}

func TestCheckDNSName(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a.", 126) + "a" // 253 characters
	for _, tt := range []struct {
		name, dns string
		ok        bool
	}{
		{"a host", "shop.example.test", true},
		{"one label", "localhost", true},
		{"an A-label", "xn--kse-qla.test", true},
		{"253 characters", long, true},
		{"63 characters in a label", strings.Repeat("a", 63) + ".test", true},
		{"digits in a label that is not the last", "1.2.3.test", true},
		{"16 NUL", "shop.test\x00.evil.test", false},
		{"17 a lone star", "*", false},
		{"17 a wildcard", "*.com", false},
		{"17 a star inside", "a.*.b", false},
		{"17 two stars", "*.*.x", false},
		{"17 a trailing dot", "shop.test.", false},
		{"17 nothing", "", false},
		{"17 a dot", ".", false},
		{"17 a leading dot", ".shop.test", false},
		{"17 two dots", "shop..test", false},
		{"17 64 characters in a label", strings.Repeat("a", 64) + ".test", false},
		{"17 254 characters", "b" + long, false},
		{"18 IPv4 text", "192.0.2.1", false},
		{"18 short IPv4 text", "127.1", false},
		{"18 IPv6 text", "2001:db8::1", false},
		{"upper case", "Shop.test", false},
		{"an underscore", "_a.test", false},
		{"a leading hyphen", "-a.test", false},
		{"a trailing hyphen", "a-.test", false},
		{"20 a line end", "a.test\r\n", false},
		{"a letter beyond ASCII", "käse.test", false},
		{"a byte that is no UTF-8", "a\xff.test", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			err := policy.CheckDNSName(tt.dns)
			if tt.ok && err != nil {
				t.Errorf("got %v, want no error", err)
			} else if !tt.ok {
				wantRules(t, err, "dns-name")
				if strings.ContainsAny(err.Error(), "\r\n\x00") {
					t.Errorf("got %q, want one line", err)
				}
			}
		})
	}
}
