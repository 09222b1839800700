package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/network"
)

type restoreOptions struct {
	passphraseFile, keysPassphraseFile string
	verify                             bool
}

func newRestoreCommand(a *app) *cobra.Command {
	var o restoreOptions
	cmd := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore a backup into an empty directory, after checking it",
		Long: `Restore a backup into the directory of --dir, which must be empty or missing. Before it takes its
place all of it is checked: the hashes of the manifest, the keys against the issuing CAs, the log
against its signed head, every certificate against its issuer and the log. What fails leaves nothing.
A restored network is served only after payca recover.

  FILE  what payca backup wrote`,
		Example: "  payca restore pay.backup --dir restored --passphrase-file passphrase\n" +
			"  payca restore pay.backup --verify",
		Args: exactly("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return o.run(cmd.Context(), a, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line opens the backup (default: the one that opens the keys in --dir)")
	flags.StringVar(&o.keysPassphraseFile, "keys-passphrase-file", "", "file whose first line opens the keys in it (default: the configured one, or --passphrase-file where that is missing)")
	flags.BoolVar(&o.verify, "verify", false, "check the backup, and restore nothing")
	return cmd
}

func (o *restoreOptions) run(ctx context.Context, a *app, file string) error {
	passphrase, err := sealingPassphrase(a.dir, o.passphraseFile, "")
	if err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	m, err := network.Restore(ctx, network.RestoreConfig{
		Dir: a.dir, From: in, Passphrase: passphrase, KeysPassphraseFile: o.keysPassphraseFile, VerifyOnly: o.verify, Now: a.now,
	})
	if err != nil {
		return explainRestore(err, a.dir)
	}
	view := manifestView{File: file, Manifest: m}
	if o.verify {
		return a.show(view, func(w io.Writer) {
			fmt.Fprintf(w, "ok   %s holds %s, whole and unchanged\n", file, m.Network)
			printManifest(w, m)
		})
	}
	view.Dir = a.dir
	a.storyf("Stop every other copy of this CA. The passphrase of the keys and the operators' identities are not in a backup")
	a.storyf("Next: payca recover --dir %s, which payca serve waits for", a.dir)
	return a.show(view, func(w io.Writer) {
		fmt.Fprintf(w, "Restored %s into %s\n", m.Network, a.dir)
		printManifest(w, m)
	})
}

type recoverOptions struct {
	passphraseFile     string
	noNewer            bool
	crlFloor, logFloor uint64
	unknown, crls      []string
}

func newRecoverCommand(a *app) *cobra.Command {
	var o recoverOptions
	cmd := &cobra.Command{
		Use:   "recover",
		Short: "Raise the numbers of a restored CA above all that may have been used",
		Long: `Make a restored network fit to be served. What happened after the backup is not in it, and relying
parties may have seen it: so say which CRL numbers and log sizes may have been used, choosing rather
too high, or that nothing happened at all. Enrollment tokens that nobody had used by then are ended.

Certificates issued after the backup are unknown to the restored CA, and those revoked after it are
good again: give it the certificates that must not be trusted and the last CRLs of the issuing CAs.`,
		Example: "  payca recover --crl-floor 1000 --log-floor 5000\n" +
			"  payca recover --no-newer",
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd, a) },
	}
	flags := cmd.Flags()
	flags.Uint64Var(&o.crlFloor, "crl-floor", 0, "`N`: no CRL of this network had a higher number")
	flags.Uint64Var(&o.logFloor, "log-floor", 0, "`N`: no signed head of the audit log had more entries")
	flags.BoolVar(&o.noNewer, "no-newer", false, "nothing was issued, revoked or signed after the backup")
	flags.StringArrayVar(&o.unknown, "revoke-unknown", nil, "PEM `file` of certificates issued after the backup; they become revoked (repeatable)")
	flags.StringArrayVar(&o.crls, "crl", nil, "CRL `file` from after the backup, DER or PEM; what it revokes becomes revoked, and its number a floor (repeatable)")
	flags.StringVar(&o.passphraseFile, "passphrase-file", "", "file whose first line opens the keys (default: the configured one)")
	return cmd
}

func (o *recoverOptions) run(cmd *cobra.Command, a *app) error {
	flags := cmd.Flags()
	floors := flags.Changed("crl-floor") && flags.Changed("log-floor")
	if o.noNewer == (floors || flags.Changed("crl-floor") || flags.Changed("log-floor")) || !o.noNewer && !floors {
		return usageErrorf("want --crl-floor and --log-floor, or --no-newer alone")
	}
	if o.noNewer && len(o.unknown)+len(o.crls) > 0 {
		return usageErrorf("--revoke-unknown and --crl name what is newer than the backup, want them without --no-newer")
	}
	cfg := network.RecoverConfig{
		Dir: a.dir, PassphraseFile: o.passphraseFile, NoNewer: o.noNewer, CRLFloor: o.crlFloor, LogFloor: o.logFloor, Now: a.now,
	}
	if err := o.read(&cfg); err != nil {
		return err
	}
	r, err := network.Recover(cmd.Context(), cfg)
	if errors.Is(err, network.ErrNothingToRecover) {
		a.storyf("Nothing to do: the network in %s was not restored, or was recovered before", a.dir)
		return nil
	}
	if err != nil {
		return explainOpen(err, a.dir)
	}
	a.storyf("Next: payca serve")
	return a.show(r, func(w io.Writer) {
		var highest uint64
		for _, n := range r.CRLNumbers {
			highest = max(highest, n)
		}
		fmt.Fprintf(w, "Recovered: log of %d entries, CRL numbers up to %d, %d certificates revoked, %d known before\n", r.LogSize, highest, r.Revoked, r.Known)
	})
}

// read reads the certificates and the CRLs.
func (o *recoverOptions) read(cfg *network.RecoverConfig) error {
	for _, file := range o.unknown {
		certificates, err := readCertificates(file)
		if err != nil {
			return err
		}
		for _, c := range certificates {
			if !c.IsCA { // of a chain
				cfg.Unknown = append(cfg.Unknown, c)
			}
		}
	}
	for _, file := range o.crls {
		der, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if block, _ := pem.Decode(der); block != nil && block.Type == "X509 CRL" {
			der = block.Bytes
		}
		if _, err := x509.ParseRevocationList(der); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		cfg.CRLs = append(cfg.CRLs, der)
	}
	return nil
}
