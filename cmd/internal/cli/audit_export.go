package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/payca/payca/ca/audit"
)

func newAuditExportCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "export FILE",
		Short: "Write the audit log as one file that can be verified anywhere",
		Long: `Write the whole audit log, up to its newest signed head, as JSON lines: a header
with the head, then one line for each entry. payca audit verify FILE proves it, with
nothing else at hand. Works on a running server and on a store that is not being served.

  FILE  a file that does not exist yet, or - for standard output`,
		Example: "  payca audit export audit.jsonl", Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			log, err := a.openLog(cmd.Context())
			if err != nil {
				return explain(err)
			}
			defer func() { err = errors.Join(err, log.close()) }()
			var report audit.Report
			if args[0] == "-" {
				report, err = audit.Export(cmd.Context(), a.out, log, log.key)
				return explainLog(err)
			}
			if report, err = exportTo(cmd.Context(), args[0], log, log.key); err != nil {
				return explainLog(err)
			}
			return a.show(map[string]any{"file": args[0], "entries": report.Size, "root": report.Root.String()}, func(w io.Writer) {
				fmt.Fprintf(w, "Wrote %d entries to %s, root %s\n", report.Size, args[0], report.Root)
			})
		},
	}
}

// exportTo writes a new file; of an export that came to nothing none stays.
func exportTo(ctx context.Context, path string, log audit.Reader, key string) (audit.Report, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return audit.Report{}, err
	}
	report, err := audit.Export(ctx, f, log, key)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return audit.Report{}, errors.Join(err, os.Remove(path))
	}
	return report, nil
}

func newAuditVerifyCommand(a *app) *cobra.Command {
	var keyFile, witness string
	cmd := &cobra.Command{
		Use:   "verify [FILE]",
		Short: "Prove that nothing in the audit log was dropped or changed",
		Long: `Recompute the Merkle tree of the audit log from its entries and compare it with the
signed head. Without FILE it reads the log of a running server, or of a store that is not
being served. With FILE it reads an export and nothing else.

Give the key with --key: without it a FILE is verified with the key that stands in it,
and who forged the one may have forged the other. A log that was cut together with its
head verifies: --witness finds that out.

  FILE  what payca audit export wrote, or - for standard input`,
		Example: "  payca audit verify\n  payca audit verify audit.jsonl --key log.pub", Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := readLogKey(keyFile)
			if err != nil {
				return err
			}
			if len(args) == 1 {
				return a.verifyExport(args[0], key, witness)
			}
			return a.verifyLog(cmd.Context(), key, witness)
		},
	}
	cmd.Flags().StringVar(&keyFile, "key", "", "`file` with the log's verifier key: the CA's ca/log.pub")
	cmd.Flags().StringVar(&witness, "witness", "", "witness `file`, as payca audit witness keeps it: the log has to continue it")
	return cmd
}

// verifyLog proves the log of the store or the server, with key if it is not "".
func (a *app) verifyLog(ctx context.Context, key, witness string) (err error) {
	log, err := a.openLog(ctx)
	if err != nil {
		return explain(err)
	}
	defer func() { err = errors.Join(err, log.close()) }()
	if key == "" {
		key = log.key
	}
	seen, err := witnessed(witness, key)
	if err != nil {
		return err
	}
	report, err := audit.VerifyAgainst(ctx, log, key, seen)
	if err != nil {
		return explainLog(err)
	}
	return a.show(map[string]any{"ok": true, "entries": report.Size, "root": report.Root.String(), "key": key}, func(w io.Writer) {
		fmt.Fprintf(w, "ok   %d entries, root %s, signed by %s\n", report.Size, report.Root, key)
	})
}

// verifyExport proves an export, with its own key if key is "".
func (a *app) verifyExport(path, key, witness string) error {
	in, err := a.openInput(path)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	var seen audit.Head
	if witness != "" {
		if key == "" {
			return usageErrorf("--witness is given and --key is not: want both, as the witness's head is verified with the key too")
		}
		if seen, err = witnessed(witness, key); err != nil {
			return err
		}
	}
	header, report, err := audit.VerifyExportAgainst(in, key, seen)
	if err != nil {
		return explainLog(err)
	}
	view := map[string]any{"ok": true, "entries": report.Size, "root": report.Root.String(), "key": header.Key, "key_checked": key != ""}
	return a.show(view, func(w io.Writer) {
		fmt.Fprintf(w, "ok   %d entries, root %s, signed by %s\n", report.Size, report.Root, header.Key)
		if key == "" {
			fmt.Fprintln(w, "     that key is the file's own word: compare it with the CA's ca/log.pub, or give that with --key")
		}
	})
}

// openInput opens a file that an argument names, or standard input for -.
func (a *app) openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.in), nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, usageErrorf("%w", err)
	}
	return f, nil
}

// readLogKey reads the verifier key of a log; "" for no file.
func readLogKey(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", usageErrorf("--key: %w", err)
	}
	key := strings.TrimSpace(string(raw))
	if _, err := note.NewVerifier(key); err != nil {
		return "", usageErrorf("--key: %s holds %.80q, want the verifier key of an audit log, as in ca/log.pub", path, key)
	}
	return key, nil
}

// explainLog gives an error in a log its exit code and hint.
func explainLog(err error) error {
	switch {
	case errors.As(err, new(*audit.Corruption)):
		return fail(ExitInvalid, err, "the log was changed after it was written: keep what is there as evidence and restore a backup")
	case errors.As(err, new(*audit.HeadError)):
		return fail(ExitInvalid, err, "the head was not signed with this key: ask the CA for its ca/log.pub, and keep what is there as evidence")
	case errors.As(err, new(*audit.ForkError)):
		return fail(ExitInvalid, err, "keep the log and the witness file as evidence; only an export that is older than the witness file is shorter by right")
	case errors.As(err, new(*audit.ProofError)):
		return fail(ExitInvalid, err, "the proof was changed, or never was one: ask for another with payca audit prove SERIAL")
	case errors.Is(err, os.ErrExist):
		return fail(ExitFailure, err, "name a file that does not exist yet")
	}
	return explain(err)
}
