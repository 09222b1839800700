package policy

import (
	"fmt"
	"slices"
	"strings"
)

// A RuleConfig is a condition on requests, as a configuration file has it.
type RuleConfig struct {
	// Name is how refusals call the rule, after "rule-": lower-case letters, digits and hyphens.
	Name string `yaml:"name" json:"name"`
	// Require is the condition, an expression in CEL that must be true.
	Require string `yaml:"require" json:"require"`
	// Want says to who is refused what would be right; the expression if it is not given.
	Want string `yaml:"want,omitempty" json:"want,omitempty"`
}

// A Case is what a rule judges: a request, and what [Decide] would make of it. A rule changes nothing in it.
type Case struct {
	Request  *Request
	Decision *Decision // complete only if no other rule was broken
}

// A Rule judges one case: nil if it has nothing against it. A rule that cannot come to a conclusion
// refuses. Its violation is named after the rule: "rule-NAME". Rules are safe for concurrent use.
type Rule func(c *Case) *Violation

// A Compiler turns the text of a rule into a [Rule]; package policy/rules has one. Its error says what is wrong with the text.
type Compiler func(RuleConfig) (Rule, error)

// maxRules bounds the rules of a profile, and with their cost the time of a decision.
const maxRules = 20

// rules compiles the rules.
func (c *profileChecker) rules(compile Compiler) {
	cfg := c.p.cfg
	if len(cfg.Rules) > maxRules {
		c.wrong("rules", "rules: %d, want at most %d", len(cfg.Rules), maxRules)
		return
	}
	for i, rule := range cfg.Rules {
		at := fmt.Sprintf("rules[%d]", i)
		if strings.Contains(rule.Name, ".") || partyIDFault(rule.Name, true) != "" {
			c.wrong(at+".name", "rules.name %s: want 1 to 63 lower-case letters, digits and hyphens", quote(rule.Name))
		}
		if slices.ContainsFunc(cfg.Rules[:i], func(r RuleConfig) bool { return r.Name == rule.Name }) {
			c.wrong(at+".name", "rule %s: stands above too, want it once", quote(rule.Name))
		}
		if !printable(rule.Want) || len(rule.Want) > 500 {
			c.wrong(at+".want", "rule %s: want of %d octets, want one line of at most 500", quote(rule.Name), len(rule.Want))
		}
		if compile == nil {
			c.wrong(at, "rule %s: want no rules where nothing compiles them", quote(rule.Name))
			continue
		}
		compiled, err := compile(rule)
		if err != nil {
			c.wrong(at+".require", "rule %s: %v", quote(rule.Name), err)
			continue
		}
		c.p.rules = append(c.p.rules, compiled)
	}
}
