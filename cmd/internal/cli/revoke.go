package cli

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
)

func newRevokeCommand(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "revoke WHAT",
		Short: "Revoke a certificate, or all of a party",
		Long: `Revoke a certificate for good. When the command returns, OCSP and the CRL say so.

  WHAT  a certificate file, a serial (hexadecimal), or a party: all its certificates`,
		Example: "  payca revoke shop1 --reason keyCompromise",
		Args:    exactly("WHAT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := ca.ParseReason(reason); err != nil {
				return usageErrorf("--%v", err)
			}
			request, err := revocationOf(args[0])
			if err != nil {
				return err
			}
			request.Reason = reason
			client, err := a.operator()
			if err != nil {
				return err
			}
			answer, err := client.Revoke(cmd.Context(), request)
			if err != nil {
				return explain(err)
			}
			return a.show(answer, func(w io.Writer) { printRevocation(w, args[0], answer) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "unspecified", "why, as RFC 5280 names it: keyCompromise, superseded, cessationOfOperation, ...")
	return cmd
}

// revocationOf reads WHAT: a file if there is one of that name, a serial if it
// looks like one and is at least 8 octets, else a party.
func revocationOf(what string) (api.RevocationRequest, error) {
	if _, err := os.Stat(what); err == nil {
		certificates, err := readCertificates(what)
		if err != nil {
			return api.RevocationRequest{}, err
		}
		serial, err := ca.SerialOf(certificates[0].SerialNumber)
		return api.RevocationRequest{Serial: serial.String()}, err
	}
	if serial, ok := serialArgument(what); ok {
		return api.RevocationRequest{Serial: serial.String()}, nil
	}
	return api.RevocationRequest{Party: what}, nil
}

// serialArgument reads a serial of at least 8 octets; anything shorter may be a party id.
func serialArgument(text string) (ca.Serial, bool) {
	serial, err := ca.ParseSerial(text)
	return serial, err == nil && serial.Int().BitLen() > 56
}

func printRevocation(w io.Writer, what string, answer api.RevocationReply) {
	if len(answer.Revoked) == 0 {
		fmt.Fprintf(w, "Nothing to revoke: %s has no valid certificate (%d revoked before)\n", what, answer.Already)
		return
	}
	noun := "certificates"
	if len(answer.Revoked) == 1 {
		noun = "certificate"
	}
	fmt.Fprintf(w, "Revoked %d %s of %s; OCSP and", len(answer.Revoked), noun, what)
	for i, issuer := range slices.Sorted(maps.Keys(answer.CRLs)) {
		if i > 0 {
			fmt.Fprint(w, ",")
		}
		fmt.Fprintf(w, " CRL %d", answer.CRLs[issuer])
		if len(answer.CRLs) > 1 {
			fmt.Fprintf(w, " (%s)", issuer)
		}
	}
	fmt.Fprintln(w, " say so now")
}
