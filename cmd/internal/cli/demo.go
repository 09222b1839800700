package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/demo"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/testdata"
)

func newDemoCommand(a *app) *cobra.Command {
	var file, keep string
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A whole network in one process: enroll, talk, attack, revoke, be refused",
		Long: `Create a network, serve it on loopback, enroll its parties with their own keys, let
merchant, gateway and bank talk by mutual TLS, try a wrong role and a certificate
made with a stolen CA key, revoke the merchant, and show that it is refused. The exit
status is 0 only if all of it happened.`,
		Example: "  payca demo --keep network",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runDemo(cmd.Context(), file, keep)
		},
	}
	cmd.Flags().StringVar(&file, "network", "", "file with the network's name and parties (default: the school and its computer shop)")
	cmd.Flags().StringVar(&keep, "keep", "", "leave the network in this directory")
	return cmd
}

func (a *app) runDemo(ctx context.Context, file, keep string) error {
	parties, err := loadCast(file)
	if err != nil {
		return err
	}
	n := 0
	step := func(s demo.Step) {
		n++
		_ = a.show(s, func(w io.Writer) { fmt.Fprintf(w, "%2d  %s\n", n, s.Text) })
	}
	err = demo.Run(ctx, demo.Config{Network: parties, Keep: keep, Step: step, Logger: slog.New(slog.DiscardHandler)})
	var exists *network.ExistsError
	if errors.As(err, &exists) {
		return fail(ExitFailure, err, "name an empty directory with --keep")
	}
	if err == nil && keep != "" {
		a.storyf("Next: payca serve --dir %s", keep)
	}
	return err
}

// loadCast reads the network file, or the one that payca carries.
func loadCast(file string) (config.Network, error) {
	if file != "" {
		return config.LoadNetwork(file)
	}
	return config.ParseNetwork("school.yaml", testdata.SchoolNetwork)
}
