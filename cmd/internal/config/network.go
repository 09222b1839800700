package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/payca/payca/policy"
)

// A Network is a network as a file describes it: its name and its parties.
type Network struct {
	Name    string         // the domain under which the roles live
	Parties []policy.Party // ID, Role, Name and DNSNames are set
}

// networkFile is the form of the file.
type networkFile struct {
	Network string      `yaml:"network"`
	Parties []partyFile `yaml:"parties"`
}

type partyFile struct {
	ID   string      `yaml:"id"`
	Role policy.Role `yaml:"role"`
	Name string      `yaml:"name"`
	DNS  []string    `yaml:"dns"`
}

// LoadNetwork reads the network file at path, a name and a list of parties:
//
//	network: pay.example
//	parties:
//	  - id: shop1
//	    role: merchant
//	    name: Acme Computers
//	    dns: [shop.example.test]
//
// The error joins all that is wrong with the file.
func LoadNetwork(path string) (Network, error) {
	var f networkFile
	if err := readFile(path, &f, func() error { return f.validate() }); err != nil {
		return Network{}, err
	}
	n := Network{Name: f.Network}
	for _, p := range f.Parties {
		n.Parties = append(n.Parties, policy.Party{ID: p.ID, Role: p.Role, Name: p.Name, DNSNames: p.DNS})
	}
	return n, nil
}

func (f *networkFile) validate() error {
	var errs []error
	check := func(path string, err error) {
		if err != nil {
			errs = append(errs, &FieldError{Path: path, Err: err})
		}
	}
	check("network", policy.CheckNetworkName(f.Network))
	for i, p := range f.Parties {
		at := fmt.Sprintf("parties[%d]", i)
		check(at+".id", policy.CheckPartyID(p.ID))
		if slices.ContainsFunc(f.Parties[:i], func(q partyFile) bool { return q.ID == p.ID }) {
			check(at+".id", fmt.Errorf("%q is another party's, want an id of its own", p.ID))
		}
		if _, err := policy.ParseRole(string(p.Role)); err != nil {
			check(at+".role", err)
		}
		if p.Name == "" {
			check(at+".name", errors.New("empty, want the legal name"))
		}
		for j, name := range p.DNS {
			check(fmt.Sprintf("%s.dns[%d]", at, j), policy.CheckDNSName(name))
		}
	}
	return errors.Join(errs...)
}
