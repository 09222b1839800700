package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/demo"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/testdata"
)

func newDemoCommand(a *app) *cobra.Command {
	var o demoOptions
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "A whole network in one process: enroll, talk, attack, buy, revoke, be refused",
		Long: `Create a network, serve it on loopback, enroll its parties with their own keys, let
merchant, gateway and bank talk by mutual TLS, try a wrong role and a certificate
made with a stolen CA key. Then buy: order, offer, amendment, dual signature,
authorisation, confirmation, receipt, capture and transfer, and once more in the other
mode and by the other route. At last revoke the merchant, and show that it is refused.
The exit status is 0 only if all of it happened.`,
		Example: "  payca demo --keep network",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.runDemo(cmd.Context(), o)
		},
	}
	cmd.Flags().StringVar(&o.network, "network", "", "file with the network's name and parties (default: the school and its computer shop)")
	cmd.Flags().StringVar(&o.order, "order", "", "file with what is bought (default: forty computers for the school)")
	cmd.Flags().StringVar(&o.confirm, "confirm", string(payment.ConfirmRealtime), "how the first purchase is confirmed: realtime, or none as in SET; the second is the other")
	cmd.Flags().StringVar(&o.route, "route", consumer.Direct, "how its instruction gets to the gateway: direct, or relay through the merchant; the second is the other")
	cmd.Flags().StringVar(&o.keep, "keep", "", "leave the network in this directory")
	return cmd
}

type demoOptions struct{ network, order, confirm, route, keep string }

func (a *app) runDemo(ctx context.Context, o demoOptions) error {
	parties, err := loadCast(o.network)
	if err != nil {
		return err
	}
	order, err := loadOrder(o.order)
	if err != nil {
		return err
	}
	if o.confirm != string(payment.ConfirmNone) && o.confirm != string(payment.ConfirmRealtime) {
		return usageErrorf("--confirm is %q, want none or realtime", o.confirm)
	}
	if o.route != consumer.Direct && o.route != consumer.Relay {
		return usageErrorf("--route is %q, want direct or relay", o.route)
	}
	n := 0
	step := func(s demo.Step) {
		n++
		_ = a.show(s, func(w io.Writer) { fmt.Fprintf(w, "%2d  %s\n", n, s.Text) })
	}
	err = demo.Run(ctx, demo.Config{
		Network: parties, Order: order, Confirm: payment.Mode(o.confirm), Route: o.route, Keep: o.keep, Step: step, Logger: slog.New(slog.DiscardHandler),
	})
	var exists *network.ExistsError
	if errors.As(err, &exists) {
		return fail(ExitFailure, err, "name an empty directory with --keep")
	}
	if err == nil && o.keep != "" {
		a.storyf("Next: payca serve --dir %s", o.keep)
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

// loadOrder reads the order file, or the one that payca carries.
func loadOrder(file string) (payment.OrderFile, error) {
	data := testdata.SchoolOrder
	if file != "" {
		var err error
		if data, err = os.ReadFile(file); err != nil {
			return payment.OrderFile{}, err
		}
	}
	return payment.ReadOrderFile(data)
}
