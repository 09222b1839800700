package cli

import (
	"context"
	"encoding/json"
	"path/filepath"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/cmd/internal/config"
)

func (a *app) configCommand() *cobra.Command {
	noun := &cobra.Command{Use: "config", Short: "Check or show the configuration"}
	noun.AddCommand(
		a.newCommand(&cobra.Command{
			Use:   "check [FILE]",
			Short: "Say what is wrong with a configuration file",
			Long: `Reads FILE as the CA would and tells everything that is wrong with it, with lines.

FILE is the configuration, payca.yaml in payca's directory if it is left out.`,
			Example: "  payca config check payca.yaml",
		}, &configCheckOptions{app: a}),
		a.newCommand(&cobra.Command{
			Use:   "show [FILE]",
			Short: "Show the configuration with every key and its meaning",
			Long: `Writes the configuration as the CA sees it: what the file says, defaults for the rest,
and a comment above every key. The output is itself a configuration file.

FILE is the configuration, payca.yaml in payca's directory if it is left out.`,
			Example: "  payca config show --defaults",
		}, &configShowOptions{app: a}),
	)
	return noun
}

// configFile is the file that args name, else the one in payca's directory.
func (a *app) configFile(args []string) (string, error) {
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
	o.file, err = o.configFile(args)
	return err
}

func (o *configCheckOptions) run(context.Context) error {
	c, err := config.Load(o.file)
	if err != nil {
		return err
	}
	return o.result(struct {
		File    string `json:"file"`
		Network string `json:"network"`
		OK      bool   `json:"ok"`
	}{o.file, c.Network, true}, "ok   "+printable(o.file)+"   network "+c.Network+"\n")
}

// configShowOptions is payca config show.
type configShowOptions struct {
	*app
	defaults bool
	file     string
}

func (o *configShowOptions) addFlags(flags *pflag.FlagSet) {
	flags.BoolVar(&o.defaults, "defaults", false, "show what a CA has that is told nothing but its network's name")
}

func (o *configShowOptions) validate(args []string) (err error) {
	if o.defaults && len(args) > 0 {
		return usageErrorf("unexpected argument %q, want no FILE with --defaults", args[0])
	}
	o.file, err = o.configFile(args)
	return err
}

func (o *configShowOptions) run(context.Context) error {
	c, story := config.Default("pay.example"), "the defaults; pay.example stands for your network"
	if !o.defaults {
		var err error
		if c, err = config.Load(o.file); err != nil {
			return err
		}
		story = "from " + o.file
	}
	o.storyf("%s", story)
	text, err := c.Marshal()
	if err != nil {
		return err
	}
	object, err := c.JSON()
	if err != nil {
		return err
	}
	return o.result(json.RawMessage(object), string(text))
}
