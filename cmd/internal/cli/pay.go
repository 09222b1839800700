package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/consumer"
	"github.com/payca/payca/policy"
)

// payOptions are what the verbs of payca pay share.
type payOptions struct {
	*app
	file    string
	issuer  string
	wait    int64
	choice  consumer.Choice
	mode    string
	what    string
	network string
	conf    *config.Agent
	client  *http.Client
}

func newPayCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pay",
		Short: "Order, accept, pay and confirm by hand, as a consumer",
		Long: `The consumer's side of a payment, step by step. The commands use the consumer's agent if
it runs (payca agent consumer), or do without.`,
	}
	verb := func(use, short, long, example string, run func(o *payOptions, ctx context.Context, args []string) error, args cobra.PositionalArgs) (*cobra.Command, *payOptions) {
		o := &payOptions{app: a}
		c := &cobra.Command{Use: use, Short: short, Long: short + ".\n\n" + long, Example: "  payca pay " + example, Args: args}
		c.RunE = func(cmd *cobra.Command, args []string) error {
			return a.operate(cmd.Context(), o.file, []policy.Role{policy.Consumer}, func(conf *config.Agent, network string, client *http.Client) error {
				o.conf, o.network, o.client = conf, network, client
				return run(o, cmd.Context(), args)
			})
		}
		addConfigFlag(c, &o.file)
		cmd.AddCommand(c)
		return c, o
	}
	const payee = "  MERCHANT  id of a peer in the configuration"
	const target = "  ID  of the payment, as payca pay order prints it"
	link, o := verb("link TOKEN", "Link an account with the token of its bank", "  TOKEN  what payca agent invite printed; - reads it from standard input", "link - --issuer ibank <token.txt", (*payOptions).link, exactly("TOKEN"))
	link.Flags().StringVar(&o.issuer, "issuer", "", "id of the bank, a peer in the configuration")
	verb("catalogue MERCHANT", "List what a merchant sells", payee, "catalogue shop1", (*payOptions).catalogue, exactly("MERCHANT"))
	verb("order MERCHANT FILE", "Ask a merchant for an offer", payee+"\n  FILE      order in JSON, as testdata/orders has", "order shop1 order.json", (*payOptions).order, exactly("MERCHANT", "FILE"))
	verb("amend ID FILE", "Ask for other terms", target+"\n  FILE  its amendment, or else its order, is what is wanted", "amend $ID order.json", (*payOptions).amend, exactly("ID", "FILE"))
	verb("refresh ID", "See whether the merchant has revised its offer", target, "refresh $ID", (*payOptions).refresh, exactly("ID"))
	accept, o := verb("accept ID", "Accept the newest offer with a dual signature", target, "accept $ID", (*payOptions).accept, exactly("ID"))
	accept.Flags().StringVar(&o.choice.Instrument, "instrument", "card", "one that the offer lists")
	accept.Flags().StringVar(&o.mode, "confirm", string(payment.ConfirmRealtime), "how the payment is confirmed: none, realtime or deferred")
	accept.Flags().StringVar(&o.choice.Route, "route", consumer.Direct, "how the instruction gets to the gateway: direct, or relay through the merchant")
	accept.Flags().StringVar(&o.issuer, "issuer", "", "id of the bank to pay from (default: any with an account in the currency)")
	accept.Flags().BoolVar(&o.choice.Changed, "changed", false, "accept an offer that differs from what was ordered")
	send, _ := verb("send ID", "Send the instruction to the gateway and wait for the banks", target, "send $ID", (*payOptions).send, exactly("ID"))
	send.Aliases = []string{"pay"}
	confirm, o := verb("confirm ID", "Answer the confirmer, for the amount and payee that were signed", target, "confirm $ID", (*payOptions).confirm, exactly("ID"))
	confirm.Flags().Int64Var(&o.wait, "wait", 10, "seconds to wait until the confirmer asks")
	delivered, o := verb("delivered ID", "Sign for the goods", target, "delivered $ID", (*payOptions).delivered, exactly("ID"))
	delivered.Flags().StringVar(&o.what, "what", "complete", "what was delivered")
	show, o := verb("show [ID]", "Show one payment as the merchant has it, or list all", target, "show $ID", (*payOptions).show, atMost(1))
	show.Flags().Int64Var(&o.wait, "wait", 0, "seconds to wait for the receipt")
	balance, o := verb("balance", "Show the account at a bank", "The bank tells what is posted, held and available.", "balance --issuer ibank", (*payOptions).balance, atMost(0))
	balance.Flags().StringVar(&o.issuer, "issuer", "", "id of the bank, a peer in the configuration")
	return cmd
}

