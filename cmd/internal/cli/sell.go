package cli

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/merchant"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// sellOptions are what the verbs of payca sell share.
type sellOptions struct {
	*app
	file   string
	amount string
	final  bool
	reason string
	client *http.Client
	conf   *config.Agent
}

func newSellCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sell",
		Short: "Ship, capture and void by hand, as a merchant",
		Long:  "The merchant's side of payments. The commands use the merchant's agent, running or not.",
	}
	verb := func(use, short, long, example string, run func(o *sellOptions, ctx context.Context, args []string) error, args cobra.PositionalArgs) (*cobra.Command, *sellOptions) {
		o := &sellOptions{app: a}
		c := &cobra.Command{Use: use, Short: short, Long: short + ".\n\n" + long, Example: "  payca sell " + example, Args: args}
		c.RunE = func(cmd *cobra.Command, args []string) error {
			return a.operate(cmd.Context(), o.file, []policy.Role{policy.Merchant}, func(conf *config.Agent, _ string, client *http.Client) error {
				o.conf, o.client = conf, client
				return run(o, cmd.Context(), args)
			})
		}
		addConfigFlag(c, &o.file)
		cmd.AddCommand(c)
		return c, o
	}
	const target = "  ID  of the payment"
	verb("onboard TOKEN", "Get a payout account with the token of the acquiring bank", "  TOKEN  what payca agent invite printed", "onboard $TOKEN", (*sellOptions).onboard, exactly("TOKEN"))
	verb("list", "List all sales", "The oldest comes first.", "list", (*sellOptions).list, atMost(0))
	verb("show ID", "Show one sale", target, "show $ID", (*sellOptions).show, exactly("ID"))
	verb("revise ID FILE", "Offer other terms, which the consumer must accept", target+"\n  FILE  order in JSON", "revise $ID order.json", (*sellOptions).revise, exactly("ID", "FILE"))
	verb("ship ID", "Note that the goods have left, and capture if nothing was captured yet", target, "ship $ID", (*sellOptions).ship, exactly("ID"))
	capture, o := verb("capture ID", "Capture a part of a payment, or all that is left", target, "capture $ID --amount 100.00", (*sellOptions).capture, exactly("ID"))
	capture.Flags().StringVar(&o.amount, "amount", "", "how much (default: all that is left)")
	capture.Flags().BoolVar(&o.final, "final", false, "release the rest")
	void, o := verb("void ID", "Give up a payment of which nothing was captured", target, "void $ID --reason sold-out", (*sellOptions).void, exactly("ID"))
	void.Flags().StringVar(&o.reason, "reason", "given up by the merchant", "why")
	verb("balance", "Show the account at the acquiring bank", "The bank tells what was paid, less its fee.", "balance", (*sellOptions).balance, atMost(0))
	return cmd
}

func (o *sellOptions) view(ctx context.Context, path string, in any) error {
	var v agent.View
	if err := agent.CallControl(ctx, o.client, path, in, &v); err != nil {
		return err
	}
	return o.showPayment(v)
}

func (o *sellOptions) onboard(ctx context.Context, args []string) error {
	var out agent.Onboarded
	if err := agent.CallControl(ctx, o.client, "/onboard", agent.TokenRequest{Token: args[0]}, &out); err != nil {
		return err
	}
	return o.app.show(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s is paid to %s, less %d.%02d %%\n", out.Merchant, out.Payout, out.Fee/100, out.Fee%100)
	})
}

func (o *sellOptions) list(ctx context.Context, _ []string) error {
	var sales []merchant.Sale
	if err := agent.CallControl(ctx, o.client, "/list", nil, &sales); err != nil {
		return err
	}
	for _, s := range sales {
		err := o.app.show(s, func(w io.Writer) {
			fmt.Fprintf(w, "%s  %-11s  %s, captured %s  %s\n", s.ID, s.State, s.Amount, s.Captured, s.Consumer)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (o *sellOptions) show(ctx context.Context, args []string) error {
	return o.view(ctx, "/show", merchant.Target{ID: args[0]})
}

func (o *sellOptions) revise(ctx context.Context, args []string) error {
	f, err := readOrder(args[1])
	if err != nil {
		return err
	}
	terms := f.Order
	if f.Amendment != nil {
		terms = *f.Amendment
	}
	var out agent.Message
	if err := agent.CallControl(ctx, o.client, "/revise", merchant.Revision{ID: args[0], Terms: terms}, &out); err != nil {
		return err
	}
	return o.view(ctx, "/show", merchant.Target{ID: args[0]})
}

func (o *sellOptions) ship(ctx context.Context, args []string) error {
	return o.view(ctx, "/ship", merchant.Target{ID: args[0]})
}

func (o *sellOptions) capture(ctx context.Context, args []string) error {
	in := merchant.CaptureRequest{ID: args[0], Final: o.final}
	if o.amount != "" {
		var v agent.View
		if err := agent.CallControl(ctx, o.client, "/show", merchant.Target{ID: args[0]}, &v); err != nil {
			return err
		}
		amount, err := money.Parse(o.amount, string(v.Amount.Currency))
		if err != nil {
			return usageErrorf("--amount: %w", err)
		}
		in.Amount = &amount
	}
	return o.view(ctx, "/capture", in)
}

func (o *sellOptions) void(ctx context.Context, args []string) error {
	return o.view(ctx, "/void", merchant.VoidRequest{ID: args[0], Reason: o.reason})
}

func (o *sellOptions) balance(ctx context.Context, _ []string) error {
	var b agent.Balance
	if err := agent.CallControl(ctx, o.client, "/balance", nil, &b); err != nil {
		return err
	}
	return o.showBalance(b)
}
