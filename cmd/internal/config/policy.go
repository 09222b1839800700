package config

import (
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml"

	"github.com/payca/payca/policy"
	"github.com/payca/payca/policy/rules"
)

// AllProfiles returns the built-in profiles, those of the configuration in the
// place of their namesakes or, if they have none, at the end; each for parties with the rules of the configuration after its own.
func (c *Config) AllProfiles() []policy.ProfileConfig {
	all := policy.DefaultProfiles()
	for _, p := range c.Profiles {
		i := slices.IndexFunc(all, func(q policy.ProfileConfig) bool { return q.Name == p.Name })
		if i < 0 {
			all = append(all, p)
			continue
		}
		all[i] = p
	}
	for i := range all {
		if all[i].Role != "" {
			all[i].Rules = slices.Concat(all[i].Rules, c.Rules)
		}
	}
	return all
}

// CompileProfiles returns what may be issued: [Config.AllProfiles], checked, with their rules compiled. The error joins all that is wrong,
// each a *[FieldError] with the path of the key.
func (c *Config) CompileProfiles() ([]*policy.Profile, error) {
	compile, err := rules.NewCompiler()
	if err != nil {
		return nil, err
	}
	errs := c.checkProfileNames()
	if found := c.checkRules(compile); found != nil {
		return nil, errors.Join(append(errs, found...)...)
	}
	var profiles []*policy.Profile
	for _, cfg := range c.AllProfiles() {
		profile, err := policy.CompileProfile(cfg, compile)
		if err != nil {
			errs = append(errs, c.placed(cfg.Name, err)...)
			continue
		}
		profiles = append(profiles, profile)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return profiles, nil
}

func (c *Config) checkProfileNames() (errs []error) {
	for i, p := range c.Profiles {
		if slices.ContainsFunc(c.Profiles[:i], func(q policy.ProfileConfig) bool { return q.Name == p.Name }) {
			errs = append(errs, &FieldError{fmt.Sprintf("profiles[%d].name", i), fmt.Errorf("%q stands above too, want it once", p.Name)})
		}
	}
	return errs
}

// checkRules tries the rules for all profiles on one that has no others, so that what is wrong with them is told once.
func (c *Config) checkRules(compile policy.Compiler) (errs []error) {
	probe := policy.DefaultProfiles()[0]
	probe.Rules = c.Rules
	_, err := policy.CompileProfile(probe, compile)
	for _, fault := range profileErrors(err) {
		errs = append(errs, &FieldError{fault.Key, errors.New(fault.Text)})
	}
	return errs
}

// placed gives each fault of a profile the path of its key in the file.
func (c *Config) placed(name string, err error) (errs []error) {
	i := slices.IndexFunc(c.Profiles, func(p policy.ProfileConfig) bool { return p.Name == name })
	for _, fault := range profileErrors(err) {
		at := fmt.Sprintf("profiles[%d].%s", i, fault.Key)
		if i < 0 { // a built-in one, with too many rules
			at = "rules"
		}
		errs = append(errs, &FieldError{at, fault})
	}
	return errs
}

func profileErrors(err error) (faults []*policy.ProfileError) {
	if err == nil {
		return nil
	}
	for _, one := range listOf(err) {
		if fault, ok := errors.AsType[*policy.ProfileError](one); ok {
			faults = append(faults, fault)
		}
	}
	return faults
}

// ProfileYAML writes a profile as a configuration file has it, without its comments.
func ProfileYAML(cfg policy.ProfileConfig) ([]byte, error) {
	return yaml.MarshalWithOptions(cfg, yaml.IndentSequence(true))
}
