package cli

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/policy"
)

const aboutRequest = `  WHAT  id of the request, its first 8 letters or more, or the party whose only request waits`

func newRequestCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "request", Short: "See what waits for approvers, approve it or reject it"}
	cmd.AddCommand(
		newRequestListCommand(a), newRequestShowCommand(a), newVoteCommand(a, true), newVoteCommand(a, false), newRequestProposeCommand(a),
	)
	cmd.PersistentFlags().StringVar(&a.as, "as", network.Operator, "identity in --dir that asks: an operator, or a bank of consumers")
	return cmd
}

func newRequestListCommand(a *app) *cobra.Command {
	var state string
	cmd := &cobra.Command{
		Use: "list", Short: "List what waits for approvers", Example: "  payca request list", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query := url.Values{}
			if state != "all" {
				query.Set("state", state)
			}
			client, err := a.clientAs(a.as)
			if err != nil {
				return err
			}
			for r, err := range client.Requests(cmd.Context(), query) {
				if err != nil {
					return explain(err)
				}
				if err := a.show(r, func(w io.Writer) { printRequest(w, r) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&state, "state", ca.RequestPending, "pending, done, rejected, invalid, expired or all")
	return cmd
}

// printRequest writes one line.
func printRequest(w io.Writer, r ca.RequestView) {
	of := r.Party
	if of == "" {
		of = "-"
	}
	fmt.Fprintf(w, "%.16s  %-8s  %-8s %s  by %s  %s\n", r.ID, r.State, r.Kind, of, r.Requester, waitsFor(r))
}

// waitsFor says what is missing, or when it was settled.
func waitsFor(r ca.RequestView) string {
	switch {
	case r.State != ca.RequestPending && r.Settled.IsZero():
		return "since " + r.NotAfter.Format(timeLayout)
	case r.State != ca.RequestPending:
		return "since " + r.Settled.Format(timeLayout)
	case r.Missing == 0:
		return fmt.Sprintf("has %s, until %s", r.Wants, r.NotAfter.Format(timeLayout))
	}
	return fmt.Sprintf("wants %d more for %s, until %s", r.Missing, r.Wants, r.NotAfter.Format(timeLayout))
}

const timeLayout = "2006-01-02 15:04:05Z"

func newRequestShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "show WHAT", Short: "Show what a request asks, and who approved it",
		Long: `Show what a request asks, to the last letter, and who approved it. Its id is the SHA-256 of what it
asks: whoever approves approves exactly that.

` + aboutRequest,
		Example: "  payca request show gw1", Args: exactly("WHAT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.clientAs(a.as)
			if err != nil {
				return err
			}
			r, err := findRequest(cmd.Context(), client, args[0])
			if err != nil {
				return err
			}
			return a.show(r, func(w io.Writer) { printWhole(w, r) })
		},
	}
}

// printWhole writes everything of a request.
func printWhole(w io.Writer, r ca.RequestView) {
	printRequest(w, r)
	fmt.Fprintf(w, "  id    %s\n  filed %s from %s, not by %s\n", r.ID, r.Created.Format(timeLayout), orNone(r.From), strings.Join(r.Requesters, ", "))
	for _, v := range r.Votes {
		verb := "approved"
		if !v.Approve {
			verb = "rejected"
		}
		if !slices.Contains(r.Counted, v.Approver) {
			verb += ", does not count now,"
		}
		fmt.Fprintf(w, "  %s %s at %s %s\n", v.Approver, verb, v.At.Format(timeLayout), v.Reason)
	}
	if r.Serial != nil {
		fmt.Fprintf(w, "  certificate %s\n", r.Serial)
	}
	var asks bytes.Buffer
	if json.Indent(&asks, r.Body, "  ", "  ") != nil {
		asks.Reset()
		asks.Write(r.Body)
	}
	fmt.Fprintf(w, "  asks\n  %s\n", &asks)
}

func orNone(s string) string {
	if s == "" {
		return "nowhere"
	}
	return s
}

// findRequest finds a request by id, by the beginning of its id, or as the only one of a party that waits.
func findRequest(ctx context.Context, client *operatorClient, what string) (ca.RequestView, error) {
	if len(what) < 64 {
		var found []string
		for r, err := range client.Requests(ctx, url.Values{}) {
			if err != nil {
				return ca.RequestView{}, explain(err)
			}
			if len(what) >= 8 && strings.HasPrefix(r.ID, what) || r.Party == what && r.State == ca.RequestPending {
				found = append(found, r.ID)
			}
		}
		if len(found) != 1 {
			return ca.RequestView{}, fail(ExitFailure, fmt.Errorf("%d requests are %q, want one", len(found), what), "payca request list --state all shows them")
		}
		what = found[0]
	}
	r, err := client.Request(ctx, what)
	return r, explain(err)
}

type voteOptions struct {
	approve     bool
	reason, out string
}

func newVoteCommand(a *app, approve bool) *cobra.Command {
	o := voteOptions{approve: approve}
	cmd := &cobra.Command{
		Use: "approve WHAT", Short: "Approve a request, in the name of an operator or bank",
		Long: `Approve a request: sign that exactly this may be done, and send it. What lacked one approval is done then: a
party's certificate when it asks again, a policy when the CA is started with it, the rest at once.

` + aboutRequest,
		Example: "  payca request approve gw1",
		Args:    exactly("WHAT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, a, args[0]) },
	}
	if !approve {
		cmd.Use, cmd.Short, cmd.Example = "reject WHAT", "Reject a request for good", "  payca request reject gw2 --reason unknown"
		cmd.Long = "Reject a request: one rejection ends it.\n\n" + aboutRequest
	}
	cmd.Flags().StringVar(&o.reason, "reason", "", "why, for the record")
	if approve {
		cmd.Flags().StringVar(&o.out, "out", "", "write the signed approval to this `file` instead of sending it: payca enroll --approval takes it")
	}
	return cmd
}

func (o *voteOptions) run(cmd *cobra.Command, a *app, id string) error {
	client, err := a.clientAs(a.as)
	if err != nil {
		return err
	}
	r, err := findRequest(cmd.Context(), client, id)
	if err != nil {
		return err
	}
	if got := ca.RequestID(r.Body); got != r.ID {
		return fail(ExitInvalid, fmt.Errorf("the request says sha256:%s and is named %s, want the same: nothing was signed", got, r.ID), "")
	}
	object, err := o.sign(a, r.ID)
	if err != nil {
		return err
	}
	if o.out != "" {
		if err := os.WriteFile(o.out, []byte(object+"\n"), 0o600); err != nil {
			return err
		}
		return a.show(map[string]string{"request": r.ID, "file": o.out}, func(w io.Writer) { fmt.Fprintf(w, "Approved %.16s in %s, which was not sent\n", r.ID, o.out) })
	}
	answer, err := client.Vote(cmd.Context(), r.ID, object)
	if err != nil {
		return explain(err)
	}
	return a.show(answer, func(w io.Writer) { o.print(w, answer) })
}

// sign states what the identity says of the request.
func (o *voteOptions) sign(a *app, id string) (string, error) {
	source, err := a.source(a.as)
	if err != nil {
		return "", err
	}
	certificate, err := source.Certificate()
	if err != nil {
		return "", err
	}
	key, ok := certificate.PrivateKey.(crypto.Signer)
	if !ok {
		return "", fmt.Errorf("the key of %s does not sign", a.as)
	}
	identity := source.Identity()
	return policy.SignVote(policy.VoteStatement{
		Network: identity.Network, Digest: id, Approve: o.approve, Approver: identity.String(), Reason: o.reason, At: a.now().UTC().Truncate(time.Second),
	}, certificate.Leaf, key)
}

func (o *voteOptions) print(w io.Writer, answer api.VoteReply) {
	verb := "Approved"
	if !o.approve {
		verb = "Rejected"
	}
	of := answer.Request.Kind
	if answer.Request.Party != "" {
		of += " of " + answer.Request.Party
	}
	fmt.Fprintf(w, "%s %s: ", verb, of)
	switch {
	case answer.Revocation != nil:
		printChange(w, "revoked", answer.Request.Party, len(answer.Revocation.Revoked), answer.Revocation.CRLs)
	case answer.State != nil:
		printState(w, *answer.State)
	default:
		fmt.Fprintln(w, waitsFor(answer.Request))
	}
}

func newRequestProposeCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "propose policy FILE | propose issuers NAME=FILE...", Short: "Ask for another policy, or other issuing CAs",
		Long: `File a request that another policy be in force, or other issuing CA certificates, where the policy
in force wants approval for that. Once it is approved, put the files in place and start the CA again.

  FILE  a configuration file, or with NAME= the certificate (PEM) of the issuing CA of that name`,
		Example: "  payca request propose policy payca-next.yaml", DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 2 || args[0] == ca.AskPolicy && len(args) > 2 || args[0] != ca.AskPolicy && args[0] != ca.AskIssuers {
				return usageErrorf("want policy FILE, or issuers NAME=FILE...")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			proposal := api.Proposal{Kind: args[0], Files: map[string][]byte{}}
			for _, arg := range args[1:] {
				name, file, ok := strings.Cut(arg, "=")
				if args[0] == ca.AskPolicy {
					name, file, ok = config.FileName, arg, true
				}
				if !ok {
					return usageErrorf("%q, want NAME=FILE", arg)
				}
				text, err := os.ReadFile(file)
				if err != nil {
					return err
				}
				proposal.Files[name] = text
			}
			client, err := a.clientAs(a.as)
			if err != nil {
				return err
			}
			answer, err := client.Propose(cmd.Context(), proposal)
			if err != nil {
				return explain(err)
			}
			return a.show(answer, func(w io.Writer) { printRequest(w, *answer.Pending) })
		},
	}
}

// waits says that something waits for approvers, and ends with the exit code for it.
func (a *app) waits(v any, r ca.RequestView) error {
	if err := a.show(v, func(w io.Writer) { printRequest(w, r) }); err != nil {
		return err
	}
	a.storyf("Nothing was done yet: approvers see it with payca request show %.16s", r.ID)
	return silent(ExitDue)
}
