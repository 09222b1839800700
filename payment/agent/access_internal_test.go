package agent

import (
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

func TestAnEndpointThatIsNotThereIsToldWithItsPlace(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		given []policy.Access
		want  []string
	}{
		{"of another role", []policy.Access{{Role: "consumer", Allow: []string{"GET /healthz", "POST /voids"}}}, []string{`endpoints[0].allow[1]: endpoint "POST /voids": want one that exists`}},
		{"for nobody who exists", []policy.Access{{Role: "shop"}}, []string{`endpoints[0].role: role "shop"`}},
		{"twice", []policy.Access{{Role: "consumer"}, {Role: "consumer"}}, []string{`endpoints[1].role: role "consumer" stands above too`}},
		{"to anyone", []policy.Access{{Role: policy.Anyone, Allow: []string{"GET /catalogue"}}}, []string{"it is called with a certificate"}},
		{
			"two faults",
			[]policy.Access{{Role: "x"}, {Role: "merchant", Allow: []string{"GET /"}}},
			[]string{"endpoints[0].role", "endpoints[1].allow[0]"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, err := compileAccess(policy.Merchant, tt.given)
			for _, want := range tt.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}

func TestTheTableOfEveryRoleCompiles(t *testing.T) {
	t.Parallel()
	for _, role := range policy.Roles() {
		if _, err := compileAccess(role, nil); err != nil {
			t.Errorf("%s: %v", role, err)
		}
	}
}
