package cli

import (
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/api"
)

func newTokenCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Make one-time enrollment tokens"}
	cmd.AddCommand(newTokenCreateCommand(a))
	return cmd
}

func newTokenCreateCommand(a *app) *cobra.Command {
	var profile string
	var ttl time.Duration
	cmd := &cobra.Command{
		Use:   "create PARTY",
		Short: "Make a token that enrolls a party once",
		Long: `Make a token that enrolls a party once. The token names the CA and its root, so
payca enroll TOKEN works from an empty directory.

  PARTY  id of a registered party`,
		Example: "  payca token create shop1",
		Args:    exactly("PARTY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if ttl < time.Second {
				return usageErrorf("--ttl is %s, want at least 1s", ttl)
			}
			client, err := a.operator()
			if err != nil {
				return err
			}
			token, err := client.CreateToken(cmd.Context(), api.TokenRequest{Party: args[0], Profile: profile, Seconds: int(ttl.Seconds())})
			if err != nil {
				return explain(err)
			}
			a.storyf("Token %s: one use, until %s; it names the CA and its root", token.ID, token.NotAfter.Format("15:04:05Z"))
			return a.show(token, func(w io.Writer) { fmt.Fprintln(w, token.Token) })
		},
	}
	cmd.Flags().StringVar(&profile, "profile", "", "profile of the certificate (default: the one of the party's role)")
	cmd.Flags().DurationVar(&ttl, "ttl", time.Hour, "how long the token may be used")
	return cmd
}
