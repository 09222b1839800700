package cli

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/payca/payca/enroll"
)

type enrollOptions struct {
	out, approval string
	key, csr      string
	force, wait   bool
	exports       exportFlags
}

func newEnrollCommand(a *app) *cobra.Command {
	var o enrollOptions
	cmd := &cobra.Command{
		Use:   "enroll [TOKEN]",
		Short: "Get this party's certificate, or keep it current",
		Long: `Get a certificate with a one-time token: make a key, have it certified, and write
key, certificate and root to --dir/PARTY. Where that identity exists already it is
kept, or renewed if it is due; so the command can be repeated. Where the CA wants
approval, the key and the request are kept in --dir/PARTY, and the same command, or --wait,
gets the certificate once it is approved.

  TOKEN  what payca token create printed; - reads it from standard input, and
         without it PAYCA_TOKEN is used`,
		Example: "  payca enroll - <token.txt",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			token, err := a.tokenText(args)
			if err != nil {
				return err
			}
			return o.run(cmd, a, token)
		},
	}
	cmd.Flags().StringVar(&o.out, "out", "", "directory of the identity (default: PARTY in --dir)")
	cmd.Flags().BoolVar(&o.wait, "wait", false, "wait until approvers have decided")
	cmd.Flags().StringVar(&o.approval, "approval", "", "`file` with the approval that the party's bank signed")
	cmd.Flags().StringVar(&o.key, "key-file", "", "`file` with the private key to certify, PEM; it is copied into the directory (default: a new key)")
	cmd.Flags().StringVar(&o.csr, "csr", "", "`file` with a request on the key in --key-file, PEM (default: a new request)")
	o.exports.add(cmd.Flags())
	cmd.Flags().BoolVar(&o.force, "force", false, "enroll again although the identity is current; the key it has is kept aside")
	return cmd
}

// tokenText finds the token: argument, standard input or environment.
func (a *app) tokenText(args []string) (string, error) {
	switch {
	case len(args) == 1 && args[0] == "-":
		raw, err := io.ReadAll(io.LimitReader(a.in, 64<<10))
		return strings.TrimSpace(string(raw)), err
	case len(args) == 1:
		return strings.TrimSpace(args[0]), nil
	}
	if token, _ := a.lookupEnv("PAYCA_TOKEN"); token != "" {
		return strings.TrimSpace(token), nil
	}
	return "", usageErrorf("no token, want it as argument, on standard input (-) or in PAYCA_TOKEN")
}

func (o *enrollOptions) run(cmd *cobra.Command, a *app, text string) error {
	token, err := enroll.ReadToken(text)
	if err != nil {
		return fail(ExitUsage, err, "a token is what payca token create PARTY prints")
	}
	dir := o.out
	if dir == "" {
		dir = filepath.Join(a.dir, token.Party)
	}
	var approval []byte
	if o.approval != "" {
		if approval, err = os.ReadFile(o.approval); err != nil {
			return err
		}
	}
	conf := enroll.EnrollConfig{
		Token: text, Dir: dir, Force: o.force, Wait: o.wait, Approval: strings.TrimSpace(string(approval)),
		Notify: func(p enroll.Pending) {
			a.storyf("Request %s waits for %s, until %s", p.ID, p.Wants, p.NotAfter.Format(timeLayout))
		},
	}
	if conf.Key, conf.CSR, err = o.ownKey(); err != nil {
		return err
	}
	outcome, err := enroll.Enroll(cmd.Context(), conf)
	if e, ok := errors.AsType[*enroll.TokenError](err); ok && e.Rule == "token-binding" {
		return fail(ExitUsage, err, "name the key and request that the token was made for: --key-file, --csr")
	}
	if e, ok := errors.AsType[*exitError](explain(err)); ok {
		e.hint = strings.ReplaceAll(e.hint, "PARTY", token.Party)
		return e
	}
	if err != nil {
		return err
	}
	if outcome.Action == enroll.Waiting {
		return a.showWaiting(outcome)
	}
	c, err := enroll.Open(dir)
	if err != nil {
		return err
	}
	if err := o.exports.write(a, c); err != nil {
		return err
	}
	outcome.Files = append(outcome.Files, o.exports.paths()...)
	if outcome.Action == enroll.Enrolled {
		a.storyf("Trusting %s   root sha256:%s, from the token", token.Network, abbreviate(token.RootFingerprint))
	}
	return a.showOutcome(outcome)
}

