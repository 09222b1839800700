package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/cmd/internal/agents"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
	"github.com/payca/payca/payment/agent/acquiringbank"
	"github.com/payca/payca/payment/agent/issuingbank"
	"github.com/payca/payca/payment/money"
	"github.com/payca/payca/policy"
)

// agentRoles are the roles that have a payment agent.
var agentRoles = []policy.Role{
	policy.Consumer, policy.Merchant, policy.Gateway, policy.Aggregator, policy.AcquiringBank, policy.Escrow, policy.IssuingBank, policy.Wallet, policy.Confirmer,
}

func newAgentCommand(a *app) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "agent ROLE",
		Short: "Run one payment agent",
		Long: `Run the payment agent of one party until it is interrupted. What a crash left
unfinished is finished first.

  ROLE  consumer, merchant, gateway, acquiring-bank, issuing-bank, confirmer, wallet,
        aggregator or escrow: it must be that of the certificate

payca demo --keep DIR leaves a configuration file for each role in DIR/agents;
docs/payment.md explains them.`,
		Example: "  payca agent gateway --config agents/gw1.yaml",
		Args:    exactly("ROLE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			role, err := agentRole(args[0])
			if err != nil {
				return err
			}
			return a.runAgent(cmd.Context(), role, file)
		},
	}
	addConfigFlag(cmd, &file)
	cmd.AddCommand(newInviteCommand(a))
	return cmd
}

func addConfigFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "config", "", "configuration `file` of the agent (default: the one in --dir/agents for the role)")
}

// agentRole reads the name of a role, with or without hyphens.
func agentRole(name string) (policy.Role, error) {
	names := make([]string, len(agentRoles))
	for i, role := range agentRoles {
		if name == string(role) || name == strings.ReplaceAll(string(role), "-", "") {
			return role, nil
		}
		names[i] = string(role)
	}
	return "", usageErrorf("role %q has no agent, want %s", name, strings.Join(names, ", "))
}

// agentConfig reads a configuration and checks whose it is.
func (a *app) agentConfig(file string, roles ...policy.Role) (*config.Agent, error) {
	if file == "" {
		return a.findAgent(roles)
	}
	conf, err := config.LoadAgent(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(ExitUsage, err, "--config names the agent's file; payca demo --keep DIR writes some into DIR/agents")
	}
	if err != nil {
		return nil, err
	}
	id, err := agents.Identity(&conf)
	if err != nil {
		return nil, fail(ExitFailure, err, "get the identity first: payca enroll TOKEN")
	}
	if !agent.Is(id.Role, roles) {
		return nil, usageErrorf("%s is the agent of %s, want one of the role %s", file, id, roleNames(roles))
	}
	return &conf, nil
}

// findAgent looks in --dir/agents for the only agent of a role.
func (a *app) findAgent(roles []policy.Role) (*config.Agent, error) {
	files, err := filepath.Glob(filepath.Join(a.dir, "agents", "*.yaml"))
	if err != nil {
		return nil, err
	}
	var found []*config.Agent
	for _, file := range files {
		conf, err := config.LoadAgent(file)
		if err != nil {
			return nil, err
		}
		if id, err := agents.Identity(&conf); err == nil && agent.Is(id.Role, roles) {
			found = append(found, &conf)
		}
	}
	if len(found) != 1 {
		return nil, usageErrorf("%s has %d agents of the role %s, want one, or --config FILE", filepath.Join(a.dir, "agents"), len(found), roleNames(roles))
	}
	return found[0], nil
}

func roleNames(roles []policy.Role) string {
	names := make([]string, len(roles))
	for i, role := range roles {
		names[i] = string(role)
	}
	return strings.Join(names, " or ")
}

func (a *app) runAgent(ctx context.Context, role policy.Role, file string) error {
	conf, err := a.agentConfig(file, role)
	if err != nil {
		return err
	}
	r, err := agents.Open(ctx, conf, agents.Options{Logger: a.logger(conf.Log)})
	if err != nil {
		return explainAgent(err)
	}
	where := "calls only"
	if conf.Listen != "" && role != policy.Consumer {
		where = "on " + conf.Listen
	}
	a.storyf("Agent of %s, %s", r.URI(), where)
	defer collectLess()()
	err = errors.Join(r.Run(ctx), r.Close())
	if errors.Is(err, syscall.EADDRINUSE) {
		return fail(ExitFailure, err, "stop the program that listens there, or change listen in the configuration")
	}
	return err
}

