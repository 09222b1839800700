package cli

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/keystore"
	"github.com/payca/payca/ocsp"
)

func newExportCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "export", Short: "Export an identity for browsers, Java and proxies, or what the CA publishes"}
	cmd.AddCommand(
		newIdentityExportCommand(a, keystore.PKCS12, "Write key and chain in one encrypted file, for browsers and Java", `Write key, certificate, issuer and root into one PKCS#12 file, encrypted, as browsers,
Windows, macOS and Java import or open it.`, "  payca export pkcs12 shop1 --to shop1.p12"),
		newIdentityExportCommand(a, keystore.TrustStore, "Write the root in a trust store, for Java", `Write the root of the network into a PKCS#12 file as Java takes it for a trust store: with
it a Java program believes every party of the network.`, "  payca export truststore shop1 --to trust.p12"),
		newIdentityExportCommand(a, keystore.PEM, "Write certificate, issuer and key in one PEM file, for proxies", `Write certificate, issuer and key into one PEM file, not encrypted, as HAProxy wants it. nginx, Envoy
and Apache read the files of the identity directory: cert.pem, key.pem and ca.pem.`, "  payca export pem shop1 --to shop1.pem"),
		newExportStatusCommand(a),
	)
	return cmd
}

func newExportStatusCommand(a *app) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Write CRLs and issuer certificates for a web server or CDN",
		Long: `Write every CRL, full, delta and shards, and the certificates of the root and the issuing CAs into
a directory, below crl/ and ca/ as certificates name them, so that a plain web server or CDN can
serve them under the status URL. Everything is verified first; a CRL takes the place of an older
one at once, and never that of a newer one. Run it again, as every minute, to keep it current.`,
		Example: "  payca export status --to public",
		Args:    atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if to == "" {
				return usageErrorf("--to is missing, want a directory")
			}
			e := &statusExport{app: a, dir: to}
			if err := e.run(cmd.Context()); err != nil {
				return explain(err)
			}
			return a.show(map[string]any{"dir": to, "written": e.written, "unchanged": e.unchanged}, func(w io.Writer) {
				fmt.Fprintf(w, "Exported to %s: %d files written, %d unchanged\n", to, e.written, e.unchanged)
			})
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "`directory` that the web server serves; made if it does not exist")
	return cmd
}

// A statusExport copies what the status service serves into a directory.
type statusExport struct {
	*app
	dir                string
	base               string // the status URL
	issuers            map[string]*x509.Certificate
	written, unchanged int
}

func (e *statusExport) run(ctx context.Context) error {
	client, err := e.operator()
	if err != nil {
		return err
	}
	reply, err := client.Lists(ctx)
	if err != nil {
		return err
	}
	roots, err := enroll.ReadCertificates(filepath.Join(e.app.dir, network.Operator, enroll.RootFile))
	if err != nil {
		return err
	}
	root := roots[len(roots)-1]
	e.base, e.issuers = reply.StatusURL, map[string]*x509.Certificate{}
	for _, l := range reply.Lists {
		if e.issuers[l.Issuer] == nil {
			if err := e.certificate(ctx, l.Issuer, root); err != nil {
				return err
			}
		}
		if err := e.list(ctx, l.Path, l.Issuer); err != nil {
			return fmt.Errorf("exporting %s: %w", l.Path, err)
		}
	}
	return nil
}

// certificate copies the certificate of an issuer that the root signed, or of the root.
func (e *statusExport) certificate(ctx context.Context, name string, root *x509.Certificate) error {
	path := "/ca/" + name + ".crt"
	der, err := e.fetch(ctx, path)
	if err != nil {
		return fmt.Errorf("exporting %s: %w", path, err)
	}
	c, err := x509.ParseCertificate(der)
	if err == nil && name == "root" && !c.Equal(root) {
		err = errors.New("another root than the operator's")
	} else if err == nil {
		err = c.CheckSignatureFrom(root)
	}
	if err != nil {
		return fmt.Errorf("exporting %s: %w", path, err)
	}
	e.issuers[name] = c
	return e.put(path, der)
}

// list copies a CRL, unless there is a newer one.
func (e *statusExport) list(ctx context.Context, path, issuer string) error {
	der, err := e.fetch(ctx, path)
	if err != nil {
		return err
	}
	ignore := func(ocsp.Entry) error { return nil }
	info, err := ocsp.ScanCRL(bytes.NewReader(der), e.issuers[issuer], ignore)
	if err != nil {
		return err
	}
	f, err := os.Open(e.place(path))
	if errors.Is(err, fs.ErrNotExist) {
		return e.put(path, der)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := ocsp.ScanCRL(f, e.issuers[issuer], ignore)
	if err == nil && before.Number > info.Number {
		return fmt.Errorf("number %d, want at least %d, which is there", info.Number, before.Number)
	}
	return e.put(path, der) // what is there is no list of the issuer, or no newer one
}

func (e *statusExport) place(path string) string {
	return filepath.Join(e.dir, filepath.FromSlash(strings.TrimPrefix(path, "/")))
}

// put writes a file, so that readers see the old one or the new one.
func (e *statusExport) put(path string, data []byte) error {
	place := e.place(path)
	if before, err := os.ReadFile(place); err == nil && bytes.Equal(before, data) {
		e.unchanged++
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(place), 0o755); err != nil { //nolint:gosec // a web server reads it
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(place), ".new-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), place)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	e.written++
	return nil
}

func (e *statusExport) fetch(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, e.base+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %s, want 200", resp.Status)
	}
	const limit = 256 << 20
	data, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err == nil && len(data) > limit {
		err = fmt.Errorf("more than %d MiB", limit>>20)
	}
	return data, err
}
