package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca/audit"
)

func newAuditWitnessCommand(a *app) *cobra.Command {
	var file, keyFile string
	cmd := &cobra.Command{
		Use:   "witness",
		Short: "Keep the newest head of the audit log, if it continues the one that was kept",
		Long: `Fetch the newest signed head of the audit log, prove that it continues the head in the
witness file, and only then replace that. The first time the file is made. A log that was
cut or rewritten since is refused with exit code 5, and the file stays as it is: evidence.

Run it again and again, on another machine than the CA's, and keep the file there.`,
		Example: "  payca audit witness --file witness.head --key log.pub", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usageErrorf("--file is missing")
			}
			key, err := readLogKey(keyFile)
			if err != nil {
				return err
			}
			return a.withLog(cmd.Context(), func(log *openLog) error {
				if key == "" {
					key = log.key
				}
				seen, err := readWitness(file, key)
				if err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				signed, head, err := audit.Witness(cmd.Context(), log.Reader, key, seen)
				if err != nil {
					return explainLog(err)
				}
				if head.Size != seen.Size {
					if err := replaceFile(file, signed); err != nil {
						return err
					}
				}
				return a.showWitness(file, seen, head)
			})
		},
	}
	cmd.Flags().StringVar(&file, "file", "", "witness `file`: the head that was seen last")
	cmd.Flags().StringVar(&keyFile, "key", "", "`file` with the log's verifier key: the CA's ca/log.pub; without it that of --dir, or else the server's word")
	return cmd
}

func (a *app) showWitness(file string, seen, head audit.Head) error {
	view := map[string]any{"ok": true, "file": file, "before": seen.Size, "entries": head.Size, "root": head.Root.String()}
	return a.show(view, func(w io.Writer) {
		switch seen.Size {
		case 0:
			fmt.Fprintf(w, "ok   %d entries, root %s, seen for the first time\n", head.Size, head.Root)
		case head.Size:
			fmt.Fprintf(w, "ok   %d entries, root %s, as before\n", head.Size, head.Root)
		default:
			fmt.Fprintf(w, "ok   %d entries, root %s, continues the %d that were seen before\n", head.Size, head.Root, seen.Size)
		}
	})
}

// witnessed reads the witness file of --witness; "" is none, and a zero head.
func witnessed(path, key string) (audit.Head, error) {
	if path == "" {
		return audit.Head{}, nil
	}
	head, err := readWitness(path, key)
	if errors.Is(err, fs.ErrNotExist) {
		return head, usageErrorf("--witness: %w", err)
	}
	return head, err
}

// readWitness reads the head in a witness file; fs.ErrNotExist if there is none.
func readWitness(path, key string) (audit.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return audit.Head{}, err
	}
	defer func() { _ = f.Close() }()
	signed, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return audit.Head{}, err
	}
	head, err := audit.ParseHead(signed, key)
	if err != nil {
		return audit.Head{}, fail(ExitInvalid, fmt.Errorf("reading the witness file %s: %w", path, err), "it is no head of this log, or was changed: look for the one you kept")
	}
	return head, nil
}

// replaceFile puts the bytes in the place of the file, wholly or not at all.
func replaceFile(path string, data []byte) error {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
