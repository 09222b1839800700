package network_test

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/est"
	"github.com/payca/payca/enroll/step"
	"github.com/payca/payca/policy"
)

// says tells whether an answer has the name; those of EST and of step have none.
func says(path, got, want string) bool {
	return got == want || strings.HasPrefix(path, est.Path) || strings.HasPrefix(path, step.Prefix)
}

// TestEveryEndpointAdmitsWhomTheTableSays calls every endpoint in every kind of role, and without a certificate.
func TestEveryEndpointAdmitsWhomTheTableSays(t *testing.T) {
	t.Parallel()
	var conf config.Config
	r := startConfigured(t, network.Config{}, func(c *config.Config) {
		c.Endpoints = []policy.Access{
			{Role: "auditor", Allow: []string{"GET /v1/health", "POST /v1/tokens"}},
			{Role: "merchant", Allow: []string{"GET /v1/parties"}},
			{Role: policy.Anyone, Allow: []string{"POST /v1/enroll", "GET /v1/roots"}},
		}
		conf = *c
	})
	callers := map[policy.Role]string{policy.Operator: r.dir + "/" + network.Operator}
	for _, role := range []policy.Role{policy.Merchant, policy.IssuingBank, policy.Gateway, policy.Auditor} {
		callers[role] = r.enroll(t, string(role)+"1", role)
	}
	endpoints, err := conf.CompileEndpoints()
	must(t, err)
	paths := strings.NewReplacer("{id}", "none", "{serial}", "1234567890abcdef", "{index}", "0")
	refused := 0
	for _, e := range config.Endpoints() {
		method, path, _ := strings.Cut(paths.Replace(e.Pattern), " ")
		if e.Open {
			status, name := r.request(t, nil, method, path, "application/json", nil)
			if want := endpoints.AuthorizeAnyone(e.Pattern) != nil; want != (status == http.StatusForbidden && says(path, name, "wrong-role")) {
				t.Errorf("%s by anyone: got %d %s, want refused %t", e.Pattern, status, name, want)
			}
			continue
		}
		if status, name := r.request(t, nil, method, path, "application/json", nil); status != http.StatusUnauthorized || !says(path, name, "certificate-required") {
			t.Errorf("%s without a certificate: got %d %s, want 401 certificate-required", e.Pattern, status, name)
		}
		for role, dir := range callers {
			who, err := enroll.Open(dir)
			must(t, err)
			status, name := r.request(t, who.TLS(), method, path, "application/json", nil)
			want := endpoints.Authorize(e.Pattern, who.Identity) != nil
			if want {
				refused++
			}
			if want != (status == http.StatusForbidden && says(path, name, "wrong-role")) {
				t.Errorf("%s by a %s: got %d %s, want refused %t", e.Pattern, role, status, name, want)
			}
		}
	}
	logged := 0
	for from := uint64(0); ; {
		leaves, err := r.operator.Leaves(t.Context(), from, 500)
		must(t, err)
		for _, leaf := range leaves {
			e, err := audit.ParseEvent(leaf)
			must(t, err)
			if e.Kind == audit.OperatorRefused && e.Actor != "" {
				logged++
			}
		}
		if from += uint64(len(leaves)); len(leaves) == 0 {
			break
		}
	}
	if logged != refused || refused < 50 {
		t.Errorf("got %d refusals of parties in the log, want each of %d", logged, refused)
	}
}

func TestAPolicyThatNamesNoEndpointDoesNotStart(t *testing.T) {
	t.Parallel()
	conf := configure(t)
	dir := t.TempDir()
	_, err := network.Create(t.Context(), network.CreateConfig{Dir: dir, Config: conf})
	must(t, err)
	conf.Endpoints = []policy.Access{{Role: "operator", Allow: []string{"GET /v1/everything"}}}
	text, err := conf.Marshal()
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, config.FileName), text, 0o600))
	if n, err := network.Open(t.Context(), network.Config{Dir: dir}); err == nil || !strings.Contains(err.Error(), `endpoint "GET /v1/everything": want one that exists`) {
		t.Errorf("got %v, %v, want the endpoint named", n, err)
	}
}
