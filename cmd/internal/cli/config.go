package cli

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/cmd/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Check and show the configuration of a CA"}
	cmd.AddCommand(
		a.newCommand(&cobra.Command{
			Use:   "check [FILE]",
			Short: "Check a configuration file",
			Long: `Check a configuration file: every key is known, every value is right. All that is
wrong is told at once, with lines.

  FILE  the file (default: payca.yaml in --dir)`,
			Example: "  payca config check payca.yaml",
		}, &configCheckOptions{app: a}),
		a.newCommand(&cobra.Command{
			Use:   "show [FILE]",
			Short: "Show a configuration with every key and what it means",
			Long: `Show the configuration with every key, also those that the file leaves out.

  FILE  the file (default: payca.yaml in --dir)`,
			Example: "  payca config show --defaults",
		}, &configShowOptions{app: a}),
	)
	return cmd
}

// fileArgument is the configuration file that args name, or the one in --dir.
func (a *app) fileArgument(args []string) (string, error) {
	switch len(args) {
	case 0:
		return filepath.Join(a.dir, config.FileName), nil
	case 1:
		return args[0], nil
	}
	return "", usageErrorf("unexpected argument %q, want one FILE", args[1])
}

// configCheckOptions is payca config check.
type configCheckOptions struct {
	*app
	file string
}

func (o *configCheckOptions) addFlags(*pflag.FlagSet) {}

func (o *configCheckOptions) validate(args []string) (err error) {
	o.file, err = o.fileArgument(args)
	return err
}

func (o *configCheckOptions) run(context.Context) error {
	c, err := config.Load(o.file)
	if err != nil {
		return err
	}
	return o.show(map[string]any{"ok": true, "file": o.file, "network": c.Network}, func(w io.Writer) {
		fmt.Fprintf(w, "ok   %s configures %s\n", o.file, c.Network)
	})
}

// configShowOptions is payca config show.
type configShowOptions struct {
	*app
	file     string
	defaults bool
}

func (o *configShowOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.defaults, "defaults", false, "show what holds where a file says nothing")
}

func (o *configShowOptions) validate(args []string) (err error) {
	if o.defaults && len(args) > 0 {
		return usageErrorf("--defaults with %q, want one of the two", args[0])
	}
	o.file, err = o.fileArgument(args)
	return err
}

func (o *configShowOptions) run(context.Context) error {
	c := config.Default("pay.example")
	if !o.defaults {
		var err error
		if c, err = config.Load(o.file); err != nil {
			return err
		}
	}
	text, err := c.Marshal()
	if o.json {
		text, err = c.JSON()
	}
	if err != nil {
		return err
	}
	_, err = o.out.Write(text)
	return err
}
