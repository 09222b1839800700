package config_test

import (
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
)

// shopProfile has every key of a profile.
const shopProfile = `profiles:
  - name: merchant
    role: merchant
    use: tls
    validity: 7d
    backdate: 5m
    keys: [P-256, RSA]
    rsa_bits: 4096
    dns:
      from: request
      allow: ["{party}.shops.example", "*.{party}.shops.example"]
    addresses:
      from: request
      allow: [192.0.2.0/24, "2001:db8::/32"]
    policies: [1.3.6.1.4.1.99999.1]
    extensions: [1.3.6.1.4.1.99999.2]
    protocols: [token, renew]
    limits: {valid: 3, issued: 10, per: 1d}
    approval: {k: 2, of: 3, by: operators}
    rules:
      - name: p256
        require: request.key == "P-256"
        want: a P-256 key
`

func TestAProfileWithEveryKey(t *testing.T) {
	t.Parallel()
	c, err := config.Load(write(t, "network: a.example\napprovals: {approvers: [a, b, c]}\nrules: [{name: local, require: 'request.protocol != \"x\"'}]\n"+shopProfile))
	if err != nil {
		t.Fatal(err)
	}
	profiles, err := c.CompileProfiles()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range profiles {
		rules := len(p.Config().Rules)
		switch p.Name() {
		case "merchant":
			a, ok := p.Approval()
			if rules != 2 || p.Use() != "tls" || p.Limits().Valid != 3 || !ok || a.K != 2 || a.Of != 3 || a.By[0] != "operators" {
				t.Errorf("got %+v", p.Config())
			}
		case policy.OCSPSignerProfile, policy.IssuerProfile:
			if rules != 0 {
				t.Errorf("%s: got %d rules, want none: the CA's own certificates depend on no rule for parties", p.Name(), rules)
			}
		default:
			if rules != 1 {
				t.Errorf("%s: got %d rules, want the one for all", p.Name(), rules)
			}
		}
	}
	text, err := c.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := config.Load(write(t, string(text))); err != nil || again.Profiles[0].Limits != c.Profiles[0].Limits || again.Profiles[0].DNS.Allow[1] != c.Profiles[0].DNS.Allow[1] {
		t.Errorf("got %v from\n%s", err, text)
	}
	if strings.Contains(string(text), "approval: null") {
		t.Errorf("got\n%s\nwant nothing that was not said", text)
	}
}

func TestPolicyErrorsNameTheLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, change, to, want string }{
		{"65 an unknown key", "    backdate:", "    back_date:", `payca.yaml:6: unknown key "profiles[0].back_date", want "profiles[0].backdate"`},
		{"65 an unknown key in depth", "issued: 10", "issue: 10", `unknown key "profiles[0].limits.issue", want "profiles[0].limits.issued"`},
		{"65 a number beyond all measure", "rsa_bits: 4096", "rsa_bits: 1e400", `payca.yaml:8: `},
		{"65 a key given twice", "    use: tls", "    use: tls\n    use: client", `payca.yaml:5: mapping key "use" already defined`},
		{"an unknown use", "use: tls", "use: web", `payca.yaml:4: profiles[0].use: profile "merchant": use "web": want tls, client, sign`},
		{"a use that the usages contradict", "use: tls", "use: tls\n    key_usage: keyAgreement", `payca.yaml:4: profiles[0].use: profile "merchant": use tls with key_usage "keyAgreement"`},
		{"17 a pattern for all of a top-level domain", `"{party}.shops.example"`, `"*.com"`, `payca.yaml:11: profiles[0].dns.allow[0]: profile "merchant": dns.allow "*.com" has "*" near its end`},
		{"a pattern whose party is near the end", `"{party}.shops.example"`, `"shops.{party}"`, `has "{party}" near its end`},
		{"a pattern with capitals", `"{party}.shops.example"`, `"{party}.Shops.example"`, `has the character 'S'`},
		{"no source of names", "from: request\n      allow: [\"{", "from: anywhere\n      allow: [\"{", `payca.yaml:10: profiles[0].dns.from: profile "merchant": dns.from "anywhere": want party or request or fixed`},
		{"a range with bits of a host", "192.0.2.0/24", "192.0.2.1/24", `payca.yaml:14: profiles[0].addresses.allow[0]: profile "merchant": addresses.allow "192.0.2.1/24": want a range`},
		{"23 a range of mapped addresses", "192.0.2.0/24", `"::ffff:192.0.2.0/120"`, `addresses.allow "::ffff:192.0.2.0/120": want a range`},
		{"anyPolicy", "policies: [1.3.6.1.4.1.99999.1]", "policies: [2.5.29.32.0]", `payca.yaml:15: profiles[0].policies[0]: profile "merchant": policies "2.5.29.32.0": want an object identifier, and not anyPolicy`},
		{"13 basicConstraints from the request", "1.3.6.1.4.1.99999.2", "2.5.29.19", `payca.yaml:16: profiles[0].extensions[0]: profile "merchant": extensions "2.5.29.19": want one that no standard`},
		{"13 nocheck from the request", "1.3.6.1.4.1.99999.2", "1.3.6.1.5.5.7.48.1.5", `want one that no standard`},
		{"an unknown protocol", "[token, renew]", "[token, carrier-pigeon]", `payca.yaml:17: profiles[0].protocols[1]: profile "merchant": protocols "carrier-pigeon": want token, renew`},
		{"a rate without its time", "issued: 10, per: 1d", "issued: 10", `payca.yaml:18: profiles[0].limits: profile "merchant": limits: issued 10 per 0s, want both or neither`},
		{"a negative limit", "valid: 3", "valid: -3", `profiles[0].limits.valid: profile "merchant": limits.valid -3: want 1 to 10000`},
		{"63 k of 0", "k: 2", "k: 0", `payca.yaml:19: profiles[0].approval.k: profile "merchant": approval.k 0: want 1 at least`},
		{"63 k that is negative", "k: 2", "k: -1", `approval.k -1: want 1 at least`},
		{"63 k over the number of approvers", "k: 2", "k: 4", `payca.yaml:19: profiles[0].approval.of: profile "merchant": approval.of 3: want 4 (k) to 100`},
		{"63 a bank that approves a merchant", "by: operators", "by: bank", `approval.by bank: want operators, only consumers have a bank`},
		{"63 approval by nobody", "by: operators", `by: ""`, `approval.by "": want operators or bank`},
		{"a rule that does not parse", `request.key == "P-256"`, `request.key ==`, `payca.yaml:22: profiles[0].rules[0].require: profile "merchant": rule "p256": require, at 1:15: `},
		{"a rule about nothing", `request.key == "P-256"`, `request.kye == "P-256"`, `rule "p256": require, at 1:8: nothing is called "request.kye", want party.id`},
		{"a rule of another type", `request.key == "P-256"`, `request.key`, `is of type string, want bool`},
		{"a rule without a name", "name: p256", "name: P 256", `payca.yaml:21: profiles[0].rules[0].name: profile "merchant": rules.name "P 256": want 1 to 63`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(shopProfile, tt.change, tt.to, 1)
			if text == shopProfile {
				t.Fatalf("%q is not in the profile", tt.change)
			}
			_, err := config.Load(write(t, text+"network: a.example\n"))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
	t.Run("rules for all profiles, told once", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(write(t, "network: a.example\nrules:\n  - name: a\n    require: nobody\n  - name: a\n    require: 'true'\n"))
		want := "payca.yaml:4: rules[0].require: rule \"a\": require, at 1:1: nothing is called \"nobody\""
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), `payca.yaml:5: rules[1].name: rule "a": stands above too`) || strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("got %v, want %q and one line more", err, want)
		}
	})
	t.Run("the profile of OCSP signers for something else", func(t *testing.T) {
		t.Parallel()
		_, err := config.Load(write(t, "network: a.example\nprofiles: [{name: ocsp-signer, role: merchant, use: tls, validity: 7d}]\n"))
		if err == nil || !strings.Contains(err.Error(), `profiles[0].use: profile "ocsp-signer": use "tls": want ocsp-signer`) {
			t.Errorf("got %v", err)
		}
	})
}
