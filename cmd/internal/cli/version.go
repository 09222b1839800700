package cli

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// versionOptions is payca version.
type versionOptions struct{ *app }

func (a *app) versionCommand() *cobra.Command {
	return a.newCommand(&cobra.Command{
		Use:     "version",
		Short:   "Show the version of this program",
		Example: "  payca version --json",
	}, &versionOptions{a})
}

func (o *versionOptions) addFlags(*pflag.FlagSet) {}

func (o *versionOptions) validate(args []string) error { return noArguments(args) }

func (o *versionOptions) run(context.Context) error {
	v := struct {
		Version string `json:"version"`
		Commit  string `json:"commit,omitempty"`
		Go      string `json:"go"`
	}{Version: "devel"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Go = info.GoVersion
		if info.Main.Version != "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				v.Commit = s.Value
			}
		}
	}
	return o.result(v, fmt.Sprintf("payca %s (%s)\n", v.Version, v.Go))
}

// noArguments refuses arguments for a command that takes none.
func noArguments(args []string) error {
	if len(args) > 0 {
		return usageErrorf("unexpected argument %q, want none", args[0])
	}
	return nil
}