// ownKey is the key and the request that the flags name, nil for none.
func (o *enrollOptions) ownKey() (key crypto.Signer, csr []byte, err error) {
	if o.csr != "" && o.key == "" {
		return nil, nil, usageErrorf("--csr without --key-file, want the key that the request is on")
	}
	if o.key != "" {
		if key, err = readPrivateKey(o.key); err != nil {
			return nil, nil, err
		}
	}
	if o.csr != "" {
		csr, err = readRequest(o.csr)
	}
	return key, csr, err
}

// readPrivateKey reads a private key in PEM: PKCS#8, SEC 1 or PKCS#1.
func readPrivateKey(file string) (crypto.Signer, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	for rest := raw; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, usageErrorf("--key-file: %s holds no private key in PEM that is not encrypted", file)
		}
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue // openssl writes EC PARAMETERS before the key
		}
		if err != nil {
			return nil, usageErrorf("--key-file: %s: %w", file, err)
		}
		if signer, ok := key.(crypto.Signer); ok {
			return signer, nil
		}
		return nil, usageErrorf("--key-file: %s holds a key of type %T, want one that signs", file, key)
	}
}

// showWaiting says what an enrollment waits for.
func (a *app) showWaiting(o enroll.Outcome) error {
	view := map[string]any{"action": o.Action, "party": o.Identity.Party, "role": o.Identity.Role, "network": o.Identity.Network, "pending": o.Pending}
	err := a.show(view, func(w io.Writer) {
		fmt.Fprintf(w, "Waiting %s as %s: request %s wants %d more for %s\n", o.Identity.Party, o.Identity.Role, o.Pending.ID, o.Pending.Missing, o.Pending.Wants)
	})
	if err != nil {
		return err
	}
	return silent(ExitDue)
}

// showOutcome says what became of an identity and where its files are.
func (a *app) showOutcome(o enroll.Outcome) error {
	return a.show(outcomeView(o), func(w io.Writer) {
		const layout = "2006-01-02 15:04"
		verb := map[enroll.Action]string{enroll.Enrolled: "Enrolled", enroll.Kept: "Kept", enroll.Renewed: "Renewed"}[o.Action]
		fmt.Fprintf(w, "%s %s as %s until %s, renews after %s\n", verb, o.Identity.Party, o.Identity.Role, o.NotAfter.Format(layout), o.RenewAfter.Format("2006-01-02"))
		fmt.Fprintf(w, "  %s\n", strings.Join(o.Files, "  "))
	})
}

func outcomeView(o enroll.Outcome) map[string]any {
	return map[string]any{
		"action": o.Action, "party": o.Identity.Party, "role": o.Identity.Role, "network": o.Identity.Network,
		"serial": o.Serial, "not_after": o.NotAfter, "renew_after": o.RenewAfter, "files": o.Files,
	}
}

// identities finds the identity directories that args name, or all in --dir.
func (a *app) identities(args []string) ([]string, error) {
	if len(args) == 0 {
		found, err := filepath.Glob(filepath.Join(a.dir, "*", enroll.MetaFile))
		if err != nil {
			return nil, err
		}
		for i := range found {
			found[i] = filepath.Dir(found[i])
		}
		if len(found) == 0 {
			return nil, fail(ExitFailure, fmt.Errorf("no identity in %s", a.dir), "get one: payca enroll TOKEN")
		}
		return found, nil
	}
	dirs := make([]string, len(args))
	for i, arg := range args {
		dirs[i] = filepath.Join(a.dir, arg)
		if _, err := os.Stat(filepath.Join(arg, enroll.MetaFile)); err == nil {
			dirs[i] = arg
		}
		if _, err := os.Stat(filepath.Join(dirs[i], enroll.MetaFile)); err != nil {
			return nil, fail(ExitFailure, fmt.Errorf("no identity %q in %s", arg, a.dir), "payca enroll TOKEN makes one; --dir names another place")
		}
	}
	return dirs, nil
}
