package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
)

const aboutKey = `  KEY  file with a certificate, a request or a public key, PEM; or the SHA-256 of its
       SubjectPublicKeyInfo, 64 hexadecimal digits`

func newKeyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "key", Short: "Say which public keys nobody may have certified"}
	cmd.AddCommand(newKeyBlockCommand(a), newKeyUnblockCommand(a), newKeyListCommand(a))
	return cmd
}

func newKeyBlockCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "block KEY", Short: "Issue nothing for a key any more", Args: exactly("KEY"),
		Long: `Block a public key: when the command returns, nobody is issued a certificate for it. What
was issued stands; payca revoke --key with the reason keyCompromise revokes it, and
blocks the key by itself.

` + aboutKey,
		Example: `  payca key block shop1.pem --reason 'found in a public repository'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, req, err := a.keyRequest(args[0], reason)
			if err != nil {
				return err
			}
			blocked, err := client.BlockKey(cmd.Context(), req)
			if err != nil {
				return explain(err)
			}
			return a.show(blocked, func(w io.Writer) { fmt.Fprintf(w, "Blocked key %s\n", blocked.Key) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	return cmd
}

func newKeyUnblockCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "unblock KEY", Short: "Take the block of a key back", Args: exactly("KEY"),
		Long: `Take the block of a public key back. A key of which a certificate was revoked for
keyCompromise stays refused all the same.

` + aboutKey,
		Example: `  payca key unblock shop1.pem --reason 'was the key of another shop'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, req, err := a.keyRequest(args[0], reason)
			if err != nil {
				return err
			}
			done, err := client.UnblockKey(cmd.Context(), req)
			if err != nil {
				return explain(err)
			}
			return a.show(done, func(w io.Writer) { fmt.Fprintf(w, "Unblocked key %s\n", done.Key) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the record (required)")
	return cmd
}

// keyRequest reads the key that the command line names.
func (a *app) keyRequest(what, reason string) (*operatorClient, api.KeyRequest, error) {
	req := api.KeyRequest{Reason: reason}
	if reason == "" {
		return nil, req, usageErrorf("--reason is missing, want why")
	}
	var err error
	if req.Key, err = ca.ParseKeyHash(what); err != nil {
		sum, err := keyHash(what)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, req, usageErrorf("KEY is %q, want a file that exists or 64 hexadecimal digits", what)
		}
		if err != nil {
			return nil, req, err
		}
		if req.Key, err = ca.ParseKeyHash(sum); err != nil {
			return nil, req, err
		}
	}
	client, err := a.operator()
	return client, req, err
}

func newKeyListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the keys that operators have blocked", Example: "  payca key list", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			for b, err := range client.BlockedKeys(cmd.Context()) {
				if err != nil {
					return explain(err)
				}
				err := a.show(b, func(w io.Writer) {
					fmt.Fprintf(w, "%s  %s  by %s: %s\n", b.Key, b.At.Format(timeLayout), b.By, b.Reason)
				})
				if err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func newCertFindingsCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "findings", Short: "List what the re-checks have against certificates", Args: atMost(0),
		Long: `List the certificates that would not be issued today, and why. The CA looks at its whole
inventory each night (recheck.at): whether each record is what was signed and, for those
neither expired nor revoked, the lints, the key and the party. payca cert recheck has it
looked at now.`,
		Example: "  payca cert findings",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			for f, err := range client.Findings(cmd.Context()) {
				if err != nil {
					return explain(err)
				}
				if err := a.show(f, func(w io.Writer) { printFinding(w, f) }); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

func printFinding(w io.Writer, f ca.Finding) {
	fmt.Fprintf(w, "%s  %s  %s, since %s\n", f.Serial, f.Profile, cmp.Or(f.Party, "-"), f.Since.Format(timeLayout))
	for _, fault := range f.Faults {
		fmt.Fprintf(w, "  %s: %s\n", fault.Rule, fault.Detail)
	}
}

func newCertRecheckCommand(a *app) *cobra.Command {
	var noWait bool
	cmd := &cobra.Command{
		Use: "recheck", Short: "Have the whole inventory looked at now", Example: "  payca cert recheck", Args: atMost(0),
		Long: `Have the whole inventory looked at with the rules of today, as every night, and wait until
that is done. The CA goes on with it if the command is interrupted.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			recheck, err := client.Recheck(cmd.Context())
			if err == nil && !noWait {
				recheck, err = awaitRecheck(cmd.Context(), client)
			}
			if err != nil {
				return explain(err)
			}
			if err := a.show(recheck, func(w io.Writer) { printRecheck(w, recheck) }); err != nil {
				return err
			}
			if recheck.Error != "" {
				return fmt.Errorf("re-checking the inventory: %s", recheck.Error)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&noWait, "no-wait", false, "do not wait until it is done")
	return cmd
}

// awaitRecheck asks until no re-check is under way.
func awaitRecheck(ctx context.Context, client *operatorClient) (api.RecheckHealth, error) {
	const most = 2 * time.Second
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, most) {
		health, err := client.Health(ctx)
		if err != nil || !health.Recheck.Running {
			return health.Recheck, err
		}
		select {
		case <-ctx.Done():
			return health.Recheck, ctx.Err()
		case <-time.After(pause):
		}
	}
}

func printRecheck(w io.Writer, r api.RecheckHealth) {
	if r.Running {
		fmt.Fprintln(w, "The inventory is being looked at; payca cert findings lists what is found")
		return
	}
	fmt.Fprintf(w, "Looked at %d certificates: %d with findings, %d of them new; %d stand no more\n", r.Checked, r.Found, r.New, r.Cleared)
}
