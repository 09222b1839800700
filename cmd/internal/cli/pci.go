package cli

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/cmd/internal/api"
)

func newReportPCICommand(a *app) *cobra.Command {
	var asCSV bool
	cmd := &cobra.Command{
		Use:   "pci",
		Short: "List keys, certificates, protocols and suites as PCI DSS asks",
		Long: `Write the inventories that PCI DSS 4.0.1 asks for: the trusted keys and certificates
(requirement 4.2.1.1), which are those of the CA and all valid certificates that it
issued, and the protocols, cipher suites and algorithms in use, with where, what for
and until when (requirement 12.3.3). docs/operations.md explains the columns.`,
		Example: "  payca report pci --csv", Args: atMost(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.json && asCSV {
				return usageErrorf("--json and --csv, want one of them")
			}
			return a.reportPCI(cmd, asCSV)
		},
	}
	cmd.Flags().BoolVar(&asCSV, "csv", false, "write comma-separated values, the first line naming the columns")
	return cmd
}

// A pciLine is one line of the report: a key, a certificate or a suite.
type pciLine struct {
	Requirement string `json:"requirement"` // 4.2.1.1 or 12.3.3
	Kind        string `json:"kind"`        // key, certificate, protocol, algorithm
	Name        string `json:"name"`        // subject, party or suite
	Algorithm   string `json:"algorithm"`   // of the key, or protocol and group
	Signature   string `json:"signature"`   // of the certificate
	Purpose     string `json:"purpose"`
	Where       string `json:"where"`
	Protection  string `json:"protection"`
	Serial      string `json:"serial"`
	NotAfter    string `json:"not_after"`
	SHA256      string `json:"sha256"` // of the public key
	Used        string `json:"used"`   // connections since the server started, and the last; or how many keys

	issuer string // of a certificate
	count  int    // of an algorithm
}

func (l pciLine) columns() []string {
	return []string{l.Requirement, l.Kind, l.Name, l.Algorithm, l.Signature, l.Purpose, l.Where, l.Protection, l.Serial, l.NotAfter, l.SHA256, l.Used}
}

func (a *app) reportPCI(cmd *cobra.Command, asCSV bool) error {
	client, err := a.operator()
	if err != nil {
		return err
	}
	own, err := client.Crypto(cmd.Context())
	if err != nil {
		return explain(err)
	}
	table := csv.NewWriter(a.out)
	write := func(l pciLine) error {
		if asCSV {
			return table.Write(plainCells(l.columns()))
		}
		return a.show(l, func(w io.Writer) { printPCILine(w, l) })
	}
	if asCSV {
		_ = table.Write([]string{ // buffered; Flush has the error
			"requirement", "kind", "name", "algorithm", "signature", "purpose", "where", "protection", "serial", "not_after", "sha256", "used",
		})
	}
	lines, algorithms := 0, algorithmUse{}
	add := func(l pciLine) error {
		lines++
		algorithms.count(l)
		return write(l)
	}
	for _, l := range ownLines(own) {
		if err := add(l); err != nil {
			return err
		}
	}
	for c, err := range client.Certificates(cmd.Context(), url.Values{"status": {"valid"}, "limit": {strconv.Itoa(maxPage)}}) {
		if err != nil {
			return explain(err)
		}
		if err := add(certificatePCILine(c)); err != nil {
			return err
		}
	}
	for _, l := range algorithms.lines() {
		if err := add(l); err != nil {
			return err
		}
	}
	table.Flush()
	a.storyf("%d lines, as of %s", lines, own.Time.Format(time.RFC3339))
	return table.Error()
}

// algorithmUse counts certificates by algorithms and holder, and keeps the last end of each.
type algorithmUse map[algorithmKey]*pciLine

type algorithmKey struct{ key, signature, purpose, where string }

// count counts a key or certificate; other lines, and keys without a certificate, have no end.
func (u algorithmUse) count(l pciLine) {
	if l.Requirement != "4.2.1.1" {
		return
	}
	k := algorithmKey{key: l.Algorithm, signature: l.Signature, purpose: l.Purpose, where: "issued by the " + l.issuer + " CA"}
	if l.Kind == "key" {
		k.purpose, k.where = "the CA's own keys", "CA"
	}
	use := u[k]
	if use == nil {
		use = &pciLine{Requirement: "12.3.3", Kind: "algorithm", Name: k.key, Algorithm: k.key, Signature: k.signature, Purpose: k.purpose, Where: k.where}
		u[k] = use
	}
	use.count++
	use.NotAfter = max(use.NotAfter, l.NotAfter) // RFC 3339 in UTC sorts as the calendar does
}

func (u algorithmUse) lines() (lines []pciLine) {
	for _, use := range u {
		use.Used = fmt.Sprintf("%d keys", use.count)
		lines = append(lines, *use)
	}
	slices.SortFunc(lines, func(x, y pciLine) int {
		return cmp.Or(cmp.Compare(x.Algorithm, y.Algorithm), cmp.Compare(x.Signature, y.Signature), cmp.Compare(x.Where, y.Where), cmp.Compare(x.Purpose, y.Purpose))
	})
	return lines
}

func ownLines(own api.CryptoInventory) (lines []pciLine) {
	for _, k := range own.Keys {
		l := pciLine{
			Requirement: "4.2.1.1", Kind: "key", Name: k.Name, Algorithm: k.Algorithm, Signature: k.Signature, Purpose: k.Purpose,
			Where: k.Where, Protection: k.Protection, Serial: k.Serial, SHA256: k.SHA256,
		}
		if !k.NotAfter.IsZero() {
			l.NotAfter = k.NotAfter.UTC().Format(time.RFC3339)
		}
		lines = append(lines, l)
	}
	for _, s := range own.Suites {
		l := pciLine{Requirement: "12.3.3", Kind: "protocol", Name: s.Suite, Algorithm: strings.TrimSpace(s.Protocol + " " + s.Group), Purpose: s.Purpose, Where: s.Where, Used: "never"}
		if s.Connections > 0 {
			l.Used = fmt.Sprintf("%d connections, last %s", s.Connections, s.LastUsed.UTC().Format(time.RFC3339))
		}
		lines = append(lines, l)
	}
	return lines
}

// certificatePCILine describes an issued certificate. Its key is the party's: where and how it is kept is for the party to say.
func certificatePCILine(c api.Certificate) pciLine {
	name, where := c.Party, "party "+c.Party
	if c.Party == "" {
		name, where = c.Issuer, "CA"
	}
	return pciLine{
		Requirement: "4.2.1.1", Kind: "certificate", Name: name, Algorithm: c.Key, Signature: c.Signature, Purpose: c.Kind + ", profile " + c.Profile,
		Where: where, Protection: "", Serial: c.Serial.String(), NotAfter: c.NotAfter.UTC().Format(time.RFC3339), SHA256: c.KeySHA256, issuer: c.Issuer,
	}
}

func printPCILine(w io.Writer, l pciLine) {
	until := l.Used
	if l.NotAfter != "" {
		until = "until " + l.NotAfter[:len("2006-01-02")]
	}
	fmt.Fprintf(w, "%-8s %-11s %-34s %-24s %-28s %s\n", l.Requirement, l.Kind, l.Name, l.Algorithm, until, l.Purpose)
}