// peer returns the identity of a peer that a flag or argument names.
func (o *payOptions) peer(id string) (string, error) {
	uri, err := o.conf.URI(o.network, id)
	if err != nil {
		return "", usageErrorf("%w", err)
	}
	return uri, nil
}

// bank returns the identity of the bank that --issuer names, or of the only one among the peers.
func (o *payOptions) bank() (string, error) {
	id := o.issuer
	for _, p := range o.conf.Peers {
		if o.issuer == "" && agent.Is(p.Role, payment.IssuingRoles()) {
			if id != "" {
				return "", usageErrorf("the configuration has several issuing banks, want --issuer ID")
			}
			id = p.ID
		}
	}
	return o.peer(id)
}

func (o *payOptions) link(ctx context.Context, args []string) error {
	bank, err := o.bank()
	if err != nil {
		return err
	}
	token := args[0]
	if token == "-" {
		raw, err := io.ReadAll(io.LimitReader(o.in, 64<<10))
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(raw))
	}
	var out consumer.Linked
	if err := agent.CallControl(ctx, o.client, "/link", consumer.LinkRequest{Issuer: bank, Token: token}, &out); err != nil {
		return err
	}
	return o.app.show(out, func(w io.Writer) { fmt.Fprintf(w, "Linked an account in %s at %s\n", out.Currency, out.Issuer) })
}

func (o *payOptions) catalogue(ctx context.Context, args []string) error {
	uri, err := o.peer(args[0])
	if err != nil {
		return err
	}
	var out agent.Catalogue
	if err := agent.CallControl(ctx, o.client, "/catalogue", consumer.MerchantRequest{URI: uri}, &out); err != nil {
		return err
	}
	return o.app.show(out, func(w io.Writer) {
		for _, item := range out.Items {
			fmt.Fprintf(w, "%-12s  %14s  %s\n", item.SKU, item.UnitPrice, item.Model)
			for _, choice := range item.Choices {
				fmt.Fprintf(w, "%-12s  %14s  %s: %s\n", "", "", choice.Name, strings.Join(choice.Values, " or "))
			}
		}
	})
}

func (o *payOptions) order(ctx context.Context, args []string) error {
	uri, err := o.peer(args[0])
	if err != nil {
		return err
	}
	f, err := readOrder(args[1])
	if err != nil {
		return err
	}
	return o.offered(ctx, "/order", consumer.OrderRequest{Merchant: uri, Terms: f.Order})
}

func (o *payOptions) amend(ctx context.Context, args []string) error {
	f, err := readOrder(args[1])
	if err != nil {
		return err
	}
	terms := f.Order
	if f.Amendment != nil {
		terms = *f.Amendment
	}
	return o.offered(ctx, "/amend", consumer.AmendRequest{ID: args[0], Terms: terms})
}

func (o *payOptions) refresh(ctx context.Context, args []string) error {
	return o.offered(ctx, "/refresh", consumer.Target{ID: args[0]})
}

