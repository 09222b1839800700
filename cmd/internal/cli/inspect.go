package cli

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// inspectOptions is payca inspect.
type inspectOptions struct {
	*app
	file string
}

func (a *app) inspectCommand() *cobra.Command {
	return a.newCommand(&cobra.Command{
		Use:   "inspect FILE",
		Short: "Show what is in a certificate, request, CRL, OCSP message or token",
		Long: `Show what a file says, without judging it: certificates, certificate requests, CRLs,
OCSP requests and responses, enrollment tokens, and of private keys only what kind
they are. PEM or DER; a file may hold several.

  FILE  the file, - for standard input`,
		Example: "  payca inspect cert.pem",
	}, &inspectOptions{app: a})
}

func (o *inspectOptions) addFlags(*pflag.FlagSet) {}

func (o *inspectOptions) validate(args []string) error {
	if err := exactly("FILE")(nil, args); err != nil {
		return err
	}
	o.file = args[0]
	return nil
}

func (o *inspectOptions) run(context.Context) error {
	raw, err := o.read()
	if err != nil {
		return err
	}
	found, err := inspect(raw)
	for _, item := range found {
		if err := o.show(item, item.print); err != nil {
			return err
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", o.file, err)
	}
	return nil
}

// read reads the file or standard input, at most maxFile.
func (o *inspectOptions) read() ([]byte, error) {
	in := o.in
	if o.file != "-" {
		f, err := os.Open(o.file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	if err == nil && len(raw) > maxFile {
		err = fmt.Errorf("%s: over %d MiB", o.file, maxFile>>20)
	}
	return raw, err
}

// An inspection is what one object says: its kind, and its fields in order.
type inspection struct {
	Kind   string            `json:"kind"`
	Fields map[string]string `json:"fields"`
	order  []string
}

func (i *inspection) add(name, format string, args ...any) {
	value := fmt.Sprintf(format, args...)
	if value == "" {
		return
	}
	if i.Fields == nil {
		i.Fields = map[string]string{}
	}
	if old, ok := i.Fields[name]; ok {
		i.Fields[name] = old + ", " + value
		return
	}
	i.Fields[name] = value
	i.order = append(i.order, name)
}

func (i *inspection) print(w io.Writer) {
	fmt.Fprintln(w, i.Kind)
	for _, name := range i.order {
		fmt.Fprintf(w, "  %-15s %s\n", name, strings.ReplaceAll(i.Fields[name], "\n", `\n`))
	}
}

// errUnknownForm says that data is nothing that payca knows.
var errUnknownForm = errors.New("neither PEM nor DER of a certificate, request, CRL, OCSP message or key, nor a token")

// inspect reads everything in data. What was read before an error is returned with it.
func inspect(data []byte) ([]*inspection, error) {
	if block, _ := pem.Decode(data); block == nil {
		item, err := inspectOne("", bytes.TrimSpace(data), data)
		if err != nil {
			return nil, err
		}
		return []*inspection{item}, nil
	}
	var found []*inspection
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			return found, nil
		}
		item, err := inspectOne(block.Type, nil, block.Bytes)
		if err != nil {
			return found, fmt.Errorf("%s: %w", block.Type, err)
		}
		found, data = append(found, item), rest
	}
}

// inspectOne reads one object: of the PEM type if there is one, else of whatever kind fits.
func inspectOne(kind string, text, der []byte) (*inspection, error) {
	switch {
	case kind == "CERTIFICATE":
		return inspectCertificate(der)
	case strings.HasSuffix(kind, "CERTIFICATE REQUEST"):
		return inspectCSR(der)
	case kind == "X509 CRL":
		return inspectCRL(der)
	case strings.HasSuffix(kind, "PRIVATE KEY"):
		return inspectKey(kind, der)
	case kind != "":
		return nil, errUnknownForm
	}
	if bytes.HasPrefix(text, []byte("eyJ")) {
		return inspectToken(string(text))
	}
	for _, read := range []func([]byte) (*inspection, error){inspectCertificate, inspectCRL, inspectCSR, inspectOCSPResponse, inspectOCSPRequest} {
		if item, err := read(der); err == nil {
			return item, nil
		}
	}
	if item, err := inspectKey("PRIVATE KEY", der); err == nil {
		return item, nil
	}
	return nil, errUnknownForm
}

func inspectCertificate(der []byte) (*inspection, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	item := &inspection{Kind: "certificate"}
	item.add("subject", "%s", c.Subject)
	item.add("issuer", "%s", c.Issuer)
	item.add("serial", "%x", c.SerialNumber)
	item.add("valid", "%s to %s", timestamp(c.NotBefore), timestamp(c.NotAfter))
	for _, uri := range c.URIs {
		item.add("uri", "%s", uri)
	}
	item.add("dns", "%s", strings.Join(c.DNSNames, ", "))
	for _, ip := range c.IPAddresses {
		item.add("ip", "%s", ip)
	}
	item.add("key", "%s", policy.DescribeKey(c.PublicKey))
	item.add("key usage", "%s", keyUsages(c.KeyUsage))
	for _, usage := range c.ExtKeyUsage {
		item.add("extended usage", "%s", extKeyUsage(usage))
	}
	if c.IsCA {
		item.add("ca", "yes, path length %d", c.MaxPathLen)
	}
	item.add("permitted uris", "%s", strings.Join(c.PermittedURIDomains, ", "))
	item.add("excluded dns", "%s", strings.Join(quoteAll(c.ExcludedDNSDomains), ", "))
	for _, block := range c.ExcludedIPRanges {
		item.add("excluded ips", "%s", block)
	}
	item.add("ocsp", "%s", strings.Join(c.OCSPServer, ", "))
	item.add("crl", "%s", strings.Join(c.CRLDistributionPoints, ", "))
	item.add("ca issuers", "%s", strings.Join(c.IssuingCertificateURL, ", "))
	item.add("signature", "%s", c.SignatureAlgorithm)
	sum := sha256.Sum256(c.Raw)
	item.add("sha256", "%s", hex.EncodeToString(sum[:]))
	return item, nil
}

func inspectCSR(der []byte) (*inspection, error) {
	r, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	item := &inspection{Kind: "certificate request"}
	item.add("subject", "%s", r.Subject)
	for _, uri := range r.URIs {
		item.add("uri", "%s", uri)
	}
	item.add("dns", "%s", strings.Join(r.DNSNames, ", "))
	for _, ip := range r.IPAddresses {
		item.add("ip", "%s", ip)
	}
	item.add("key", "%s", policy.DescribeKey(r.PublicKey))
	item.add("signature", "%s", r.SignatureAlgorithm)
	verdict := "yes, and payca would read it"
	if _, err := policy.ParseCSR(der); err != nil {
		verdict = "no: " + err.Error()
	}
	item.add("acceptable", "%s", verdict)
	return item, nil
}

func inspectCRL(der []byte) (*inspection, error) {
	l, err := ocsp.ParseCRL(der)
	if err != nil {
		return nil, err
	}
	item := &inspection{Kind: "certificate revocation list"}
	item.add("issuer", "%s", name(l.Issuer))
	item.add("number", "%d", l.Number)
	item.add("updated", "%s, next %s", timestamp(l.ThisUpdate), timestamp(l.NextUpdate))
	item.add("entries", "%d", l.Len())
	const shown = 20
	n := 0
	for entry := range l.All() {
		if n++; n > shown {
			item.add("revoked", "and %d more", l.Len()-shown)
			break
		}
		item.add("revoked", "%x at %s for %s", entry.Serial, timestamp(entry.At), ca.Reason(entry.Reason))
	}
	return item, nil
}

func inspectOCSPRequest(der []byte) (*inspection, error) {
	r, err := ocsp.ParseRequest(der)
	if err != nil {
		return nil, err
	}
	item := &inspection{Kind: "ocsp request"}
	for _, id := range r.CertIDs {
		item.add("asks about", "serial %x (%s of issuer key %x)", id.Serial, id.Hash, id.IssuerKeyHash)
	}
	item.add("nonce", "%x", r.Nonce)
	return item, nil
}

func inspectOCSPResponse(der []byte) (*inspection, error) {
	r, err := ocsp.ParseResponse(der)
	item := &inspection{Kind: "ocsp response"}
	if refused, ok := errors.AsType[*ocsp.ResponseError](err); ok {
		item.add("status", "%s", refused.Status)
		return item, nil
	}
	if err != nil {
		return nil, err
	}
	item.add("status", "successful")
	item.add("produced", "%s", timestamp(r.ProducedAt))
	if r.ResponderName != nil {
		item.add("responder", "%s", name(r.ResponderName))
	}
	item.add("responder key", "%x", r.ResponderKeyHash)
	for _, s := range r.Singles {
		text := s.State.String()
		if s.State == ocsp.Revoked {
			text += " since " + timestamp(s.RevokedAt) + " for " + ca.Reason(s.Reason).String()
		}
		item.add("says", "serial %x is %s, from %s to %s", s.CertID.Serial, text, timestamp(s.ThisUpdate), timestamp(s.NextUpdate))
	}
	item.add("nonce", "%x", r.Nonce)
	for _, c := range r.Certificates {
		item.add("certificate", "%s, until %s", c.Subject, timestamp(c.NotAfter))
	}
	return item, nil
}

func inspectToken(text string) (*inspection, error) {
	t, err := enroll.ReadToken(text)
	if err != nil {
		return nil, err
	}
	item := &inspection{Kind: "enrollment token (signature not checked)"}
	item.add("id", "%s", t.ID)
	item.add("party", "%s", t.Party)
	item.add("role", "%s", t.Role)
	item.add("profile", "%s", t.Profile)
	item.add("network", "%s", t.Network)
	item.add("ca", "%s", t.URL)
	item.add("root", "sha256:%s", t.RootFingerprint)
	item.add("dns", "%s", strings.Join(t.DNSNames, ", "))
	item.add("valid", "%s to %s", timestamp(t.IssuedAt), timestamp(t.NotAfter))
	return item, nil
}

func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
