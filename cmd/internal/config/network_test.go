package config_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
)

func TestTheSampleNetworksHaveOnePartyOfEachPayingRole(t *testing.T) {
	t.Parallel()
	dir := filepath.Join("..", "..", "..", "testdata", "networks")
	for file, want := range map[string]struct {
		name      string
		parties   int
		merchants []string
	}{
		"school.yaml": {"pay.school.example", 6, []string{"shop1"}},
		"harbor.yaml": {"pay.harbor.example", 7, []string{"chandler-north", "chandler-south"}},
	} {
		n, err := config.LoadNetwork(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		byRole := map[policy.Role][]string{}
		for _, p := range n.Parties {
			byRole[p.Role] = append(byRole[p.Role], p.ID)
		}
		if n.Name != want.name || len(n.Parties) != want.parties || strings.Join(byRole[policy.Merchant], " ") != strings.Join(want.merchants, " ") {
			t.Errorf("%s: got %s with %v, want %+v", file, n.Name, byRole, want)
		}
		for _, role := range []policy.Role{policy.Consumer, policy.Gateway, policy.AcquiringBank, policy.IssuingBank, policy.Confirmer} {
			if len(byRole[role]) != 1 {
				t.Errorf("%s: got %d of role %s, want 1", file, len(byRole[role]), role)
			}
		}
	}
}

func TestLoadNetworkRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, text, want string }{
		{"an unknown key of a party", "network: a.example\nparties:\n  - id: x\n    rolle: merchant\n", `payca.yaml:4: unknown key "parties[0].rolle", want "parties[0].role"`},
		{"an unknown role", "network: a.example\nparties:\n  - {id: x, role: shop, name: X}\n", `payca.yaml:3: parties[0].role: role-known: role is "shop", want one of consumer`},
		{"two parties with one id", "network: a.example\nparties:\n  - {id: x, role: merchant, name: X}\n  - {id: x, role: gateway, name: Y}\n", `payca.yaml:4: parties[1].id: "x" is another party's, want an id of its own`},
		{"an id in capitals", "network: a.example\nparties: [{id: X, role: merchant, name: X}]\n", `payca.yaml:2: parties[0].id: party-id: party id is "X"`},
		{"a party without a name", "network: a.example\nparties: [{id: x, role: merchant}]\n", `payca.yaml:2: parties[0].name: empty, want the legal name`},
		{"a wildcard", "network: a.example\nparties: [{id: x, role: merchant, name: X, dns: ['*.test']}]\n", `payca.yaml:2: parties[0].dns[0]: dns-name: DNS name is "*.test"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := write(t, tt.text)
			_, err := config.LoadNetwork(path)
			if got := brief(err, path); !strings.HasPrefix(got, tt.want) || got == "" {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}