func readOrder(path string) (payment.OrderFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return payment.OrderFile{}, err
	}
	f, err := payment.ReadOrderFile(data)
	if err != nil {
		return f, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// offered shows an offer, and how it differs from what was asked for.
func (o *payOptions) offered(ctx context.Context, path string, in any) error {
	var out consumer.Offered
	if err := agent.CallControl(ctx, o.client, path, in, &out); err != nil {
		return err
	}
	return o.app.show(out, func(w io.Writer) {
		fmt.Fprintf(w, "%s  revision %d  %s  until %s\n", out.ID, out.Rev, out.Total, out.Expires.Format("2006-01-02 15:04:05Z"))
		for _, line := range out.Offer.Lines {
			fmt.Fprintf(w, "  %d x %s at %s\n", line.Quantity, line.Model, line.UnitPrice)
		}
		for _, c := range out.Since {
			fmt.Fprintf(w, "  changed %s\n", c)
		}
		if len(out.Changes) == 0 {
			fmt.Fprintln(w, "  exactly what was ordered")
		}
		for _, c := range out.Changes {
			fmt.Fprintf(w, "  NOT as ordered: %s\n", c)
		}
	})
}

func (o *payOptions) accept(ctx context.Context, args []string) error {
	o.choice.Mode = payment.Mode(o.mode)
	if o.issuer != "" {
		uri, err := o.peer(o.issuer)
		if err != nil {
			return err
		}
		o.choice.Issuer = uri
	}
	return o.view(ctx, "/accept", consumer.AcceptRequest{ID: args[0], Choice: o.choice})
}

func (o *payOptions) send(ctx context.Context, args []string) error {
	return o.view(ctx, "/pay", consumer.Target{ID: args[0]})
}

func (o *payOptions) confirm(ctx context.Context, args []string) error {
	var out consumer.Answered
	if err := agent.CallControl(ctx, o.client, "/confirm", consumer.WaitRequest{ID: args[0], Wait: o.wait}, &out); err != nil {
		return err
	}
	return o.app.show(out, func(w io.Writer) { fmt.Fprintf(w, "%s  %s\n", out.ID, out.Result) })
}

func (o *payOptions) delivered(ctx context.Context, args []string) error {
	if err := agent.CallControl(ctx, o.client, "/delivered", consumer.DeliveredRequest{ID: args[0], What: o.what}, &struct{}{}); err != nil {
		return err
	}
	return o.view(ctx, "/await", consumer.WaitRequest{ID: args[0]})
}

func (o *payOptions) show(ctx context.Context, args []string) error {
	if len(args) == 1 {
		return o.view(ctx, "/await", consumer.WaitRequest{ID: args[0], Wait: o.wait})
	}
	var list []payment.Progress
	if err := agent.CallControl(ctx, o.client, "/list", nil, &list); err != nil {
		return err
	}
	for _, p := range list {
		if err := o.app.show(p, func(w io.Writer) { fmt.Fprintf(w, "%s  %-11s  %s\n", p.ID, p.State, p.Amount) }); err != nil {
			return err
		}
	}
	return nil
}

func (o *payOptions) view(ctx context.Context, path string, in any) error {
	var v agent.View
	if err := agent.CallControl(ctx, o.client, path, in, &v); err != nil {
		return err
	}
	return o.app.showPayment(v)
}

// showPayment prints a payment, its captures and the objects that prove it.
func (a *app) showPayment(v agent.View) error {
	return a.show(v, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s  %s to %s\n", v.ID, v.State, v.Amount, v.Merchant)
		if v.Reason != "" {
			fmt.Fprintf(w, "  %s\n", v.Reason)
		}
		for _, part := range v.Parts {
			fmt.Fprintf(w, "  capture %d  %s  %s\n", part.Seq, part.Amount, part.State)
		}
		for _, kind := range []payment.Kind{payment.KindAuthRes, payment.KindReceipt, payment.KindTransferred, payment.KindVoided} {
			for _, object := range v.Objects[string(kind)] {
				fmt.Fprintf(w, "  %-12s sha256 %s\n", kind, payment.Object(object).Digest())
			}
		}
	})
}

func (o *payOptions) balance(ctx context.Context, _ []string) error {
	bank, err := o.bank()
	if err != nil {
		return err
	}
	var raw json.RawMessage
	if err := agent.CallControl(ctx, o.client, "/balance", consumer.MerchantRequest{URI: bank}, &raw); err != nil {
		return err
	}
	var list []agent.Balance
	if err := json.Unmarshal(raw, &list); err != nil {
		return err
	}
	for _, b := range list {
		if err := o.app.showBalance(b); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) showBalance(b agent.Balance) error {
	return a.show(b, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s, held %s, available %s\n", b.Account, b.Posted, b.Held, b.Available)
	})
}
