package cli

import (
	"bytes"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/policy"
	"github.com/payca/payca/policy/rules"
)

func newPolicyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Show what each role may be issued, and why a request would be refused"}
	cmd.AddCommand(newPolicyShowCommand(a), newPolicyCheckCommand(a), newPolicyExplainCommand(a))
	return cmd
}

func newPolicyShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show [PROFILE]",
		Short: "Show the profiles that the CA has in force",
		Long: `Show the profiles that the CA has in force, one a line; or all of one profile, with every
default filled in, as payca.yaml would have it.

  PROFILE  name of a profile`,
		Example: "  payca policy show merchant",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			profiles, err := client.Profiles(cmd.Context())
			if err != nil {
				return explain(err)
			}
			if len(args) == 1 {
				return a.showProfile(profiles, args[0])
			}
			for _, p := range profiles {
				if err := a.show(p, func(w io.Writer) { fmt.Fprintln(w, profileLine(p.ProfileConfig, p.Use)) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func (a *app) showProfile(profiles []api.Profile, name string) error {
	i := slices.IndexFunc(profiles, func(p api.Profile) bool { return p.Name == name })
	if i < 0 {
		return fail(ExitFailure, fmt.Errorf("the CA has no profile %q", name), "payca policy show lists them")
	}
	text, err := config.ProfileYAML(profiles[i].ProfileConfig)
	if err != nil {
		return err
	}
	return a.show(profiles[i], func(w io.Writer) { fmt.Fprint(w, string(text)) })
}

// profileLine is a profile on one line: name, role, use, validity and whatever else bounds it.
func profileLine(cfg policy.ProfileConfig, use string) string {
	role := string(cfg.Role)
	if role == "" {
		role = "-"
	}
	parts := []string{fmt.Sprintf("%-24s  %-14s  %-11s  %-6s  %s", cfg.Name, role, use, cfg.Validity, strings.Join(cfg.Keys, " "))}
	if cfg.DNS.From != policy.FromParty {
		parts = append(parts, "names from "+cfg.DNS.From)
	}
	if l := cfg.Limits; l.Valid > 0 {
		parts = append(parts, fmt.Sprintf("at most %d valid", l.Valid))
	}
	if l := cfg.Limits; l.Issued > 0 {
		parts = append(parts, fmt.Sprintf("%d per %s", l.Issued, l.Per))
	}
	if a := cfg.Approval; a != nil {
		parts = append(parts, fmt.Sprintf("approved by %d of %d %s", a.K, a.Of, a.By))
	}
	for _, rule := range cfg.Rules {
		parts = append(parts, "rule "+rule.Name)
	}
	return strings.Join(parts, "  ")
}

func newPolicyCheckCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check the profiles and rules of a configuration file",
		Long: `Check the profiles and rules of a configuration file, compile every rule, and show what the file changes:
its profiles, and what each rule costs at worst. No CA need run.

  FILE  the configuration, payca.yaml in payca's directory if it is left out`,
		Example: "  payca policy check payca.yaml",
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			file := filepath.Join(a.dir, config.FileName)
			if len(args) == 1 {
				file = args[0]
			}
			c, err := config.Load(file)
			if err != nil {
				return err
			}
			return a.policyChecked(file, c)
		},
	}
}

// A checkedRule is a rule and its cost.
type checkedRule struct {
	policy.RuleConfig
	Profile string `json:"profile,omitempty"` // the only one that it is for, "" for all
	Cost    uint64 `json:"cost"`              // at worst, of rules.CostLimit
}

func (a *app) policyChecked(file string, c config.Config) error {
	profiles, err := c.CompileProfiles()
	if err != nil {
		return err
	}
	var checked []checkedRule
	add := func(profile string, list []policy.RuleConfig) error {
		for _, rule := range list {
			worst, err := rules.WorstCase(rule.Require)
			if err != nil {
				return err
			}
			checked = append(checked, checkedRule{rule, profile, worst})
		}
		return nil
	}
	err = add("", c.Rules)
	for _, p := range c.Profiles {
		err = errors.Join(err, add(p.Name, p.Rules))
	}
	if err != nil {
		return err
	}
	return a.show(map[string]any{"file": file, "ok": true, "profiles": c.Profiles, "rules": checked}, func(w io.Writer) {
		fmt.Fprintf(w, "ok   %s   %d profiles, %d of them from the file; %d rules\n", file, len(profiles), len(c.Profiles), len(checked))
		for _, p := range profiles {
			if slices.ContainsFunc(c.Profiles, func(cfg policy.ProfileConfig) bool { return cfg.Name == p.Name() }) {
				fmt.Fprintln(w, profileLine(p.Config(), p.Use()))
			}
		}
		for _, r := range checked {
			of := "every profile of parties"
			if r.Profile != "" {
				of = "profile " + r.Profile
			}
			fmt.Fprintf(w, "rule %s   %s   costs at most %d of %d\n", r.Name, of, r.Cost, rules.CostLimit)
		}
	})
}

