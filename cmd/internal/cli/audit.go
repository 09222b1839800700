package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/network"
)

func newAuditCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Read the audit log and prove it"}
	cmd.AddCommand(newAuditListCommand(a), newAuditVerifyCommand(a), newAuditExportCommand(a), newAuditProveCommand(a), newAuditVerifyProofCommand(a), newAuditWitnessCommand(a))
	cmd.PersistentFlags().StringVar(&a.as, "as", network.Operator, "identity in --dir that asks the server: an operator or auditor")
	return cmd
}

// An openLog is an audit log at hand.
type openLog struct {
	audit.Reader
	key    string                                                         // verifier key of its heads
	issued func(ctx context.Context, serial ca.Serial) (ca.Record, error) // what was issued under a serial
	close  func() error
}

// openLog opens the log: the store's where no server holds it, else the server's.
func (a *app) openLog(ctx context.Context) (*openLog, error) {
	path, err := network.StorePath(a.dir)
	if err == nil {
		var store *boltstore.Store
		store, err = boltstore.OpenReadOnly(path)
		if err == nil {
			key, err := network.LogKey(a.dir)
			if err != nil {
				return nil, errors.Join(err, store.Close())
			}
			return &openLog{Reader: store.Log(), key: key, issued: store.BySerial, close: store.Close}, nil
		}
	}
	var locked *boltstore.LockedError
	if !errors.As(err, &locked) && !errors.Is(err, network.ErrNoNetwork) {
		return nil, err
	}
	client, err := a.clientAs(a.as)
	if err != nil {
		return nil, err
	}
	key, err := network.LogKey(a.dir) // the key on disk is worth more than the server's word
	if errors.Is(err, os.ErrNotExist) {
		key, err = client.LogKey(ctx)
	}
	if err != nil {
		return nil, err
	}
	issued := func(ctx context.Context, serial ca.Serial) (ca.Record, error) {
		c, err := client.Certificate(ctx, serial.String())
		return c.Record, err
	}
	return &openLog{Reader: client, key: key, issued: issued, close: func() error { return nil }}, nil
}

// withLog runs with the log open.
func (a *app) withLog(ctx context.Context, run func(log *openLog) error) error {
	log, err := a.openLog(ctx)
	if err != nil {
		return explain(err)
	}
	return errors.Join(run(log), log.close())
}

func newAuditListCommand(a *app) *cobra.Command {
	var kind, party string
	cmd := &cobra.Command{
		Use: "list", Short: "List the events of the audit log", Example: "  payca audit list --kind certificate.refused", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			log, err := a.openLog(cmd.Context())
			if err != nil {
				return explain(err)
			}
			defer func() { err = errors.Join(err, log.close()) }()
			for index := uint64(0); ; {
				leaves, err := log.Leaves(cmd.Context(), index, 1000)
				if err != nil || len(leaves) == 0 {
					return explain(err)
				}
				for _, leaf := range leaves {
					event, err := audit.ParseEvent(leaf)
					if err != nil {
						return fmt.Errorf("entry %d: %w", index, err)
					}
					if (kind == "" || kind == string(event.Kind)) && (party == "" || party == event.Party) {
						view := eventView{Index: index, Event: event}
						if err := a.show(view, func(w io.Writer) { printEvent(w, view) }); err != nil {
							return err
						}
					}
					index++
				}
			}
		},
	}
	cmd.Flags().StringVar(&kind, "kind", "", "only events of this kind, such as certificate.issued")
	cmd.Flags().StringVar(&party, "party", "", "only events of this party")
	return cmd
}

type eventView struct {
	Index uint64 `json:"index"`
	audit.Event
}

// printEvent prints an event on one line, whatever its fields hold.
func printEvent(w io.Writer, e eventView) {
	fmt.Fprintf(w, "%6d  %s  %-20s", e.Index, e.Time.Format("2006-01-02 15:04:05Z"), e.Kind)
	for _, field := range []struct{ name, value string }{
		{"party", e.Party},
		{"role", e.Role},
		{"profile", e.Profile},
		{"serial", e.Serial},
		{"issuer", e.Issuer},
		{"reason", e.Reason},
		{"by", e.Actor},
		{"from", e.From},
	} {
		switch {
		case field.value == "":
		case strings.ContainsFunc(field.value, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' }):
			fmt.Fprintf(w, " %s=%q", field.name, field.value)
		default:
			fmt.Fprintf(w, " %s=%s", field.name, field.value)
		}
	}
	fmt.Fprintln(w)
}
