package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Main runs payca with the arguments, streams and environment of the process
// until it is done or told to stop, and returns the exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return Run(ctx, Process{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, LookupEnv: os.LookupEnv, Now: time.Now}, os.Args[1:])
}

// A Process is what a command sees of the outside. Every field is needed.
type Process struct {
	In        io.Reader                   // what "-" reads
	Out       io.Writer                   // the result
	Err       io.Writer                   // the story and the errors
	LookupEnv func(string) (string, bool) // as os.LookupEnv
	Now       func() time.Time            // the clock
}

// Run runs one command line, without the name of the program, reports its error and returns the exit code.
func Run(ctx context.Context, p Process, args []string) int {
	a := &app{in: p.In, out: p.Out, err: p.Err, lookupEnv: p.LookupEnv, now: p.Now}
	root := a.root()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return ExitDone
	}
	if !a.started && Code(err) == ExitFailure {
		err = usageErrorf("%w", err)
	}
	if Code(err) == ExitUsage {
		err = a.usageHint(err)
	}
	a.report(err)
	return Code(err)
}

// app is what all commands share. One command line uses it, in one goroutine.
type app struct {
	in        io.Reader
	out, err  io.Writer
	lookupEnv func(string) (string, bool)
	now       func() time.Time

	json  bool   // --json
	quiet bool   // --quiet
	dir   string // --dir
	as    string // --as of payca audit and payca request

	command string // path of the command found: "payca config show"
	started bool   // a command's run was reached: its errors are not about usage
}

// options is one command: its flags are bound, its arguments checked, then it runs.
type options interface {
	addFlags(flags *pflag.FlagSet)
	validate(args []string) error
	run(ctx context.Context) error
}

// root makes the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "payca",
		Short: "A certificate authority for electronic-payment networks",
		Long: `payca issues, renews, revokes and validates the certificates of the consumers,
merchants, gateways and banks of a payment network.

Exit codes: 0 done or nothing to do, 1 failure, 2 usage, 3 due for renewal or waiting for approval,
4 refused by the CA, 5 not valid (expired, revoked, wrong role), 6 CA unreachable.`,
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.command = cmd.CommandPath()
			return a.applyEnv(cmd)
		},
	}
	root.SetIn(a.in)
	root.SetOut(a.out)
	root.SetErr(a.err)
	a.addGlobalFlags(root.PersistentFlags())
	root.AddCommand(
		newInitCommand(a), newServeCommand(a), newDemoCommand(a),
		newEnrollCommand(a), newRenewCommand(a), newRevokeCommand(a), newHoldCommand(a), newReleaseCommand(a),
		newStatusCommand(a), newVerifyCommand(a),
		newPartyCommand(a), newTokenCommand(a), newRequestCommand(a), newCertCommand(a), newKeyCommand(a), newReportCommand(a), newAuditCommand(a), newPolicyCommand(a),
		newExportCommand(a), newCeremonyCommand(a), newBackupCommand(a), newRestoreCommand(a), newRecoverCommand(a), newBenchCommand(a),
		newAgentCommand(a), newPayCommand(a), newSellCommand(a), newTraceCommand(a),
		a.inspectCommand(), a.configCommand(), a.versionCommand(),
	)
	root.SetHelpCommand(a.helpCommand())
	root.InitDefaultCompletionCmd()
	a.finish(root)
	return root
}

func (a *app) addGlobalFlags(flags *pflag.FlagSet) {
	home, _ := a.lookupEnv("HOME")
	flags.BoolVar(&a.json, "json", false, "write the result as one JSON object")
	flags.BoolVar(&a.quiet, "quiet", false, "write nothing but the result and errors")
	flags.StringVar(&a.dir, "dir", filepath.Join(home, ".payca"), "`directory` of payca's files")
	flags.Lookup("dir").DefValue = "~/.payca"
}

// newCommand makes o the command that c describes.
func (a *app) newCommand(c *cobra.Command, o options) *cobra.Command {
	c.Args = cobra.ArbitraryArgs // validate sees to them
	c.DisableFlagsInUseLine = true
	c.PreRunE = func(_ *cobra.Command, args []string) error { return o.validate(args) }
	c.RunE = func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context()) }
	o.addFlags(c.Flags())
	return c
}

// finish gives every command below c its environment variables, and makes a
// noun without a verb show its help and refuse a verb that it does not know.
func (a *app) finish(c *cobra.Command) {
	if !c.Runnable() {
		c.Args = cobra.ArbitraryArgs
		c.DisableFlagsInUseLine = true
		c.SuggestionsMinimumDistance = 2
		c.RunE = func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownCommand(cmd, args[0])
		}
	}
	if run := c.RunE; run != nil {
		c.RunE = func(cmd *cobra.Command, args []string) error {
			a.started = true
			return run(cmd, args)
		}
	}
	note := func(f *pflag.Flag) { f.Usage += " [" + envName(f) + "]" }
	c.LocalNonPersistentFlags().VisitAll(note)
	c.PersistentFlags().VisitAll(note)
	for _, sub := range c.Commands() {
		a.finish(sub)
	}
}

func unknownCommand(c *cobra.Command, name string) error {
	if near := c.SuggestionsFor(name); len(near) > 0 {
		return usageErrorf("unknown command %q, want %q", c.CommandPath()+" "+name, c.CommandPath()+" "+near[0])
	}
	return usageErrorf("unknown command %q", c.CommandPath()+" "+name)
}

// usageHint points at the help of the command that was called, unless err has a hint.
func (a *app) usageHint(err error) error {
	if e, ok := errors.AsType[*exitError](err); ok && e.hint != "" {
		return err
	}
	if a.command == "" {
		a.command = "payca"
	}
	return withHint(err, "see "+a.command+" --help")
}

func (a *app) helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(found, rest[0])
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// envName is the variable that sets the flag.
func envName(f *pflag.Flag) string {
	if f.Name == "dir" {
		return "PAYCA_HOME"
	}
	return "PAYCA_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
}

// applyEnv sets the flags that the command line left alone from the environment.
func (a *app) applyEnv(cmd *cobra.Command) error {
	var err error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		value, ok := a.lookupEnv(envName(f))
		if f.Changed || !ok || value == "" || f.Name == "help" || err != nil {
			return
		}
		if e := cmd.Flags().Set(f.Name, value); e != nil {
			err = usageErrorf("%s=%q: %w", envName(f), value, e)
		}
	})
	return err
}
