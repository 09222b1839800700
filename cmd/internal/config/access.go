package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll/est"
	"github.com/payca/payca/enroll/server"
	"github.com/payca/payca/enroll/step"
	"github.com/payca/payca/policy"
)

// Endpoints lists every endpoint that the configuration can speak of: those of the API and of enrollment.
func Endpoints() []policy.Endpoint {
	return slices.Concat(server.Endpoints(), est.Endpoints(), step.Endpoints(), api.Endpoints())
}

// DefaultAccess is who may call what unless the configuration says something else: operators may do everything, auditors read
// everything, every other party its own, banks approve, and anyone enrolls.
func DefaultAccess() []policy.Access {
	read := []string{
		"GET /v1/parties", "GET /v1/parties/{id}", "GET /v1/tokens", "GET /v1/requests", "GET /v1/requests/{id}",
		"GET /v1/audit/head", "GET /v1/audit/leaves", "GET /v1/audit/hashes", "GET /v1/audit/proof/{index}", "GET /v1/audit/consistency",
		"GET /v1/policy/profiles", "POST /v1/policy/explain", "GET /v1/crls", "GET /v1/crypto", "GET /v1/health",
		"GET /v1/keys", "GET /v1/findings",
	}
	write := []string{
		"POST /v1/parties", "POST /v1/parties/{id}/state", "POST /v1/tokens", "POST /v1/tokens/{id}/cancel", "POST /v1/releases", "POST /v1/requests", "POST /v1/requests/{id}/votes", "GET /v1/backup",
		"POST /v1/keys", "POST /v1/keys/unblock", "POST /v1/rechecks",
	}
	bank := []string{"GET /v1/requests", "GET /v1/requests/{id}", "POST /v1/requests/{id}/votes"}
	return []policy.Access{
		{Role: policy.Anyone, Allow: []string{
			"POST /v1/enroll", "GET /v1/enroll/{id}", "POST /v1/enroll/{id}/votes", "GET /v1/roots", "GET /roots.pem",
			"GET /.well-known/est/cacerts", "GET /.well-known/est/csrattrs", "POST /.well-known/est/simpleenroll", "POST /.well-known/est/serverkeygen",
			"POST /1.0/sign", "GET /1.0/root/{sha}", "GET /1.0/roots", "GET /1.0/roots.pem", "GET /1.0/provisioners", "GET /1.0/health", "GET /1.0/version",
		}},
		{Role: policy.Member, Allow: []string{
			"POST /v1/renew", "POST /v1/issue", "POST /.well-known/est/simplereenroll", "POST /1.0/renew", "POST /1.0/rekey", "POST /1.0/revoke", "GET /v1/certificates", "GET /v1/certificates/{serial}", "POST /v1/revocations",
		}},
		{Role: string(policy.Operator), Allow: slices.Concat(read, write)},
		{Role: string(policy.Auditor), Allow: read},
		{Role: string(policy.IssuingBank), Allow: bank},
		{Role: string(policy.Service), Allow: []string{"GET /v1/node", "GET /v1/node/issued", "GET /v1/node/files/{path...}", "POST /v1/node/delegates"}},
		{Role: string(policy.Wallet), Allow: bank},
	}
}

// AllAccess is the built-in table, with the entries of the configuration in the place of those for the same role or, if there are none, at the end.
func (c *Config) AllAccess() []policy.Access {
	all := DefaultAccess()
	for _, access := range c.Endpoints {
		i := slices.IndexFunc(all, func(b policy.Access) bool { return b.Role == access.Role })
		if i < 0 {
			all = append(all, access)
			continue
		}
		all[i] = access
	}
	return all
}

// CompileEndpoints returns who may call what. The error joins all that is wrong, each a *[FieldError] with the path of the key.
func (c *Config) CompileEndpoints() (*policy.Endpoints, error) {
	if _, faults := policy.NewEndpoints(c.Endpoints, Endpoints()); len(faults) > 0 {
		var errs []error
		for _, fault := range faults {
			errs = append(errs, &FieldError{fmt.Sprintf("endpoints[%d].%s", fault.Item, fault.Key), fault})
		}
		return nil, errors.Join(errs...)
	}
	endpoints, faults := policy.NewEndpoints(c.AllAccess(), Endpoints())
	if len(faults) > 0 { // the built-in table is wrong
		return nil, faults[0]
	}
	return endpoints, nil
}

// checkApprovals says what is wrong with the approvals, also beside those of the profiles.
func (c *Config) checkApprovals(profiles []*policy.Profile) (errs []error) {
	for _, fault := range c.Approvals.Check(profiles) {
		errs = append(errs, &FieldError{"approvals." + fault.Key, fault})
	}
	return errs
}

// A Policy is the part of a configuration that is policy: what a change of needs the approvals that it asks for.
type Policy struct {
	Network   string                 `json:"network"`
	Profiles  []policy.ProfileConfig `json:"profiles"`
	Rules     []policy.RuleConfig    `json:"rules"`
	Approvals policy.Approvals       `json:"approvals"`
	Endpoints []policy.Access        `json:"endpoints"`
}

// Policy returns what is policy of the configuration, as it is written and without the built-in rest, so that another version of
// payca with the same file has the same policy.
func (c *Config) Policy() Policy {
	return Policy{
		Network: c.Network, Profiles: slices.Concat([]policy.ProfileConfig{}, c.Profiles), Rules: slices.Concat([]policy.RuleConfig{}, c.Rules),
		Approvals: c.Approvals, Endpoints: slices.Concat([]policy.Access{}, c.Endpoints),
	}
}

// Parse reads the text of a configuration file; name is what errors call it.
func Parse(name string, data []byte) (Config, error) {
	c := Default("")
	if len(data) > maxSize {
		return Config{}, fmt.Errorf("%s: more than %d KiB", name, maxSize>>10)
	}
	if err := parse(name, data, &c, func() error { return c.Validate() }); err != nil {
		return Config{}, err
	}
	return c, nil
}
