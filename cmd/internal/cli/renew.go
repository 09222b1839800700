package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/payca/payca/enroll"
)

type renewOptions struct {
	force   bool
	exports exportFlags
}

func newRenewCommand(a *app) *cobra.Command {
	var o renewOptions
	cmd := &cobra.Command{
		Use:   "renew [PARTY|DIR ...]",
		Short: "Renew what is due",
		Long: `Renew the certificates that are past two thirds of their life, over mutual TLS with
the certificate that is being renewed.

  PARTY  an identity in --dir; without it every identity there
  DIR    the directory of an identity`,
		Example: "  payca renew shop1",
		RunE: func(cmd *cobra.Command, args []string) error {
			dirs, err := a.identities(args)
			if err != nil {
				return err
			}
			if len(dirs) > 1 && !o.exports.none() {
				return usageErrorf("--pkcs12, --truststore and --pem are files of one identity, want one PARTY instead of %d", len(dirs))
			}
			return o.once(cmd.Context(), a, dirs)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "renew although it is not due")
	o.exports.add(cmd.Flags())
	return cmd
}

// once renews what is due now.
func (o *renewOptions) once(ctx context.Context, a *app, dirs []string) error {
	var errs []error
	for _, dir := range dirs {
		outcome, err := enroll.Renew(ctx, dir, o.force)
		if err != nil {
			errs = append(errs, fmt.Errorf("renewing %s: %w", dir, err))
			continue
		}
		errs = append(errs, o.exports.write(a, dir))
		outcome.Files = append(outcome.Files, o.exports.paths()...)
		errs = append(errs, a.showOutcome(outcome))
	}
	return explain(errors.Join(errs...))
}
