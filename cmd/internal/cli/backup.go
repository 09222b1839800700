package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/cmd/internal/backup"
	"github.com/payca/payca/cmd/internal/network"
)

type backupOptions struct {
	passphraseFile, keysPassphraseFile string
	withRootKey                        bool
}

func newBackupCommand(a *app) *cobra.Command {
	var o backupOptions
	cmd := &cobra.Command{
		Use:   "backup FILE",
		Short: "Write an encrypted backup of the CA, while it runs or not",
		Long: `Write an encrypted backup of the network in --dir: store, configuration, certificates and keys of
the issuing CAs, keys of the log and the tokens, root certificate and root CRL. Of a running server
the operator's identity in --dir asks; it hands out the state of one moment and goes on serving.
The root's key is in it only with --with-root-key, identities and passphrases never.

  FILE  the file to write, which must not exist`,
		Example: "  payca backup pay.backup",
		Args:    exactly("FILE"),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line seals the backup (default: the one that opens the keys)")
	flags.StringVar(&o.keysPassphraseFile, "keys-passphrase-file", "", "file whose first line opens the keys (default: the configured one, or --passphrase-file where that is missing)")
	flags.BoolVar(&o.withRootKey, "with-root-key", false, "put the root's key, as it lies in --dir, into the backup too")
	return cmd
}

func (o *backupOptions) run(ctx context.Context, a *app, file string) error {
	passphrase, err := sealingPassphrase(a.dir, o.passphraseFile, o.keysPassphraseFile)
	if err != nil {
		return err
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return fail(ExitFailure, fmt.Errorf("%s exists already, want a file that does not", file), "")
	}
	if err != nil {
		return err
	}
	m, err := o.write(ctx, a, passphrase, out)
	if err == nil {
		err = out.Sync()
	}
	info, statErr := out.Stat()
	if err = errors.Join(err, statErr, out.Close()); err != nil {
		_ = os.Remove(file)
		return explainOpen(explain(err), a.dir)
	}
	a.storyf("It opens with the passphrase only: keep that, and a copy of it, elsewhere")
	return a.show(manifestView{File: file, Manifest: m}, func(w io.Writer) {
		fmt.Fprintf(w, "Backed up %s to %s\n", m.Network, file)
		printManifest(w, m)
		fmt.Fprintf(w, "  file      %d octets, mode 0600, encrypted\n", info.Size())
	})
}

// write takes the backup from the store at rest or, where a server has it or none is here, from the server.
func (o *backupOptions) write(ctx context.Context, a *app, passphrase []byte, out io.Writer) (*backup.Manifest, error) {
	cfg := network.BackupConfig{
		Dir: a.dir, Passphrase: passphrase, KeysPassphraseFile: o.keysPassphraseFile, WithRootKey: o.withRootKey, Now: a.now,
	}
	m, err := network.Backup(ctx, cfg, out)
	var locked *boltstore.LockedError
	if !errors.As(err, &locked) && !errors.Is(err, network.ErrNoNetwork) {
		return m, err
	}
	client, err := a.operator()
	if err != nil {
		return nil, err
	}
	sent, err := client.Backup(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sent.Close() }()
	return network.SealArchive(cfg, sent, out)
}

// sealingPassphrase reads the passphrase of a backup: of the file, or else the one of the keys in dir.
func sealingPassphrase(dir, file, keysFile string) ([]byte, error) {
	if file == "" {
		file = keysFile
	}
	if file == "" {
		var err error
		file, err = network.PassphraseFile(dir)
		if errors.Is(err, network.ErrNoNetwork) {
			return nil, usageErrorf("--passphrase-file is missing, and %s holds no network whose passphrase could do", dir)
		}
		if err != nil {
			return nil, err
		}
	}
	return network.ReadPassphrase(file)
}

// explainRestore gives the exit code and the remedy for what goes wrong with a backup that is read.
func explainRestore(err error, dir string) error {
	var format *backup.FormatError
	var damage *backup.DamageError
	var invalid *network.InvalidError
	var notEmpty *network.NotEmptyError
	switch {
	case errors.Is(err, backup.ErrPassphrase):
		return fail(ExitFailure, err, "name the file with the passphrase that sealed the backup: --passphrase-file FILE")
	case errors.Is(err, ca.ErrPassphrase):
		return fail(ExitFailure, err, "name the file with the passphrase of the keys in it: --keys-passphrase-file FILE")
	case errors.As(err, &format):
		return fail(ExitFailure, err, "use the payca that made it")
	case errors.As(err, &damage), errors.As(err, &invalid):
		return fail(ExitInvalid, err, "keep it as evidence, and use another backup")
	case errors.As(err, &notEmpty):
		return fail(ExitFailure, err, "name another directory with --dir; --verify checks a backup without one")
	}
	return explainOpen(err, dir)
}

type manifestView struct {
	File string `json:"file"`
	Dir  string `json:"dir,omitempty"`
	*backup.Manifest
}

func printManifest(w io.Writer, m *backup.Manifest) {
	fmt.Fprintf(w, "  made      %s\n", m.Time.UTC().Format("2006-01-02 15:04:05Z"))
	fmt.Fprintf(w, "  log       %d entries, root %s\n", m.LogSize, m.LogRoot)
	fmt.Fprintf(w, "  holds     %d certificates, %d serials used, CRL numbers up to %d\n", m.Certificates, m.Serials, m.HighestCRL())
}
