package policy_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func TestDefaultProfiles(t *testing.T) {
	t.Parallel()
	const day = policy.Duration(24 * time.Hour)
	names := make(map[string]policy.ProfileConfig)
	for _, cfg := range policy.DefaultProfiles() {
		p, err := policy.NewProfile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if _, twice := names[p.Name()]; twice {
			t.Errorf("profile %q is there twice", p.Name())
		}
		names[p.Name()] = p.Config()
	}
	for _, role := range policy.Roles() {
		cfg, ok := names[policy.DefaultProfile(role)]
		if !ok || cfg.Role != role {
			t.Errorf("got %+v, want a default profile for %s", cfg, role)
		}
		want := []string{"serverAuth", "clientAuth"}
		if slices.Contains([]policy.Role{policy.Consumer, policy.Operator, policy.Auditor}, role) {
			want = want[1:]
		}
		if !slices.Equal(cfg.ExtKeyUsage, want) || cfg.KeyUsage != "digitalSignature" {
			t.Errorf("%s: got %s %v, want %v", role, cfg.KeyUsage, cfg.ExtKeyUsage, want)
		}
	}
	for name, want := range map[string]policy.Duration{
		"consumer": 90 * day, "merchant": 30 * day, "gateway-encryption": 30 * day, "operator": 30 * day, "ocsp-signer": 7 * day,
	} {
		if got := names[name].Validity; got != want {
			t.Errorf("%s: got validity %s, want %s", name, got, want)
		}
	}
	for _, name := range []string{"gateway", "aggregator", "issuing-bank", "confirmer", "wallet"} {
		cfg := names[name+"-encryption"]
		if cfg.KeyUsage != "keyAgreement" || len(cfg.ExtKeyUsage) > 0 || !slices.Equal(cfg.Keys, []string{"P-256", "P-384"}) {
			t.Errorf("%s-encryption: got %+v", name, cfg)
		}
	}
	if want := len(policy.Roles()) + 7; len(names) != want {
		t.Errorf("got %d profiles, want %d", len(names), want)
	}
}

