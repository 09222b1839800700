package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/network"
)

func newCeremonyCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "ceremony", Short: "What takes the key of the root"}
	cmd.AddCommand(newCeremonyCRLCommand(a))
	return cmd
}

// ceremonyCRLOptions is payca ceremony crl.
type ceremonyCRLOptions struct {
	keyFile, passphraseFile, validity, reason string
	floor                                     uint64
	revoke                                    []string
}

func newCeremonyCRLCommand(a *app) *cobra.Command {
	var o ceremonyCRLOptions
	cmd := &cobra.Command{
		Use:   "crl",
		Short: "Sign the next CRL of the root, before the one that is there ends",
		Long: `Sign the next CRL of the root with the root's key, and put it in the place of ca/root.crl. A
server that runs takes it over within a second. What was revoked stays, and the number grows.

It needs ca/root.crt, ca/root.crl and the key alone, so it can be done on a machine without a
network: copy the three there, and ca/root.crl back.`,
		Example: "  payca ceremony crl",
		Args:    atMost(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), a) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.keyFile, "root-key", "", "`file` with the key of the root (default: ca/root.key)")
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line opens the key (default: the configured one)")
	flags.StringVar(&o.validity, "validity", "365d", "`time` for which the CRL holds, 1d to 730d")
	flags.Uint64Var(&o.floor, "crl-floor", 0, "`N`: no CRL of the root had a higher number, where the newest one is lost")
	flags.StringArrayVar(&o.revoke, "revoke", nil, "issuing CA to be revoked: consumer, merchant, gateway, bank, service (repeatable)")
	flags.StringVar(&o.reason, "reason", "cACompromise", "why: cACompromise, keyCompromise, superseded, cessationOfOperation, affiliationChanged, unspecified")
	return cmd
}

func (o *ceremonyCRLOptions) run(ctx context.Context, a *app) error {
	validity, err := parseDays(o.validity)
	if err != nil {
		return usageErrorf("--validity is %q, want a time such as 365d", o.validity)
	}
	reason, err := ca.ParseReason(o.reason)
	if err != nil || reason == ca.CertificateHold || reason == ca.PrivilegeWithdrawn || reason == ca.AACompromise {
		return usageErrorf("--reason is %q, want a final one for a CA, such as cACompromise", o.reason)
	}
	list, err := network.RenewRootCRL(ctx, network.RootCRLConfig{
		Dir: a.dir, KeyFile: o.keyFile, PassphraseFile: o.passphraseFile, Validity: validity, Floor: o.floor,
		Revoke: o.revoke, Reason: reason, Now: a.now,
	})
	switch {
	case errors.Is(err, ca.ErrPassphrase):
		return withHint(err, "name the file with the right one: --passphrase-file FILE")
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "the key of the root may lie elsewhere: --root-key FILE")
	case err != nil:
		return err
	}
	if len(o.revoke) > 0 {
		a.storyf("Revoked the issuing CA %s: every certificate of it is refused wherever the CRL arrives", strings.Join(o.revoke, ", "))
	}
	view := map[string]any{"number": list.Number, "this_update": list.ThisUpdate, "next_update": list.NextUpdate, "revoked": list.Len()}
	return a.show(view, func(w io.Writer) {
		fmt.Fprintf(w, "Signed CRL %d of the root, %d revoked, until %s\n", list.Number, list.Len(), list.NextUpdate.UTC().Format(time.DateOnly))
	})
}
