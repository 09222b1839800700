package policy_test

import (
	"strings"
	"testing"

	"github.com/payca/payca/policy"
)

var exist = []policy.Endpoint{{Pattern: "POST /v1/enroll", Open: true}, {Pattern: "GET /v1/things"}, {Pattern: "POST /v1/things"}, {Pattern: "GET /v1/other"}}

func TestWhatIsNotListedIsRefusedToEverybody(t *testing.T) {
	t.Parallel()
	table := []policy.Access{
		{Role: "merchant", Allow: []string{"GET /v1/things"}},
		{Role: policy.Member, Allow: []string{"POST /v1/things"}},
		{Role: policy.Anyone, Allow: []string{"POST /v1/enroll"}},
	}
	e, errs := policy.NewEndpoints(table, exist)
	if len(errs) != 0 {
		t.Fatal(errs)
	}
	for _, role := range policy.Roles() {
		id := policy.Identity{Network: "pay.example", Role: role, Party: "x"}
		for pattern, want := range map[string]bool{
			"GET /v1/things": role == policy.Merchant, "POST /v1/things": true, "GET /v1/other": false, "POST /v1/enroll": false, "GET /v1/unknown": false, "": false,
		} {
			if err := e.Authorize(pattern, id); (err == nil) != want {
				t.Errorf("%q by a %s: got %v, want allowed %t", pattern, role, err, want)
			}
		}
	}
	if err := e.AuthorizeAnyone("POST /v1/enroll"); err != nil {
		t.Error(err)
	}
	for _, none := range []*policy.Endpoints{nil, {}, e} {
		for _, pattern := range []string{"GET /v1/things", "GET /v1/other"} {
			if err := none.AuthorizeAnyone(pattern); err == nil {
				t.Errorf("%s by anyone: got nil", pattern)
			}
		}
		err := none.Authorize("GET /v1/other", policy.Identity{Network: "pay.example", Role: policy.Operator, Party: "x"})
		if err == nil || !strings.Contains(err.Error(), "want nobody") {
			t.Errorf("got %v, want nobody", err)
		}
	}
}

func TestATableIsCheckedAgainstWhatExists(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		access policy.Access
		want   string
	}{
		"an unknown role":            {policy.Access{Role: "shop", Allow: []string{"GET /v1/things"}}, `role "shop": want a known role, member or anyone`},
		"no role":                    {policy.Access{Allow: []string{"GET /v1/things"}}, `role "": want a known role`},
		"an unknown endpoint":        {policy.Access{Role: "merchant", Allow: []string{"GET /v1/thing"}}, `endpoint "GET /v1/thing": want one that exists: GET /v1/things`},
		"an endpoint of all methods": {policy.Access{Role: "merchant", Allow: []string{"/v1/things"}}, `want one that exists: GET /v1/things, POST /v1/things`},
		"a pattern over several":     {policy.Access{Role: "merchant", Allow: []string{"GET /v1/"}}, `want one that exists`},
		"without a certificate":      {policy.Access{Role: policy.Anyone, Allow: []string{"GET /v1/things"}}, `to anyone: want roles or member`},
		"with a certificate":         {policy.Access{Role: policy.Member, Allow: []string{"POST /v1/enroll"}}, `to member: want anyone`},
		"the same twice":             {policy.Access{Role: "merchant", Allow: []string{"GET /v1/things", "GET /v1/things"}}, `stands above too`},
	} {
		_, errs := policy.NewEndpoints([]policy.Access{tt.access}, exist)
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, errs, tt.want)
		}
	}
}
