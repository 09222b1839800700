package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/api"
)

func newCertCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "cert", Short: "Look up what was issued"}
	cmd.AddCommand(newCertListCommand(a), newCertShowCommand(a), newCertFindingsCommand(a), newCertRecheckCommand(a))
	return cmd
}

func printCertificateLine(w io.Writer, c api.Certificate) {
	party := c.Party
	if party == "" {
		party = "-"
	}
	fmt.Fprintf(w, "%-40s  %-8s  %-12s  %-14s  until %s", c.Serial, c.Status, party, c.Profile, c.NotAfter.Format("2006-01-02 15:04"))
	if c.Revocation != nil {
		fmt.Fprintf(w, "  revoked %s for %s", c.Revocation.At.Format("2006-01-02 15:04:05"), c.Revocation.Reason)
	}
	fmt.Fprintln(w)
}

func newCertShowCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "show SERIAL",
		Short: "Show one certificate that was issued",
		Long: `Show one certificate: what the inventory says of it, then the certificate as PEM.

  SERIAL  hexadecimal, with or without colons`,
		Example: "  payca cert show $SERIAL", Args: exactly("SERIAL"),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := a.operator()
			if err != nil {
				return err
			}
			c, err := client.Certificate(cmd.Context(), args[0])
			if err != nil {
				return explain(err)
			}
			return a.show(c, func(w io.Writer) {
				printCertificateLine(w, c)
				fmt.Fprintf(w, "  issuer %s, log entry %d, asked for by %s through %s\n  sha256 %s\n%s", c.Issuer, c.Index, c.Requester, c.Protocol, c.Thumbprint, c.PEM)
			})
		},
	}
}