func TestNewProfileFillsInDefaults(t *testing.T) {
	t.Parallel()
	p, err := policy.NewProfile(policy.ProfileConfig{
		Name: "m", Role: policy.Merchant, KeyUsage: "digitalSignature", ExtKeyUsage: []string{"serverAuth"}, Validity: policy.Duration(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := p.Config()
	if cfg.Backdate != policy.Duration(time.Minute) || cfg.RSABits != 3072 || len(cfg.Keys) != 4 || !p.Server() || p.OCSPSigner() || p.Role() != policy.Merchant {
		t.Errorf("got %+v", cfg)
	}
	cfg.Keys[0], cfg.ExtKeyUsage[0] = "changed", "changed"
	if again := p.Config(); again.Keys[0] == "changed" || again.ExtKeyUsage[0] == "changed" {
		t.Error("the profile changed through the copy of its configuration")
	}
}

func TestNewProfileRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		change func(*policy.ProfileConfig)
		want   string
	}{
		{"no name", func(c *policy.ProfileConfig) { c.Name = "" }, "name: want"},
		{"a dot in the name", func(c *policy.ProfileConfig) { c.Name = "a.b" }, "name: want"},
		{"a slash in the name", func(c *policy.ProfileConfig) { c.Name = "a/b" }, "name: want"},
		{"no role", func(c *policy.ProfileConfig) { c.Role = "" }, `role "": want a known role`},
		{"an unknown role", func(c *policy.ProfileConfig) { c.Role = "thief" }, `role "thief"`},
		{"an OCSP signer with a role", func(c *policy.ProfileConfig) { c.ExtKeyUsage = []string{"OCSPSigning"} }, "OCSP signers and issuing CAs belong to the CA"},
		{"OCSPSigning beside another usage", func(c *policy.ProfileConfig) {
			c.Role, c.ExtKeyUsage = "", []string{"OCSPSigning", "clientAuth"}
		}, "want it alone"},
		{"a consumer's server", func(c *policy.ProfileConfig) { c.Role = policy.Consumer }, "a consumer runs no servers"},
		{"no key usage", func(c *policy.ProfileConfig) { c.KeyUsage = "" }, `key_usage ""`},
		{"a grace of a year", func(c *policy.ProfileConfig) { c.RenewGrace = policy.Duration(365 * 24 * time.Hour) }, `renew_grace 365d: want at most 90d`},
		{"keys that sign, made by the CA", func(c *policy.ProfileConfig) { c.ServerKeygen = true }, `server_keygen with key_usage digitalSignature: want keyAgreement`},
		{"13 keyCertSign", func(c *policy.ProfileConfig) { c.KeyUsage = "keyCertSign" }, `key_usage "keyCertSign"`},
		{"keyAgreement in TLS", func(c *policy.ProfileConfig) { c.KeyUsage = "keyAgreement" }, "want none with keyAgreement"},
		{"13 anyEKU", func(c *policy.ProfileConfig) { c.ExtKeyUsage = []string{"any"} }, `ext_key_usage "any"`},
		{"a usage twice", func(c *policy.ProfileConfig) { c.ExtKeyUsage = []string{"clientAuth", "clientAuth"} }, "want it once"},
		{"no validity", func(c *policy.ProfileConfig) { c.Validity = 0 }, "validity 0s"},
		{"six years", func(c *policy.ProfileConfig) { c.Validity = policy.Duration(6 * 365 * 24 * time.Hour) }, "validity 2190d"},
		{"parts of a second", func(c *policy.ProfileConfig) { c.Validity++ }, "whole seconds"},
		{"two hours of backdating", func(c *policy.ProfileConfig) { c.Backdate = policy.Duration(2 * time.Hour) }, "backdate 2h0m0s"},
		{"negative backdating", func(c *policy.ProfileConfig) { c.Backdate = -1 }, "backdate"},
		{"an unknown kind of key", func(c *policy.ProfileConfig) { c.Keys = []string{"P-224"} }, `keys "P-224"`},
		{"an RSA key that should agree", func(c *policy.ProfileConfig) {
			c.KeyUsage, c.ExtKeyUsage, c.Keys = "keyAgreement", nil, []string{"RSA"}
		}, "want P-256, P-384 with keyAgreement"},
		{"RSA-1024", func(c *policy.ProfileConfig) { c.RSABits = 1024 }, "rsa_bits 1024"},
		{"encryption that must be stapled", func(c *policy.ProfileConfig) {
			c.KeyUsage, c.ExtKeyUsage, c.MustStaple = "keyAgreement", nil, true
		}, "must_staple: want a profile for TLS"},
		{"an OCSP signer that must be stapled", func(c *policy.ProfileConfig) {
			c.Name, c.Role, c.ExtKeyUsage, c.MustStaple = "ocsp-signer", "", []string{"OCSPSigning"}, true
		}, "must_staple: want a profile for TLS"},
		{"the TLS feature from requests", func(c *policy.ProfileConfig) { c.Extensions = []string{"1.3.6.1.5.5.7.1.24"} }, "the CA writes"},
		{"RSA-16384", func(c *policy.ProfileConfig) { c.RSABits = 16384 }, "rsa_bits 16384"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg := policy.ProfileConfig{
				Name: "m", Role: policy.Merchant, KeyUsage: "digitalSignature",
				ExtKeyUsage: []string{"serverAuth", "clientAuth"}, Validity: policy.Duration(time.Hour),
			}
			tt.change(&cfg)
			p, err := policy.NewProfile(cfg)
			if err == nil || p != nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("everything at once", func(t *testing.T) {
		t.Parallel()
		_, err := policy.NewProfile(policy.ProfileConfig{RSABits: 1})
		for _, want := range []string{"name:", "role ", "key_usage", "validity", "rsa_bits"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want %q in it", err, want)
			}
		}
	})
}

func TestParseDuration(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"30": "30d", "30d": "30d", "0": "0s", "24h": "1d", "36h": "36h0m0s", "90s": "1m30s", "36500d": "36500d",
	} {
		d, err := policy.ParseDuration(text)
		if err != nil || d.String() != want {
			t.Errorf("%q: got %v and %v, want %s", text, d, err, want)
		}
		var again policy.Duration
		out, _ := d.MarshalText()
		if err := again.UnmarshalText(out); err != nil || again != d {
			t.Errorf("%q: got %v and %v back, want %s", text, again, err, d)
		}
	}
	for _, text := range []string{"", "d", "-1", "-1d", "-1h", "1.5d", "1w", "500ms", "36501", "70000d", "99999999999999999999d", "1d2h", "2540400h", " 1"} {
		if d, err := policy.ParseDuration(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, d)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"30", "30d", "36h", "1m30s", "-1d", "0.5h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := policy.ParseDuration(text)
		if err != nil {
			return
		}
		if again, err := policy.ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q: got %v, then %v and %v", text, d, again, err)
		}
	})
}
