package cli

import (
	"fmt"
	"io"
	"net/netip"

	"github.com/spf13/cobra"

	"github.com/payca/payca/policy"
)

func newPartyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "party", Short: "Register the network's parties and look them up"}
	cmd.AddCommand(newPartyAddCommand(a), newPartyListCommand(a), newPartyShowCommand(a),
		newStateCommand(a, policy.Suspended), newStateCommand(a, policy.Active), newStateCommand(a, policy.Closed))
	return cmd
}

type partyAddOptions struct {
	role, name, bank string
	statusNode       bool
	dns, ips         []string
}

func newPartyAddCommand(a *app) *cobra.Command {
	var o partyAddOptions
	cmd := &cobra.Command{
		Use:   "add ID",
		Short: "Register a party",
		Long: `Register a party. Its certificates carry what is registered here, and nothing
that a certificate request asks for beyond it.

  ID  id of the party: lower-case letters, digits, dots and hyphens, at most 63`,
		Example: `  payca party add shop1 --role merchant --name 'Acme Computers' --dns shop.example.test`,
		Args:    exactly("ID"),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, a, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.role, "role", "", "what the party is: consumer, merchant, gateway, issuing-bank, acquiring-bank, ... (required)")
	flags.StringVar(&o.name, "name", "", "legal name, the organisation of the subject (default: ID)")
	flags.StringVar(&o.bank, "bank", "", "of a consumer: id of the issuing bank or wallet that may approve its enrollment")
	flags.BoolVar(&o.statusNode, "status-node", false, "of a service: it may answer status questions for every issuing CA")
	flags.StringSliceVar(&o.dns, "dns", nil, "DNS name that its servers may carry; may be repeated")
	flags.StringSliceVar(&o.ips, "ip", nil, "IP address that its servers may carry; may be repeated")
	return cmd
}

func (o *partyAddOptions) run(cmd *cobra.Command, a *app, id string) error {
	if o.role == "" {
		return usageErrorf("--role is missing, want what %s is, such as merchant", id)
	}
	role, err := policy.ParseRole(o.role)
	if err != nil {
		return usageErrorf("%v", err)
	}
	party := policy.Party{ID: id, Role: role, Name: o.name, Bank: o.bank, DNSNames: o.dns, State: policy.Active, StatusNode: o.statusNode}
	if party.Name == "" {
		party.Name = id
	}
	for _, text := range o.ips {
		address, err := netip.ParseAddr(text)
		if err != nil {
			return usageErrorf("--ip is %q, want an IP address", text)
		}
		party.Addresses = append(party.Addresses, address)
	}
	client, err := a.operator()
	if err != nil {
		return err
	}
	added, err := client.AddParty(cmd.Context(), party)
	if err != nil {
		return explain(err)
	}
	return a.show(a.partyView(client.Network, added), func(w io.Writer) { printParty(w, client.Network, added) })
}

func newPartyListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the registered parties", Example: "  payca party list", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			for party, err := range client.Parties(cmd.Context()) {
				if err != nil {
					return explain(err)
				}
				if err := a.show(a.partyView(client.Network, party), func(w io.Writer) { printParty(w, client.Network, party) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newPartyShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show ID", Short: "Show one party", Example: "  payca party show shop1", Args: exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			party, err := client.Party(cmd.Context(), args[0])
			if err != nil {
				return explain(err)
			}
			return a.show(a.partyView(client.Network, party), func(w io.Writer) {
				printParty(w, client.Network, party)
				fmt.Fprintf(w, "  state %s, registered %s\n", party.State, party.Created.Format("2006-01-02 15:04:05Z"))
				if party.Bank != "" {
					fmt.Fprintf(w, "  bank %s\n", party.Bank)
				}
				for _, name := range party.DNSNames {
					fmt.Fprintf(w, "  dns %s\n", name)
				}
				for _, address := range party.Addresses {
					fmt.Fprintf(w, "  ip %s\n", address)
				}
			})
		},
	}
}

// A partyView is a party with the URI that its certificates carry.
type partyView struct {
	policy.Party
	URI string `json:"uri"`
}

func (a *app) partyView(network string, p policy.Party) partyView {
	return partyView{Party: p, URI: policy.Identity{Network: network, Role: p.Role, Party: p.ID}.String()}
}

func printParty(w io.Writer, network string, p policy.Party) {
	fmt.Fprintf(w, "%s  %s  %s  %s\n", p.ID, p.Role, p.Name, policy.Identity{Network: network, Role: p.Role, Party: p.ID})
}
