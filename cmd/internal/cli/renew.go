package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/payca/payca/enroll"
)

type renewOptions struct {
	force, daemon bool
	exports       exportFlags
	hook          hook
}

func newRenewCommand(a *app) *cobra.Command {
	var o renewOptions
	cmd := &cobra.Command{
		Use:   "renew [PARTY|DIR ...] [-- COMMAND [ARG ...]]",
		Short: "Renew what is due, once or for good",
		Long: `Renew the certificates that are past two thirds of their life, over mutual TLS with
the certificate that is being renewed.

With --daemon it stays and renews each when it is due, at a time of its own within a tenth
of its life. When the CA cannot be reached it tries again after half a minute, and then at
growing intervals up to an hour. Every ten minutes it looks whether the files were changed by
others. It ends with exit code 5 when a certificate has expired and the CA does not renew it.

  PARTY    an identity in --dir; without it every identity there
  DIR      the directory of an identity
  COMMAND  runs after a certificate has changed, without a shell, with RENEWED_DIR,
           RENEWED_PARTY, RENEWED_SERIAL and RENEWED_NOT_AFTER in its environment; when it
           fails it runs again, with --daemon at growing intervals`,
		Example: `  payca renew shop1
  payca renew --daemon shop1 -- systemctl reload nginx`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if at := cmd.ArgsLenAtDash(); at >= 0 {
				args, o.hook = args[:at], args[at:]
			}
			return o.run(cmd.Context(), a, args)
		},
	}
	cmd.Flags().BoolVar(&o.force, "force", false, "renew although it is not due")
	cmd.Flags().BoolVar(&o.daemon, "daemon", false, "stay, and renew each when it is due")
	o.exports.add(cmd.Flags())
	return cmd
}

func (o *renewOptions) run(ctx context.Context, a *app, args []string) error {
	if err := o.hook.check(); err != nil {
		return err
	}
	if o.daemon && o.force {
		return usageErrorf("--daemon and --force, want one of them")
	}
	dirs, err := a.identities(args)
	if err != nil {
		return err
	}
	if len(dirs) > 1 && !o.exports.none() {
		return usageErrorf("--pkcs12, --truststore and --pem are files of one identity, want one PARTY instead of %d", len(dirs))
	}
	if o.daemon {
		return o.stay(ctx, a, dirs)
	}
	var errs []error
	for _, dir := range dirs {
		if err := o.once(ctx, a, dir); err != nil {
			errs = append(errs, fmt.Errorf("renewing %s: %w", dir, err))
		}
	}
	return explain(errors.Join(errs...))
}

// once renews one identity if it is due now.
func (o *renewOptions) once(ctx context.Context, a *app, dir string) error {
	c, err := enroll.Open(dir)
	if err != nil {
		return err
	}
	if err := o.hook.begin(dir, c); err != nil {
		return err
	}
	outcome, err := enroll.Renew(ctx, dir, o.force)
	if err != nil {
		return err
	}
	if c, err = enroll.Open(dir); err != nil {
		return err
	}
	if err := o.exports.write(a, c); err != nil {
		return err
	}
	if err := o.hook.after(ctx, a, dir, c); err != nil {
		return err
	}
	outcome.Files = append(outcome.Files, o.exports.paths()...)
	return a.showOutcome(outcome)
}
