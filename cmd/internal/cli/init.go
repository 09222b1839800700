package cli

import (
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
)

type initOptions struct {
	https, http, statusURL string
	serverNames            []string
	passphraseFile         string
}

func newInitCommand(a *app) *cobra.Command {
	var o initOptions
	cmd := &cobra.Command{
		Use:   "init [NETWORK]",
		Short: "Create a network: root, one issuing CA per group of roles, configuration, first operator",
		Long: `Create a network in the directory of --dir: a root, one issuing CA per group of
roles, encrypted keys, a store, the configuration and the first operator's
identity. It asks nothing and overwrites nothing.

  NETWORK  name of the network, a DNS name that every certificate carries
           (default pay.internal)`,
		Example: "  payca init pay.example",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := "pay.internal"
			if len(args) == 1 {
				name = args[0]
			}
			return o.run(cmd, a, name)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.https, "https", "127.0.0.1:8443", "address of enrollment and API")
	flags.StringVar(&o.http, "http", "127.0.0.1:8080", "address of OCSP and CRLs")
	flags.StringVar(&o.statusURL, "status-url", "", "base URL of OCSP and CRLs; every certificate carries it for life (default http://localhost:PORT, the port of --http)")
	flags.StringSliceVar(&o.serverNames, "server-name", []string{"localhost"}, "DNS names of this server; the first goes into tokens")
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line opens the keys (default: a random one, kept in ca/passphrase)")
	return cmd
}

// config turns the options into a configuration.
func (o *initOptions) config(name string) (config.Config, error) {
	conf := config.Default(name)
	conf.Listen.HTTPS, conf.Listen.HTTP, conf.ServerNames, conf.StatusURL = o.https, o.http, o.serverNames, o.statusURL
	if conf.StatusURL == "" {
		_, port, err := net.SplitHostPort(o.http)
		if err != nil {
			return conf, usageErrorf("--http is %q, want HOST:PORT", o.http)
		}
		conf.StatusURL = "http://localhost:" + port
	}
	if o.passphraseFile != "" {
		path, err := filepath.Abs(o.passphraseFile)
		if err != nil {
			return conf, err
		}
		conf.Keys.PassphraseFile = path
	}
	if err := conf.Validate(); err != nil {
		return conf, usageErrorf("%v", err)
	}
	return conf, nil
}

func (o *initOptions) run(cmd *cobra.Command, a *app, name string) error {
	conf, err := o.config(name)
	if err != nil {
		return err
	}
	cfg := network.CreateConfig{Dir: a.dir, Config: conf}
	if o.passphraseFile != "" {
		if cfg.Passphrase, err = network.ReadPassphrase(o.passphraseFile); err != nil {
			return err
		}
	}
	created, err := network.Create(cmd.Context(), cfg)
	var exists *network.ExistsError
	if errors.As(err, &exists) {
		return fail(ExitFailure, err, "serve the network that is there with payca serve, or name another directory with --dir")
	}
	if err != nil {
		return err
	}
	fingerprint := enroll.Fingerprint(created.Root)
	if created.PassphraseFile != "" {
		a.storyf("The keys are encrypted; their passphrase is in %s", created.PassphraseFile)
	}
	a.storyf("Next: payca serve")
	return a.show(map[string]any{
		"network": name, "dir": a.dir, "root": fingerprint, "root_not_after": created.Root.NotAfter, "issuers": created.Issuers,
		"passphrase_file": created.PassphraseFile, "operator": created.Operator, "operator_not_after": created.OperatorExpires,
	}, func(w io.Writer) {
		fmt.Fprintf(w, "Created network %s in %s\n", name, a.dir)
		fmt.Fprintf(w, "  root      sha256:%s   until %s   encrypted, keep it offline\n", abbreviate(fingerprint), created.Root.NotAfter.Format("2006-01-02"))
		fmt.Fprintf(w, "  issuing   %s\n", strings.Join(created.Issuers, "  "))
	})
}
