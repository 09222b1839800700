package rules

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/cost"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/ext"

	"github.com/payca/payca/policy"
)

// CostLimit bounds the worst case of a rule, in the units of CEL: about one for each
// variable that is read, comparison and ten octets of text. A unit takes some tens of nanoseconds.
const CostLimit = 20_000

// MaxExpression is the length in octets of the longest expression.
const MaxExpression = 2000

// NewCompiler returns a policy.Compiler. The same text under the same name is compiled once. It is safe for
// use by one goroutine at a time.
func NewCompiler() (policy.Compiler, error) {
	env, err := newEnv()
	if err != nil {
		return nil, err
	}
	known := map[policy.RuleConfig]policy.Rule{}
	return func(cfg policy.RuleConfig) (policy.Rule, error) {
		if rule, ok := known[cfg]; ok {
			return rule, nil
		}
		rule, err := compile(env, cfg)
		if err == nil {
			known[cfg] = rule
		}
		return rule, err
	}, nil
}

// WorstCase returns what an expression costs at most, in units of [CostLimit]; an error if it cannot be a rule.
func WorstCase(expression string) (uint64, error) {
	env, err := newEnv()
	if err != nil {
		return 0, err
	}
	_, worst, err := check(env, expression)
	return worst, err
}

// newEnv makes the language: its variables, functions and bounds.
func newEnv() (*cel.Env, error) {
	options := []cel.EnvOption{
		cel.ParserRecursionLimit(50), cel.ParserExpressionSizeLimit(MaxExpression), cel.DefaultUTCTimeZone(true),
		cel.HomogeneousAggregateLiterals(), cel.ExtendedValidations(), ext.Network(),
	}
	for _, v := range vocabulary {
		options = append(options, cel.VariableWithDoc(v.name, v.kind, v.doc))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("preparing the language of rules: %w", err)
	}
	return env, nil
}

// check types an expression and estimates its worst case.
func check(env *cel.Env, text string) (checked *cel.Ast, worst uint64, err error) {
	if n := len(text); n == 0 || n > MaxExpression {
		return nil, 0, fmt.Errorf("require of %d octets, want an expression of 1 to %d", n, MaxExpression)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) && !unicode.IsSpace(r) }) {
		return nil, 0, errors.New("require holds a character that does not show, want it written as an escape")
	}
	checked, issues := env.Compile(text)
	if issues.Err() != nil {
		return nil, 0, explain(issues)
	}
	if checked.OutputType() != cel.BoolType {
		return nil, 0, fmt.Errorf("require %s is of type %s, want bool", quote(text), checked.OutputType())
	}
	estimate, err := env.EstimateCost(checked, estimator{})
	if err != nil {
		return nil, 0, fmt.Errorf("require %s: estimating its cost: %w", quote(text), err)
	}
	if estimate.Max > CostLimit {
		return nil, 0, fmt.Errorf("require %s costs up to %s units, want at most %d: fewer nested macros, shorter texts", quote(text), units(estimate.Max), CostLimit)
	}
	return checked, estimate.Max, nil
}

// compile checks an expression and makes it a rule.
func compile(env *cel.Env, cfg policy.RuleConfig) (policy.Rule, error) {
	checked, _, err := check(env, cfg.Require)
	if err != nil {
		return nil, err
	}
	program, err := env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(CostLimit))
	if err != nil {
		return nil, fmt.Errorf("require %s: %w", quote(cfg.Require), err)
	}
	used := variablesOf(checked)
	want := cfg.Want
	if want == "" {
		want = "true: " + strings.Join(strings.Fields(cfg.Require), " ")
	}
	return func(c *policy.Case) *policy.Violation {
		result, _, err := program.Eval(activation{c})
		if err == nil && result == types.True {
			return nil
		}
		refusal := &policy.Violation{Rule: "rule-" + cfg.Name, Field: "profile " + c.Request.Profile.Name(), Got: show(used, c), Want: want}
		if err != nil {
			refusal.Got = "no result, for " + quote(err.Error()) + "; " + refusal.Got
		}
		return refusal
	}, nil
}

// units writes a cost, which is the greatest number where it has no bound.
func units(n uint64) string {
	if n > 1<<40 {
		return "countless"
	}
	return fmt.Sprint(n)
}

// explain turns the findings of the compiler into one line, without the picture of the source.
func explain(issues *cel.Issues) error {
	var texts []string
	for _, e := range issues.Errors() {
		text := strings.Join(strings.Fields(e.Message), " ")
		if name, ok := strings.CutPrefix(text, "undeclared reference to '"); ok {
			name, _, _ = strings.Cut(name, "'")
			text = fmt.Sprintf("nothing is called %q, want %s", name, names())
		}
		texts = append(texts, fmt.Sprintf("require, at %d:%d: %s", e.Location.Line(), e.Location.Column()+1, text))
		if len(texts) == 3 {
			break
		}
	}
	return errors.New(strings.Join(texts, "; "))
}

func names() string {
	list := make([]string, len(vocabulary))
	for i, v := range vocabulary {
		list[i] = v.name
	}
	return strings.Join(list, ", ")
}

// variablesOf lists the variables that an expression speaks of, in the order of the vocabulary.
func variablesOf(checked *cel.Ast) []string {
	used := map[string]bool{}
	for _, reference := range checked.NativeRep().ReferenceMap() {
		used[reference.Name] = true
	}
	list := []string{}
	for _, v := range vocabulary {
		if used[v.name] {
			list = append(list, v.name)
		}
	}
	return list
}

// An estimator knows how large the values of a case can be.
type estimator struct{}

// EstimateSize implements cost.Estimator.
func (estimator) EstimateSize(node cost.AstNode) *cost.SizeEstimate {
	if size := sizeOf(node.Path()); size > 0 {
		return &cost.SizeEstimate{Max: size}
	}
	return nil
}

// EstimateCallCost implements cost.Estimator: calls cost what CEL says.
func (estimator) EstimateCallCost(string, string, *cost.AstNode, []cost.AstNode) *cost.CallEstimate {
	return nil
}
