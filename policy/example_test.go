package policy_test

import (
	"fmt"
	"net/url"

	"github.com/payca/payca/policy"
)

func ExampleParseIdentity() {
	u, _ := url.Parse("spiffe://merchant.pay.example/shop1")
	id, err := policy.ParseIdentity(u, "pay.example")
	fmt.Println(id.Role, id.Party, err)

	u, _ = url.Parse("spiffe://gateway.merchant.pay.example/shop1")
	_, err = policy.ParseIdentity(u, "pay.example")
	fmt.Println(err)
	// Output:
	// merchant shop1 <nil>
	// role-known: URI is "spiffe://gateway.merchant.pay.example/shop1", whose host stands for no role, want a host ROLE.pay.example with a known role
}

func ExampleParty_Check() {
	p := policy.Party{
		ID: "shop1", Role: policy.Merchant, Name: "Acme Computers", State: policy.Active,
		DNSNames: []string{"*.shop.test", "gateway.pay.example"},
	}
	for _, v := range policy.ViolationsOf(p.Check("pay.example")) {
		fmt.Println(v.Rule, v.Got)
	}
	// Output:
	// party-dns "*.shop.test", which has the character '*'
	// party-dns "gateway.pay.example", in the network's own domain
}

func ExampleNewProfile() {
	_, err := policy.NewProfile(policy.ProfileConfig{
		Name: "sealed", Role: policy.Gateway, KeyUsage: "keyAgreement", Keys: []string{"RSA"},
	})
	fmt.Println(err)
	// Output:
	// profile "sealed": validity 0s: want 2m to 1826d
	// profile "sealed": keys "RSA": want P-256, P-384 with keyAgreement
}
