package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/agents"
	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/payment"
	"github.com/payca/payca/payment/agent"
)

func newTraceCommand(a *app) *cobra.Command {
	var files []string
	cmd := &cobra.Command{
		Use:   "trace ID",
		Short: "List every object of a payment in order",
		Long: `List the objects of a payment in the order in which they came: from whom to whom, the
signer, the status that its certificate had, and the hash. Each agent shows its own
records: those of --dir/agents, running or not, or those that --config names. An
object that several agents have is listed once, with all of them.

  ID  of the payment`,
		Example: "  payca trace $ID",
		Args:    exactly("ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.trace(cmd.Context(), args[0], files)
		},
	}
	cmd.Flags().StringSliceVar(&files, "config", nil, "configuration `file` of an agent, may be repeated (default: all in --dir/agents)")
	return cmd
}

// A traced is one object, and who has it.
type traced struct {
	agent.TraceEntry
	Holders []string `json:"holders"` // ids of the agents that have it on record
}

func (a *app) trace(ctx context.Context, id string, files []string) error {
	if !payment.IsID(id) {
		return usageErrorf("%q is no payment, want an id as payca pay and payca sell print it", id)
	}
	if len(files) == 0 {
		var err error
		if files, err = filepath.Glob(filepath.Join(a.dir, "agents", "*.yaml")); err != nil {
			return err
		}
	}
	if len(files) == 0 {
		return usageErrorf("no agents in %s, want --config FILE or --dir DIR", filepath.Join(a.dir, "agents"))
	}
	var all []agent.TraceEntry
	for _, file := range files {
		entries, err := a.traceOf(ctx, file, id)
		if err != nil {
			return err
		}
		all = append(all, entries...)
	}
	if len(all) == 0 {
		return fail(ExitFailure, fmt.Errorf("no agent has a record of payment %s", id), "payca pay show and payca sell list name the payments")
	}
	for _, t := range merge(all) {
		err := a.show(t, func(w io.Writer) {
			fmt.Fprintf(w, "%s  %-11s  %-22s  %-26s  %-12s  %s  %s\n", t.Time.UTC().Format("15:04:05.000"), t.Kind, short(t.From)+" -> "+short(t.To), signedBy(t), t.Status, t.Digest, strings.Join(t.Holders, ","))
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// traceOf asks one agent, or reads its store if it does not run.
func (a *app) traceOf(ctx context.Context, file, id string) ([]agent.TraceEntry, error) {
	conf, err := config.LoadAgent(file)
	if err != nil {
		return nil, err
	}
	identity, err := agents.Identity(&conf)
	if err != nil {
		return nil, err
	}
	dir := conf.Path(conf.Data)
	if client, err := agent.DialControl(dir); err == nil {
		var entries []agent.TraceEntry
		err := agent.CallControl(ctx, client, "/trace", map[string]string{"id": id}, &entries)
		if agent.CodeOf(err) == payment.NotFound {
			return nil, nil
		}
		return entries, explain(err)
	}
	records, err := agent.ReadStore(filepath.Join(dir, agent.StoreFile), id)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // it has never run
	}
	if err != nil {
		return nil, explainAgent(err)
	}
	return agent.TraceOf(identity.String(), records), nil
}

// merge lists each object once, as whoever made it has it, in the order of time.
func merge(all []agent.TraceEntry) []traced {
	slices.SortStableFunc(all, func(x, y agent.TraceEntry) int { return x.Time.Compare(y.Time) })
	var list []traced
	for _, e := range all {
		i := slices.IndexFunc(list, func(t traced) bool { return t.Digest == e.Digest })
		if i < 0 {
			list = append(list, traced{TraceEntry: e, Holders: []string{short(e.Agent)}})
			continue
		}
		t := &list[i]
		if !slices.Contains(t.Holders, short(e.Agent)) {
			t.Holders = append(t.Holders, short(e.Agent))
		}
		if t.Status == "" {
			t.Status = e.Status // whoever made it did not ask for the status of its own certificate
		}
	}
	return list
}

// short is the party of an identity.
func short(uri string) string {
	if uri == "" {
		return "?"
	}
	return uri[strings.LastIndexByte(uri, '/')+1:]
}

func signedBy(t traced) string {
	if t.Signer != "" {
		return "signed by " + short(t.Signer)
	}
	return "sealed to " + t.SealedTo[:min(len(t.SealedTo), 12)]
}
