package cli

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/bench"
)

func newBenchCommand(a *app) *cobra.Command {
	var conf bench.Config
	var certificates string
	var check bool
	cmd := &cobra.Command{
		Use:   "bench [CASE...]",
		Short: "Measure this payca on this machine",
		Long: `Measure decisions, issuance, enrollment, OCSP, handshakes, payments and, with --certificates, a
large store, each beside what it costs at least, in the same run. With --check, exit status 1
if a figure misses its limit.

  CASE  ` + strings.Join(bench.Names(), ", ") + `: all if none is named`,
		Example: "  payca bench handshake --pairs 1 --scale 0.02",
		RunE: func(cmd *cobra.Command, args []string) error {
			self, err := os.Executable()
			if err != nil {
				return err
			}
			conf.Cases, conf.Loader, conf.Payca, conf.Progress = args, []string{self, "bench", "load"}, self, a.storyf
			if conf.Certificates, err = parseCount(certificates); err != nil {
				return err
			}
			defer collectLess()() // as payca serve does
			report, err := bench.Run(cmd.Context(), conf)
			if err != nil {
				return err
			}
			if err := a.show(report, func(w io.Writer) { printBench(w, report) }); err != nil {
				return err
			}
			if missed := report.Missed(); check && len(missed) > 0 {
				return fmt.Errorf("over the limit: %s", strings.Join(missed, "; "))
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&certificates, "certificates", "0", "certificates in the large store, such as 1m; 0 leaves it out")
	flags.StringVar(&conf.Dir, "store-dir", "", "where stores are made; a large one is kept there for the next run")
	flags.IntVar(&conf.Pairs, "pairs", 10, "measurements of work and floor in turns")
	flags.BoolVar(&check, "check", false, "fail if a figure misses its limit")
	flags.Float64Var(&conf.Scale, "scale", 1, "how much of the usual work each measurement does")
	cmd.AddCommand(&cobra.Command{
		Use: "load", Hidden: true, Short: "Load a server as standard input says", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return bench.Load(cmd.Context(), a.in, a.out) },
	})
	return cmd
}

// parseCount reads a number that may end in k or m.
func parseCount(text string) (int, error) {
	factor := 1
	switch {
	case strings.HasSuffix(text, "k"):
		factor = 1000
	case strings.HasSuffix(text, "m"):
		factor = 1_000_000
	}
	n, err := strconv.Atoi(strings.TrimRight(text, "km"))
	if err != nil || n < 0 || n > 100_000_000/factor {
		return 0, usageErrorf("--certificates is %q, want a number such as 100000, 100k or 1m", text)
	}
	return n * factor, nil
}

func printBench(w io.Writer, r bench.Report) {
	fmt.Fprintf(w, "%s, %s, %d cores of %s, %s\n", r.Time.Format("2006-01-02 15:04"), r.System, r.Cores, r.CPU, r.Go)
	for _, result := range r.Results {
		fmt.Fprintf(w, "\n%s: %s\n", result.Case, result.About)
		for _, f := range result.Figures {
			fmt.Fprintf(w, "  %-42s %12.4g %-6s", f.Name, f.Value, f.Unit)
			switch {
			case f.Missed && f.Least > 0:
				fmt.Fprintf(w, " MISSED, at least %.4g", f.Least)
			case f.Missed:
				fmt.Fprintf(w, " MISSED, at most %.4g", f.AtMost)
			case f.AtMost > 0:
				fmt.Fprintf(w, " at most %.4g", f.AtMost)
			case f.Least > 0:
				fmt.Fprintf(w, " at least %.4g", f.Least)
			}
			fmt.Fprintln(w)
		}
	}
}
