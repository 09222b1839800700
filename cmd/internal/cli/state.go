package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/policy"
)

// A stateVerb is one change of a party's state, as people say it.
type stateVerb struct{ use, short, long, done, changed string }

var stateVerbs = map[policy.State]stateVerb{
	policy.Suspended: {
		"suspend", "Put a party and all its certificates on hold",
		"Suspend a party: it can neither enroll nor renew, and all its certificates are on hold, until it is resumed.", "Suspended", "put on hold",
	},
	policy.Active: {
		"resume", "End the suspension of a party",
		"Resume a party: the certificates that its suspension put on hold are good again.", "Resumed", "released",
	},
	policy.Closed: {
		"close", "Close a party for good and revoke all its certificates",
		"Close a party: it is issued nothing any more, and all its certificates are revoked for cessationOfOperation. There is no way back.", "Closed", "revoked",
	},
}

func newStateCommand(a *app, state policy.State) *cobra.Command {
	var reason string
	verb := stateVerbs[state]
	cmd := &cobra.Command{
		Use: verb.use + " ID", Short: verb.short, Args: exactly("ID"),
		Long: verb.long + ` When the command returns, OCSP and the CRLs say so. One that
was cut short is finished by the same command again.

  ID  id of the party`,
		Example: "  payca party " + verb.use + " shop1 --reason overdue",
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			answer, err := client.SetState(cmd.Context(), args[0], api.StateRequest{State: state, Reason: reason})
			if err != nil {
				return explain(err)
			}
			if answer.Pending != nil {
				return a.waits(answer, *answer.Pending)
			}
			return a.show(answer, func(w io.Writer) { printState(w, answer) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record")
	return cmd
}

func printState(w io.Writer, answer api.StateReply) {
	verb := stateVerbs[answer.Party.State]
	fmt.Fprintf(w, "%s %s; ", verb.done, answer.Party.ID)
	if answer.Changed == 0 {
		fmt.Fprintln(w, "no certificate changed")
		return
	}
	printChange(w, verb.changed, answer.Party.ID, answer.Changed, answer.CRLs)
}