// explainAgent gives the remedy for what keeps an agent from starting.
func explainAgent(err error) error {
	var locked *boltlog.LockedError
	if errors.As(err, &locked) {
		return fail(ExitFailure, err, "the agent runs already; its operator's commands work while it runs")
	}
	return explain(err)
}

// operate calls an agent's operations: those of the one that runs, or of one made for this command.
func (a *app) operate(ctx context.Context, file string, roles []policy.Role, do func(conf *config.Agent, network string, client *http.Client) error) error {
	conf, err := a.agentConfig(file, roles...)
	if err != nil {
		return err
	}
	id, err := agents.Identity(conf)
	if err != nil {
		return err
	}
	client, err := agent.DialControl(conf.Path(conf.Data))
	if errors.Is(err, fs.ErrNotExist) {
		r, err := agents.Open(ctx, conf, agents.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			return explainAgent(err)
		}
		return explain(errors.Join(do(conf, id.Network, agent.LocalClient(r.ControlHandler())), r.Close()))
	}
	if err != nil {
		return err
	}
	return explain(do(conf, id.Network, client))
}

// inviteOptions is payca agent invite.
type inviteOptions struct{ file, balance, currency, credit, account string }

func newInviteCommand(a *app) *cobra.Command {
	var o inviteOptions
	cmd := &cobra.Command{
		Use:   "invite PARTY",
		Short: "Open an account at a bank, and print the one-time token that links it",
		Long: `Open an account at the bank of --config for a party, and print the token with which
that party, and no other, links it once: a consumer with payca pay link, a merchant
with payca sell onboard.

  PARTY  id of the party`,
		Example: "  payca agent invite school --config agents/ibank.yaml --balance 1000.00 --currency CNY",
		Args:    exactly("PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.run(cmd.Context(), a, args[0])
		},
	}
	addConfigFlag(cmd, &o.file)
	cmd.Flags().StringVar(&o.balance, "balance", "0", "what is on a consumer's account at the start")
	cmd.Flags().StringVar(&o.currency, "currency", "", "currency of the account, such as CNY")
	cmd.Flags().StringVar(&o.account, "account", "", "let the party pay from this account, in the place of a new one")
	cmd.Flags().StringVar(&o.credit, "credit", "0", "limit of credit of a consumer's account")
	return cmd
}

func (o *inviteOptions) run(ctx context.Context, a *app, party string) error {
	in := issuingbank.InviteRequest{Party: party, Account: o.account}
	if o.account == "" {
		balance, err := amountOf(o.balance, o.currency)
		if err != nil {
			return usageErrorf("--balance, --currency: %w", err)
		}
		credit, err := amountOf(o.credit, o.currency)
		if err != nil {
			return usageErrorf("--credit: %w", err)
		}
		in.Balance, in.Credit = balance, credit.Minor
	}
	banks := append(payment.IssuingRoles(), payment.AcquiringRoles()...)
	return a.operate(ctx, o.file, banks, func(conf *config.Agent, _ string, client *http.Client) error {
		var body any = in
		if id, err := agents.Identity(conf); err != nil {
			return err
		} else if agent.Is(id.Role, payment.AcquiringRoles()) {
			body = acquiringbank.InviteRequest{Party: party, Currency: in.Balance.Currency}
		}
		var out struct {
			Party   string `json:"party"`
			Account string `json:"account,omitempty"`
			Token   string `json:"token"`
		}
		if err := agent.CallControl(ctx, client, "/invite", body, &out); err != nil {
			return err
		}
		a.storyf("Account for %s: %s; the token links it, once", party, out.Account)
		return a.show(out, func(w io.Writer) { fmt.Fprintln(w, out.Token) })
	})
}

// amountOf reads an amount that may be zero.
func amountOf(amount, currency string) (money.Money, error) {
	c, err := money.ParseCurrency(currency)
	if err != nil || amount == "" || amount == "0" {
		return money.New(0, c), err
	}
	return money.Parse(amount, currency)
}
