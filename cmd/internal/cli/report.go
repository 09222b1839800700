package cli

import (
	"github.com/spf13/cobra"
)

func newReportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "report", Short: "Report what needs attention"}
	cmd.AddCommand(newReportExpiringCommand(a), newReportPCICommand(a))
	return cmd
}

func newReportExpiringCommand(a *app) *cobra.Command {
	var o certQuery
	cmd := &cobra.Command{
		Use:   "expiring",
		Short: "List the valid certificates that end soon",
		Long: `List the valid certificates that end within a time, the first to end first, and say
how many there are. Revoked ones are left out: nobody has to renew them.`,
		Example: "  payca report expiring --within 60d", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := parseDays(o.expiring); err != nil {
				return usageErrorf("--within is %q, want a time such as 30d or 12h", o.expiring)
			}
			query, err := o.query(a.now())
			if err != nil {
				return err
			}
			n, err := o.list(cmd.Context(), a, query)
			if err != nil {
				return err
			}
			a.storyf("%d valid certificates end within %s", n, o.expiring)
			return nil
		},
	}
	o.addSelection(cmd.Flags())
	cmd.Flags().StringVar(&o.expiring, "within", "30d", "how soon, such as 30d or 12h")
	return cmd
}
