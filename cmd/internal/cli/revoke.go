package cli

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
)

const aboutWhat = `  WHAT  a certificate file, a serial (hexadecimal), or a party: its certificates that have
        not expired; nothing with --key

Several certificates are changed only with --all.`

// A selection is the words and flags that name certificates to be changed.
type selection struct {
	key string
	all bool
}

func (s *selection) addFlags(flags *pflag.FlagSet) {
	flags.StringVar(&s.key, "key", "", "every certificate for the public key in this `file`: a certificate, a request or a public key, PEM")
	flags.BoolVar(&s.all, "all", false, "change all that are named, if there are several")
}

// read finds out what is named, and how to call it.
func (s *selection) read(args []string) (sel api.Selection, what string, err error) {
	switch {
	case s.key != "" && len(args) > 0:
		return sel, "", usageErrorf("%s and --key, want one of them", args[0])
	case s.key != "":
		sum, err := keyHash(s.key)
		return api.Selection{Key: sum, All: s.all}, "the key in " + s.key, err
	case len(args) == 0:
		return sel, "", usageErrorf("WHAT is missing")
	}
	sel, err = selectionOf(args[0])
	sel.All = s.all
	return sel, args[0], err
}

// selectionOf reads WHAT: a file if there is one of that name, a serial if it
// looks like one and is at least 8 octets, else a party.
func selectionOf(what string) (api.Selection, error) {
	if _, err := os.Stat(what); err == nil {
		certificates, err := readCertificates(what)
		if err != nil {
			return api.Selection{}, err
		}
		serial, err := ca.SerialOf(certificates[0].SerialNumber)
		return api.Selection{Serial: serial.String()}, err
	}
	if serial, ok := serialArgument(what); ok {
		return api.Selection{Serial: serial.String()}, nil
	}
	return api.Selection{Party: what}, nil
}

// serialArgument reads a serial of at least 8 octets; anything shorter may be a party id.
func serialArgument(text string) (ca.Serial, bool) {
	serial, err := ca.ParseSerial(text)
	return serial, err == nil && serial.Int().BitLen() > 56
}

func newRevokeCommand(a *app) *cobra.Command {
	var sel selection
	var reason, since string
	cmd := &cobra.Command{
		Use:   "revoke [WHAT]",
		Short: "Revoke a certificate, or all of a party or a key",
		Long: `Revoke a certificate for good. When the command returns, OCSP and the CRL say so. What is
revoked stays so; only keyCompromise takes the place of another reason.

` + aboutWhat,
		Example: "  payca revoke shop1 --all --reason keyCompromise",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			parsed, err := ca.ParseReason(reason)
			if err != nil {
				return usageErrorf("--%v", err)
			}
			if parsed == ca.CertificateHold {
				return usageErrorf("--reason is %s, want a reason that is final; payca hold WHAT suspends", reason)
			}
			request := api.RevocationRequest{Reason: reason}
			if since != "" {
				if request.Invalidity, err = time.Parse(time.RFC3339, since); err != nil {
					return usageErrorf("--invalid-since is %q, want a time such as 2026-11-23T01:25:02Z", since)
				}
			}
			var what string
			if request.Selection, what, err = sel.read(args); err != nil {
				return err
			}
			return a.revoke(cmd.Context(), request, "Revoked", what)
		},
	}
	flags := cmd.Flags()
	sel.addFlags(flags)
	flags.StringVar(&reason, "reason", "unspecified", "why, as RFC 5280 names it: keyCompromise, superseded, cessationOfOperation, ...")
	flags.StringVar(&since, "invalid-since", "", "since when the key is suspected, as `time` of RFC 3339")
	return cmd
}

func newHoldCommand(a *app) *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "hold [WHAT]",
		Short: "Suspend a certificate until it is released or revoked",
		Long: `Put a certificate on hold: OCSP and the CRL say that it is revoked for certificateHold, until
payca release makes it good again or payca revoke ends it.

` + aboutWhat,
		Example: "  payca hold gw1",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named, what, err := sel.read(args)
			if err != nil {
				return err
			}
			return a.revoke(cmd.Context(), api.RevocationRequest{Selection: named, Reason: ca.CertificateHold.String()}, "Held", what)
		},
	}
	sel.addFlags(cmd.Flags())
	return cmd
}

func newReleaseCommand(a *app) *cobra.Command {
	var sel selection
	cmd := &cobra.Command{
		Use:   "release [WHAT]",
		Short: "End the hold of a certificate: it is good again",
		Long: `End a hold. OCSP says good again, the CRL does not list the certificate, and the delta CRL takes it
off (removeFromCRL). What was revoked for good cannot be released.

` + aboutWhat,
		Example: "  payca release gw1",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			named, what, err := sel.read(args)
			if err != nil {
				return err
			}
			client, err := a.operator()
			if err != nil {
				return err
			}
			answer, err := client.Release(cmd.Context(), named)
			if err != nil {
				return explain(err)
			}
			return a.show(answer, func(w io.Writer) {
				if len(answer.Released) == 0 {
					fmt.Fprintf(w, "Nothing to release: %s has no certificate on hold\n", what)
					return
				}
				printChange(w, "Released", what, len(answer.Released), answer.CRLs)
			})
		},
	}
	sel.addFlags(cmd.Flags())
	return cmd
}

// revoke asks the CA to revoke or hold, and shows what it did.
func (a *app) revoke(ctx context.Context, request api.RevocationRequest, done, what string) error {
	client, err := a.operator()
	if err != nil {
		return err
	}
	answer, err := client.Revoke(ctx, request)
	if err != nil {
		return explain(err)
	}
	if answer.Pending != nil {
		return a.waits(answer, *answer.Pending)
	}
	return a.show(answer, func(w io.Writer) {
		if len(answer.Revoked) == 0 {
			verb := map[string]string{"Revoked": "revoke", "Held": "hold"}[done]
			fmt.Fprintf(w, "Nothing to %s: %s has no valid certificate (%d revoked before)\n", verb, what, answer.Already)
			return
		}
		printChange(w, done, what, len(answer.Revoked), answer.CRLs)
	})
}

// printChange says how many certificates changed, and where that is to be seen.
func printChange(w io.Writer, done, what string, n int, crls map[string]uint64) {
	noun := "certificates"
	if n == 1 {
		noun = "certificate"
	}
	var lists []string
	for _, issuer := range slices.Sorted(maps.Keys(crls)) {
		list := fmt.Sprintf("CRL %d", crls[issuer])
		if len(crls) > 1 {
			list += " (" + issuer + ")"
		}
		lists = append(lists, list)
	}
	fmt.Fprintf(w, "%s %d %s of %s; OCSP and %s say so now\n", done, n, noun, what, strings.Join(lists, ", "))
}