func newPolicyExplainCommand(a *app) *cobra.Command {
	var req api.ExplainRequest
	cmd := &cobra.Command{
		Use:   "explain CSR",
		Short: "Say whether a request would be issued, and what would come out or every reason against it",
		Long: `Have the CA decide on a certificate request without issuing: every rule is tried, limits are counted and the
certificate that would come out is built and linted. Nothing is reserved, signed or recorded. The exit code is 0
if it would be issued, and 4 if it would be refused.

  CSR  file with a PKCS#10 request, PEM or DER; - reads standard input`,
		Example: "  payca policy explain shop1.csr --party shop1 --profile merchant",
		Args:    exactly("CSR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if req.Party == "" {
				return usageErrorf("--party is missing")
			}
			var err error
			if req.CSR, err = a.readRequest(args[0]); err != nil {
				return err
			}
			client, err := a.operator()
			if err != nil {
				return err
			}
			answer, err := client.Explain(cmd.Context(), req)
			if err != nil {
				return explain(err)
			}
			return a.showExplanation(answer)
		},
	}
	cmd.Flags().StringVar(&req.Party, "party", "", "id of the party that asks")
	cmd.Flags().StringVar(&req.Profile, "profile", "", "profile of the certificate (default: the one of the party's role)")
	cmd.Flags().StringVar(&req.Protocol, "protocol", "token", "as if it were asked for in this way: "+strings.Join(policy.Protocols(), ", "))
	return cmd
}

// readRequest reads a PKCS#10 request, in PEM or DER. What it says is for the CA to judge.
func (a *app) readRequest(file string) ([]byte, error) {
	in := a.in
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, fail(ExitUsage, err, "")
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, 2*policy.MaxCSR))
	if err != nil {
		return nil, err
	}
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		return data, nil
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE REQUEST" || block.Type == "NEW CERTIFICATE REQUEST" {
			return block.Bytes, nil
		}
	}
	return nil, fail(ExitUsage, fmt.Errorf("%s holds no CERTIFICATE REQUEST", file), "")
}

// showExplanation prints what the CA would do; it ends with 4 for a refusal.
func (a *app) showExplanation(answer api.Explanation) error {
	if !answer.Issued {
		err := a.show(answer, func(w io.Writer) {
			fmt.Fprintf(w, "would be refused   %s   profile %s\n", answer.Party, answer.Profile)
			for _, v := range answer.Violations {
				fmt.Fprintf(w, "  %s\n", v)
			}
		})
		return errors.Join(err, silent(ExitRefused))
	}
	draft, err := inspectCertificate(answer.Certificate)
	if err != nil {
		return err
	}
	draft.drop("serial", "sha256") // of the draft alone
	draft.add("serial", "chosen when it is issued")
	return a.show(explained{answer, draft}, func(w io.Writer) {
		fmt.Fprintf(w, "would be issued   %s   profile %s   by the %s CA\n", answer.Party, answer.Profile, answer.Issuer)
		if ap := answer.Approval; ap != nil {
			fmt.Fprintf(w, "after approval   by %d of %d %s\n", ap.K, ap.Of, strings.Join(ap.By, ", "))
		}
		var text strings.Builder
		draft.text(&text, "")
		fmt.Fprint(w, text.String())
	})
}

// explained is an explanation with the certificate taken apart, in the place of its bytes.
type explained struct {
	answer api.Explanation
	draft  *object
}

// MarshalJSON writes the members of the explanation.
func (e explained) MarshalJSON() ([]byte, error) {
	e.answer.Certificate = nil
	return json.Marshal(struct {
		api.Explanation
		Certificate *object `json:"certificate"`
	}{e.answer, e.draft})
}
