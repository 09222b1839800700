package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
)

type serveOptions struct{ passphraseFile, only, config string }

func newServeCommand(a *app) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the CA: enrollment, status, API, audit",
		Long: `Run the network in the directory of --dir until it is interrupted: enrollment and
API over https, OCSP and CRLs over http. What a crash left open is closed first.

With --only status it is a status node instead: it answers OCSP and serves CRLs for a CA
on another machine, with a key of its own and none of the CA's. docs/status.md explains it.`,
		Example: "  payca serve\n  payca serve --only status --config status.yaml",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd, a) },
	}
	cmd.Flags().StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line opens the keys (default: the configured one)")
	cmd.Flags().StringVar(&o.only, "only", "", "run only a part: status")
	cmd.Flags().StringVar(&o.config, "config", "", "configuration `file` of the status node (default: "+config.NodeFileName+" in --dir)")
	return cmd
}

func (o *serveOptions) run(cmd *cobra.Command, a *app) error {
	ctx := cmd.Context()
	switch {
	case o.only == "status":
		return o.runNode(ctx, a)
	case o.only != "":
		return usageErrorf("--only is %q, want status", o.only)
	case o.config != "":
		return usageErrorf("--config is for --only status; the CA reads %s in --dir", config.FileName)
	}
	conf, err := network.LoadConfig(a.dir)
	if err != nil {
		return explainOpen(err, a.dir)
	}
	n, err := network.Open(ctx, network.Config{Dir: a.dir, PassphraseFile: o.passphraseFile, Logger: a.logger(conf.Log)})
	if err != nil {
		return explainOpen(err, a.dir)
	}
	listeners, err := n.Listen()
	if err != nil {
		err = errors.Join(err, n.Close())
		if errors.Is(err, syscall.EADDRINUSE) {
			return fail(ExitFailure, err, "stop the program that listens there, or change listen in "+config.FileName)
		}
		return err
	}
	a.storyf("Serving %s on %s, status on %s", n.Name(), n.URL(), n.StatusURL())
	defer collectLess()()
	return n.Serve(ctx, listeners)
}

// explainOpen gives the remedy for what keeps a network from opening.
func explainOpen(err error, dir string) error {
	var locked *boltstore.LockedError
	var restored *network.RestoredError
	var older *status.NumberError
	var pin *ca.PinError
	switch {
	case errors.As(err, &pin):
		return fail(ExitFailure, err, "put back what was in force and serve; payca request propose "+pin.Kind+" asks for a change")
	case errors.As(err, &older):
		return fail(ExitFailure, err, fmt.Sprintf("payca recover --crl-floor %d --log-floor N raises the numbers after an older store was put back; payca recover --help says more", older.Published))
	case errors.As(err, &restored):
		return fail(ExitFailure, err, "payca recover --crl-floor N --log-floor N, or --no-newer if nothing happened after the backup; payca recover --help says more")
	case errors.Is(err, network.ErrNoNetwork):
		return fail(ExitFailure, err, "create one: payca init --dir "+dir)
	case errors.As(err, &locked):
		return fail(ExitFailure, err, "use the server that runs, or stop it first")
	case errors.Is(err, ca.ErrPassphrase):
		return fail(ExitFailure, err, "name the file with the right one: --passphrase-file FILE, or keys.passphrase_file in "+config.FileName)
	}
	return err
}

// logger writes to stderr as the configuration says, with --quiet warnings and worse only.
func (a *app) logger(conf config.Log) *slog.Logger {
	var options slog.HandlerOptions
	level := new(slog.LevelVar)
	options.Level = level
	if err := level.UnmarshalText([]byte(conf.Level)); err != nil || a.quiet {
		level.Set(slog.LevelWarn)
	}
	if conf.Format == "json" {
		return slog.New(slog.NewJSONHandler(a.err, &options))
	}
	return slog.New(slog.NewTextHandler(a.err, &options))
}
