package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// app is what every command shares: the global flags.
type app struct {
	dir   string // PAYCA_HOME
	json  bool
	quiet bool
}

// Main runs payca with the arguments of the process and returns its exit status.
func Main() int { return Run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr) }

// Run runs payca with the given arguments and streams, and returns its exit status.
func Run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return report(stderr, root.Execute())
}

func newRootCommand() *cobra.Command {
	a := &app{}
	root := &cobra.Command{
		Use:   "payca",
		Short: "A certificate authority and identity service for electronic-payment networks",
		Long: `payca is a certificate authority and identity service for electronic-payment
networks: it issues and revokes the certificates of consumers, merchants, gateways
and banks, and answers whether they are good.

Exit status: 0 done, 1 failure, 2 usage, 3 due for renewal, 4 refused by the CA,
5 not valid, 6 CA unreachable. Every flag can be set by a variable: --json by
PAYCA_JSON, --server-name by PAYCA_SERVER_NAME.`,
		Example:       "  payca demo\n  payca init pay.example && payca serve",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSubcommand,
		RunE:          showHelp,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			return a.prepare(cmd)
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = false
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fail(exitUsage, err, "see "+cmd.CommandPath()+" --help")
	})
	flags := root.PersistentFlags()
	flags.StringVar(&a.dir, "dir", "", "where identities and networks are kept (default ~/.payca; also PAYCA_HOME)")
	flags.BoolVar(&a.json, "json", false, "print the result as JSON: one object, or one a line for lists")
	flags.BoolVarP(&a.quiet, "quiet", "q", false, "print only the result and errors")
	root.AddCommand(
		newInitCommand(a), newServeCommand(a), newDemoCommand(a),
		newEnrollCommand(a), newRenewCommand(a), newRevokeCommand(a),
		newStatusCommand(a), newVerifyCommand(a), newInspectCommand(a),
		newPartyCommand(a), newTokenCommand(a), newCertCommand(a), newAuditCommand(a),
		newConfigCommand(a), newVersionCommand(a),
	)
	return root
}

// prepare sets the flags that the command line left alone from the environment.
func (a *app) prepare(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(flag *pflag.Flag) {
		value, ok := os.LookupEnv(variable(flag.Name))
		if !ok || flag.Changed || flag.Name == "help" || err != nil {
			return
		}
		if setErr := cmd.Flags().Set(flag.Name, value); setErr != nil {
			err = usageError("%s is %q: %v", variable(flag.Name), value, setErr)
		}
	})
	if err != nil || a.dir != "" {
		return err
	}
	if a.dir = os.Getenv("PAYCA_HOME"); a.dir != "" {
		return nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return fail(exitFailure, err, "name a directory with --dir or PAYCA_HOME")
	}
	a.dir = filepath.Join(home, ".payca")
	return nil
}

// variable is the environment variable of a flag.
func variable(flag string) string {
	return "PAYCA_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// show prints a result: v as one line of JSON with --json, else what text writes.
func (a *app) show(cmd *cobra.Command, v any, text func(io.Writer)) error {
	if !a.json {
		text(cmd.OutOrStdout())
		return nil
	}
	encoder := json.NewEncoder(cmd.OutOrStdout())
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// story tells on stderr what happens and what is next.
func (a *app) story(cmd *cobra.Command, format string, args ...any) {
	if !a.quiet {
		fmt.Fprintf(cmd.ErrOrStderr(), format+"\n", args...)
	}
}

// abbreviate shortens a fingerprint for people: d8ba…af04.
func abbreviate(fingerprint string) string {
	if len(fingerprint) < 12 {
		return fingerprint
	}
	return fingerprint[:4] + "…" + fingerprint[len(fingerprint)-4:]
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// noSubcommand refuses words that name no subcommand.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var known []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			known = append(known, sub.Name())
		}
	}
	return fail(exitUsage, fmt.Errorf("%s has no command %q", cmd.CommandPath(), args[0]), "want one of "+strings.Join(known, ", "))
}

// atMost takes up to n words.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return fail(exitUsage, fmt.Errorf("unexpected %q", args[n]), "see "+cmd.CommandPath()+" --help")
		}
		return nil
	}
}

// exactly takes one word for each name.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < len(names) {
			return fail(exitUsage, fmt.Errorf("%s is missing", names[len(args)]), "see "+cmd.CommandPath()+" --help")
		}
		return atMost(len(names))(cmd, args)
	}
}
