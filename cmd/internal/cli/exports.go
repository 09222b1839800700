package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/keystore"
)

// exportFlags are the files that enroll and renew keep beside an identity directory.
type exportFlags struct {
	pkcs12, trustStore, pem, passwordFile string
}

func (o *exportFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&o.pkcs12, "pkcs12", "", "keep key and chain in this PKCS#12 `file` too, for browsers and Java")
	flags.StringVar(&o.trustStore, "truststore", "", "keep the root in this PKCS#12 `file`, a trust store for Java")
	flags.StringVar(&o.pem, "pem", "", "keep certificate, issuer and key in this one PEM `file`, for HAProxy and others")
	addPasswordFile(flags, &o.passwordFile)
}

func addPasswordFile(flags *pflag.FlagSet, name *string) {
	flags.StringVar(name, "password-file", "", "`file` with the password of the PKCS#12 file (default: FILE.password, which is made; for a trust store: changeit)")
}

// none says whether there is nothing to write.
func (o *exportFlags) none() bool { return o.pkcs12 == "" && o.trustStore == "" && o.pem == "" }

// files finds the passwords; it makes one where none is.
func (o *exportFlags) files(a *app) ([]keystore.File, error) {
	var files []keystore.File
	for _, f := range []keystore.File{{Form: keystore.PKCS12, Path: o.pkcs12}, {Form: keystore.TrustStore, Path: o.trustStore}, {Form: keystore.PEM, Path: o.pem}} {
		if f.Path == "" {
			continue
		}
		var err error
		if f.Password, err = a.exportPassword(f, o.passwordFile); err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// exportPassword is what the password file says, or a random one that is written beside the PKCS#12 file.
func (a *app) exportPassword(f keystore.File, file string) (string, error) {
	made := f.Form == keystore.PKCS12 && file == ""
	switch {
	case f.Form == keystore.PEM:
		return "", nil
	case f.Form == keystore.TrustStore && file == "":
		return keystore.TrustStorePassword, nil
	case made:
		file = f.Path + ".password"
	}
	raw, err := os.ReadFile(file)
	if made && errors.Is(err, fs.ErrNotExist) {
		password := strings.ToLower(rand.Text())
		a.storyf("Wrote a password to %s", file)
		return password, enroll.WriteFile(file, []byte(password+"\n"), 0o600)
	}
	if err != nil {
		return "", err
	}
	password := strings.TrimRight(string(raw), "\r\n")
	if password == "" || strings.ContainsAny(password, "\r\n") {
		return "", fmt.Errorf("%s has no password, want one line", file)
	}
	return password, nil
}

// paths names the files.
func (o *exportFlags) paths() (paths []string) {
	for _, path := range []string{o.pkcs12, o.trustStore, o.pem} {
		if path != "" {
			paths = append(paths, path)
		}
	}
	return paths
}

// write brings the files up to date with an identity.
func (o *exportFlags) write(a *app, c *enroll.Credential) error {
	files, err := o.files(a)
	if err != nil {
		return err
	}
	for _, f := range files {
		wrote, err := f.Write(c)
		if err != nil {
			return fmt.Errorf("writing the %s of %s: %w", f.Form, c.Identity.Party, err)
		}
		if wrote {
			a.storyf("Wrote %s", f.Path)
		}
	}
	return nil
}

func newIdentityExportCommand(a *app, form keystore.Form, short, long, example string) *cobra.Command {
	var to, passwordFile string
	cmd := &cobra.Command{
		Use:   string(form) + " [PARTY|DIR]",
		Short: short,
		Long: long + `

A file that is there is replaced only if it holds an older certificate of the same
party. payca enroll and payca renew keep it current with --` + string(form) + ` FILE.

  PARTY  an identity in --dir; it may be left out if there is only one
  DIR    the directory of an identity`,
		Example: example,
		Args:    atMost(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if to == "" {
				return usageErrorf("--to is missing, want a file")
			}
			dirs, err := a.identities(args)
			if err != nil {
				return err
			}
			if len(dirs) > 1 {
				return usageErrorf("PARTY is missing: %s has %d identities", a.dir, len(dirs))
			}
			return a.exportIdentity(dirs[0], keystore.File{Form: form, Path: to}, passwordFile)
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`file` to write")
	if form != keystore.PEM {
		addPasswordFile(cmd.Flags(), &passwordFile)
	}
	return cmd
}

func (a *app) exportIdentity(dir string, f keystore.File, passwordFile string) error {
	c, err := enroll.Open(dir)
	if err != nil {
		return err
	}
	if f.Password, err = a.exportPassword(f, passwordFile); err != nil {
		return err
	}
	changed, err := f.Write(c)
	if err != nil {
		return err
	}
	view := map[string]any{"form": f.Form, "file": f.Path, "changed": changed, "party": c.Identity.Party, "not_after": c.Leaf().NotAfter}
	return a.show(view, func(w io.Writer) {
		verb := "Wrote"
		if !changed {
			verb = "Kept"
		}
		fmt.Fprintf(w, "%s %s, the %s of %s until %s\n", verb, f.Path, f.Form, c.Identity.Party, c.Leaf().NotAfter.Format(timeLayout))
	})
}
