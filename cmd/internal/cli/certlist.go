package cli

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/csv"
	"encoding/hex"
	"encoding/pem"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/cmd/internal/api"
)

// certQuery is the flags that select certificates, and how they are written.
type certQuery struct {
	party, role, issuer, profile, kind, status string
	san, key, expiring, after                  string
	limit                                      int
	csv                                        bool
}

func newCertListCommand(a *app) *cobra.Command {
	var o certQuery
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the certificates that were issued",
		Long: `List the certificates that were issued and match every flag. They come in the order in
which they were issued; those that are valid, expired or expiring, of no party, name
or key in particular, in the order in which they end.

With --limit, what follows is fetched with --after and the cursor that is told.`,
		Example: `  payca cert list --party shop1 --status valid
  payca cert list --role merchant --expiring 60d --csv`,
		Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			query, err := o.query(a.now())
			if err != nil {
				return err
			}
			_, err = o.list(cmd.Context(), a, query)
			return err
		},
	}
	flags := cmd.Flags()
	o.addSelection(flags)
	flags.StringVar(&o.party, "party", "", "only of this party")
	flags.StringVar(&o.status, "status", "", "only valid, revoked or expired ones")
	flags.StringVar(&o.san, "san", "", "only with this DNS name, IP address or URI")
	flags.StringVar(&o.key, "key", "", "only for the public key in this `file`: a certificate, a request or a public key, PEM")
	flags.StringVar(&o.expiring, "expiring", "", "only valid ones that end within this `time`, such as 30d or 12h")
	flags.StringVar(&o.after, "after", "", "go on after this `cursor`")
	flags.IntVar(&o.limit, "limit", 0, "list at most so many (default: all)")
	return cmd
}

// addSelection adds the flags that every list of certificates has.
func (o *certQuery) addSelection(flags *pflag.FlagSet) {
	flags.StringVar(&o.role, "role", "", "only of this role")
	flags.StringVar(&o.issuer, "issuer", "", "only by this issuing CA: consumer, merchant, gateway, bank, service")
	flags.StringVar(&o.profile, "profile", "", "only of this profile")
	flags.StringVar(&o.kind, "kind", "", "only of this kind: server, client, encryption, ocsp-signer, other")
	flags.BoolVar(&o.csv, "csv", false, "write comma-separated values, the first line naming the columns")
}

// query is the flags as parameters of the API.
func (o *certQuery) query(now time.Time) (url.Values, error) {
	if o.limit < 0 {
		return nil, usageErrorf("--limit is %d, want 1 or more, or 0 for all", o.limit)
	}
	query := url.Values{}
	for name, value := range map[string]string{
		"party": o.party, "role": o.role, "issuer": o.issuer, "profile": o.profile, "kind": o.kind, "status": o.status, "san": o.san, "after": o.after,
	} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if o.key != "" {
		sum, err := keyHash(o.key)
		if err != nil {
			return nil, err
		}
		query.Set("key", sum)
	}
	if o.expiring == "" {
		return query, nil
	}
	if o.status != "" && o.status != "valid" {
		return nil, usageErrorf("--expiring with --status %s, want valid ones or no --status", o.status)
	}
	within, err := parseDays(o.expiring)
	if err != nil {
		return nil, usageErrorf("--expiring is %q, want a time such as 30d or 12h", o.expiring)
	}
	query.Set("status", "valid")
	query.Set("expires_before", now.Add(within).UTC().Format(time.RFC3339))
	return query, nil
}

// parseDays reads a positive duration that may be given in days.
func parseDays(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil || n == 0 {
			return 0, usageErrorf("%q is no number of days", text)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, usageErrorf("%q is no time", text)
	}
	return d, nil
}

// keyHash is the SHA-256 of the public key in a PEM file.
func keyHash(file string) (string, error) {
	spki, err := publicKeyIn(file)
	sum := sha256.Sum256(spki)
	return hex.EncodeToString(sum[:]), err
}

// publicKeyIn is the public key (SubjectPublicKeyInfo, DER) of the certificate, request or key in a PEM file.
func publicKeyIn(file string) ([]byte, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		return nil, usageErrorf("--key: %s holds no PEM, want a certificate, a request or a public key", file)
	}
	var spki []byte
	switch block.Type {
	case "CERTIFICATE":
		c, parsed := x509.ParseCertificate(block.Bytes)
		if err = parsed; err == nil {
			spki = c.RawSubjectPublicKeyInfo
		}
	case "CERTIFICATE REQUEST":
		r, parsed := x509.ParseCertificateRequest(block.Bytes)
		if err = parsed; err == nil {
			spki = r.RawSubjectPublicKeyInfo
		}
	case "PUBLIC KEY":
		spki = block.Bytes
		_, err = x509.ParsePKIXPublicKey(spki)
	default:
		return nil, usageErrorf("--key: %s holds a %s, want a certificate, a request or a public key", file, block.Type)
	}
	if err != nil {
		return nil, usageErrorf("--key: %s: %w", file, err)
	}
	return spki, nil
}

// maxPage is how many certificates the API gives at once.
const maxPage = 1000

// list writes the certificates of the query, page by page, and returns how many there were.
func (o *certQuery) list(ctx context.Context, a *app, query url.Values) (n int, err error) {
	if a.json && o.csv {
		return 0, usageErrorf("--json and --csv, want one of them")
	}
	client, err := a.operator()
	if err != nil {
		return 0, err
	}
	write, flush := o.writer(a)
	for more := true; more; {
		size := maxPage
		if o.limit > 0 {
			size = min(size, o.limit-n)
		}
		query.Set("limit", strconv.Itoa(size))
		page, err := client.CertificatePage(ctx, query)
		if err != nil {
			return n, explain(err)
		}
		for _, c := range page.Items {
			if err := write(c); err != nil {
				return n, err
			}
		}
		n += len(page.Items)
		query.Set("after", page.Next)
		more = page.Next != "" && (o.limit == 0 || n < o.limit)
		if page.Next != "" && !more {
			defer a.storyf("There are more: --after %s", page.Next)
		}
	}
	return n, flush()
}

// writer writes certificates as lines, JSON or comma-separated values.
func (o *certQuery) writer(a *app) (write func(api.Certificate) error, flush func() error) {
	if !o.csv {
		return func(c api.Certificate) error {
			return a.show(c, func(w io.Writer) { printCertificateLine(w, c) })
		}, func() error { return nil }
	}
	table := csv.NewWriter(a.out)
	_ = table.Write([]string{ // buffered; Flush has the error
		"serial", "status", "party", "role", "issuer", "profile", "kind", "names", "key", "not_before", "not_after", "revoked_at", "reason", "log_index", "sha256",
	})
	return func(c api.Certificate) error {
			var at, reason string
			if c.Revocation != nil {
				at, reason = c.Revocation.At.UTC().Format(time.RFC3339), c.Revocation.Reason.String()
			}
			return table.Write(plainCells([]string{
				c.Serial.String(), c.Status, c.Party, string(c.Role), c.Issuer, c.Profile, c.Kind, strings.Join(c.Names, " "), c.Key, c.NotBefore.UTC().Format(time.RFC3339),
				c.NotAfter.UTC().Format(time.RFC3339), at, reason, strconv.FormatUint(c.Index, 10), c.Thumbprint,
			}))
		}, func() error {
			table.Flush()
			return table.Error()
		}
}
