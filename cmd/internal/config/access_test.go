package config_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
)

func TestEveryEndpointIsAllowedToSomebody(t *testing.T) {
	t.Parallel()
	var allowed []string
	for _, access := range config.DefaultAccess() {
		allowed = append(allowed, access.Allow...)
	}
	for _, e := range config.Endpoints() {
		if !slices.Contains(allowed, e.Pattern) {
			t.Errorf("%s: got nobody in the built-in table, want somebody", e.Pattern)
		}
	}
	c := config.Default("pay.example")
	if _, err := c.CompileEndpoints(); err != nil {
		t.Errorf("the built-in table: %v", err)
	}
}

func TestAnEntryReplacesThatOfItsRole(t *testing.T) {
	t.Parallel()
	c, err := config.Load(write(t, "network: a.example\nendpoints:\n  - {role: auditor, allow: [GET /v1/health]}\n  - {role: merchant, allow: [GET /v1/health]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	endpoints, err := c.CompileEndpoints()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		role    policy.Role
		pattern string
		want    bool
	}{
		{policy.Auditor, "GET /v1/health", true},
		{policy.Auditor, "GET /v1/parties", false},
		{policy.Operator, "GET /v1/parties", true},
		{policy.Operator, "GET /v1/nothing", false},
		{policy.Merchant, "GET /v1/health", true},
		{policy.Merchant, "GET /v1/certificates", true}, // as a member
		{policy.Merchant, "POST /v1/tokens", false},
		{policy.Merchant, "POST /v1/enroll", false},
		{policy.IssuingBank, "POST /v1/requests/{id}/votes", true},
		{policy.AcquiringBank, "POST /v1/requests/{id}/votes", false},
	} {
		if err := endpoints.Authorize(tt.pattern, policy.Identity{Network: "a.example", Role: tt.role, Party: "x"}); (err == nil) != tt.want {
			t.Errorf("%s by a %s: got %v, want allowed %t", tt.pattern, tt.role, err, tt.want)
		}
	}
}

func TestErrorsOfApprovalsAndEndpointsNameTheLine(t *testing.T) {
	t.Parallel()
	const gateway = "profiles:\n  - {name: gateway, role: gateway, use: tls, validity: 30d, approval: {k: 2, of: 3, by: operators}}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown role", "endpoints:\n  - role: shopkeeper\n    allow: []\n", `payca.yaml:3: endpoints[0].role: role "shopkeeper": want a known role, member or anyone`},
		{"an unknown endpoint", "endpoints:\n  - role: auditor\n    allow:\n      - GET /v1/party\n", `payca.yaml:5: endpoints[0].allow[0]: endpoint "GET /v1/party": want one that exists: GET /v1/`},
		{"another method", "endpoints:\n  - {role: auditor, allow: [PUT /v1/parties]}\n", `endpoint "PUT /v1/parties": want one that exists: GET /v1/parties, POST /v1/parties`},
		{"an endpoint without a method", "endpoints:\n  - {role: auditor, allow: [/v1/tokens]}\n", `endpoint "/v1/tokens": want one that exists: GET /v1/tokens, POST /v1/tokens`},
		{"an endpoint given to a role twice", "endpoints:\n  - {role: auditor, allow: [GET /v1/health, GET /v1/health]}\n", `endpoint "GET /v1/health" stands above too`},
		{"a role given twice", "endpoints:\n  - {role: auditor, allow: []}\n  - {role: auditor, allow: []}\n", `payca.yaml:4: endpoints[1].role: role "auditor" stands above too`},
		{"an operator's endpoint for anyone", "endpoints:\n  - {role: anyone, allow: [POST /v1/tokens]}\n", `endpoint "POST /v1/tokens" to anyone: want roles or member, it is called with a certificate`},
		{"enrollment for a role", "endpoints:\n  - {role: merchant, allow: [POST /v1/enroll]}\n", `endpoint "POST /v1/enroll" to merchant: want anyone, it is called without a certificate`},
		{"an unknown key", "endpoints:\n  - {role: merchant, alow: []}\n", `unknown key "endpoints[0].alow", want "endpoints[0].allow"`},
		{"63 k of 0", "approvals:\n  policy: {k: 0, of: 3, by: operators}\n", `payca.yaml:3: approvals.policy.k: k 0: want 1 at least`},
		{"63 k that is negative", "approvals:\n  issuers: {k: -1, of: 3, by: operators}\n", `payca.yaml:3: approvals.issuers.k: k -1: want 1 at least`},
		{"63 k over of", "approvals:\n  revocation: {k: 4, of: 3, by: operators}\n", `payca.yaml:3: approvals.revocation.of: of 3: want 4 (k) to 100`},
		{"63 more than there are", "approvals:\n  approvers: [a, b]\n  policy: {k: 2, of: 3, by: operators}\n", `payca.yaml:4: approvals.policy.of: of 3: want at most 2, as many as approvers lists`},
		{"63 more than there are, in a profile", "approvals:\n  approvers: [a, b]\n" + gateway, `payca.yaml:3: approvals.approvers: approvers are 2: want at least 3, as profile "gateway" wants 2 of 3 operators`},
		{"63 nobody is named, so that an operator could register another one", "approvals:\n  policy: {k: 1, of: 2, by: operators}\n", `payca.yaml:3: approvals.policy.of: of 2: want at most 0, as many as approvers lists`},
		{"63 the same approver twice", "approvals:\n  approvers: [a, a]\n", `payca.yaml:3: approvals.approvers[1]: "a" stands above too`},
		{"an approver that is no id", "approvals:\n  approvers: [A B]\n", `payca.yaml:3: approvals.approvers[0]: party-id: `},
		{"approval of the policy by a bank", "approvals:\n  policy: {k: 1, of: 1, by: bank}\n", `approvals.policy.by: by bank: want operators`},
		{"approval by nobody", "approvals:\n  policy: {k: 1, of: 1}\n", `approvals.policy.by: by "": want operators or bank`},
		{"one is many", "approvals:\n  many: 1\n", `approvals.many: many 1: want at least 2`},
		{"a request that never ends", "approvals:\n  expire: 91d\n", `approvals.expire: expire 91d: want 1h to 90d`},
		{"approval of the CA's own server", "profiles:\n  - {name: service, role: service, use: tls, validity: 30d, approval: {k: 1, of: 1, by: operators}}\n", `want none, the CA issues its own server certificate under a profile for the role service`},
		{"approval of a key for encryption", "profiles:\n  - {name: gateway-encryption, role: gateway, use: encryption, validity: 30d, approval: {k: 1, of: 1, by: operators}}\n", `want none with keyAgreement`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := config.Load(write(t, "network: a.example\n"+tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestThePolicyOfAFileIsWhatItSays(t *testing.T) {
	t.Parallel()
	load := func(text string) config.Config {
		c, err := config.Load(write(t, "network: a.example\n"+text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	plain, shown := load(""), load("profiles: []\nrules: []\nendpoints: []\napprovals: {approvers: []}\nlog: {level: debug}\n")
	if a, b := mustJSON(t, plain.Policy()), mustJSON(t, shown.Policy()); a != b {
		t.Errorf("got %s and %s for the same policy", a, b)
	}
	for _, text := range []string{"rules: [{name: a, require: 'true'}]\n", "approvals: {many: 3}\n", "endpoints: [{role: auditor, allow: []}]\n"} {
		other := load(text)
		if a, b := mustJSON(t, plain.Policy()), mustJSON(t, other.Policy()); a == b {
			t.Errorf("got %s for %q too, want another policy", a, text)
		}
	}
}

func mustJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// The table in docs/config.md is the built-in one.
func TestTheDocumentedTableIsTheBuiltInOne(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", "config.md"))
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, e := range config.Endpoints() {
		var callers []string
		for _, access := range config.DefaultAccess() {
			if slices.Contains(access.Allow, e.Pattern) {
				callers = append(callers, access.Role)
			}
		}
		rows = append(rows, "| `"+e.Pattern+"` | "+strings.Join(callers, ", ")+" |")
	}
	if want := strings.Join(rows, "\n") + "\n"; !strings.Contains(string(text), want) {
		t.Errorf("docs/config.md: want the rows\n%s", want)
	}
}
