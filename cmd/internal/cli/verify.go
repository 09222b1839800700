package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

type verifyOptions struct{ role, as string }

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify WHAT",
		Short: "Verify a certificate or a host: path, role, revocation",
		Long: `Verify a certificate against the network's root: the path, the one identity it
carries, the CA that issued it, and its revocation. Exit status 5 if any of it fails.

  WHAT  a certificate file (leaf first, then its issuer), or https://HOST:PORT`,
		Example: "  payca verify shop1/cert.pem --role merchant",
		Args:    exactly("WHAT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, a, args[0]) },
	}
	cmd.Flags().StringVar(&o.role, "role", "", "role that it must have")
	cmd.Flags().StringVar(&o.as, "as", "", "identity in --dir to trust with, and to call hosts as (default: the only one, or operator)")
	return cmd
}

func (o *verifyOptions) run(cmd *cobra.Command, a *app, what string) error {
	if o.role != "" {
		if _, err := policy.ParseRole(o.role); err != nil {
			return usageErrorf("--%v", err)
		}
	}
	source, err := a.source(o.as)
	if err != nil {
		return err
	}
	presented, use, err := present(cmd.Context(), source, what)
	if err != nil {
		return err
	}
	now := time.Now()
	peer, err := source.Trust().Identify(presented, use, now)
	if err == nil && o.role != "" {
		err = mtls.AuthorizeRole(policy.Role(o.role))(peer)
	}
	if err != nil {
		return invalid(err)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true})
	if err != nil {
		return err
	}
	verdict, err := checker.Check(cmd.Context(), peer.Leaf, peer.Issuer, nil)
	if err == nil {
		_, err = checker.Check(cmd.Context(), peer.Issuer, peer.Chain[len(peer.Chain)-1], nil)
	}
	if err != nil {
		return invalid(err)
	}
	age := max(0, now.Sub(asOf(verdict))).Round(time.Second)
	left := peer.Leaf.NotAfter.Sub(now)
	return a.show(map[string]any{
		"valid": true, "party": peer.Identity.Party, "role": peer.Identity.Role, "network": peer.Identity.Network, "uri": peer.Identity.String(),
		"path": len(peer.Chain), "status": verdict.State.String(), "status_by": verdict.Source, "status_age_seconds": age.Seconds(),
		"not_after": peer.Leaf.NotAfter, "serial": fmt.Sprintf("%x", peer.Leaf.SerialNumber),
	}, func(w io.Writer) {
		id := peer.Identity
		fmt.Fprintf(w, "ok   %s is %s %s of %s   path %d, %s good %s ago, %s left\n", id.Party, article(string(id.Role)), id.Role, id.Network,
			len(peer.Chain), strings.ToUpper(verdict.Source), age, lifeLeft(left))
	})
}

// asOf is when an answer was made: a CRL says so by thisUpdate.
func asOf(v ocsp.Verdict) time.Time {
	if v.ProducedAt.IsZero() {
		return v.ThisUpdate
	}
	return v.ProducedAt
}

func article(noun string) string {
	if strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an"
	}
	return "a"
}

func lifeLeft(d time.Duration) string {
	if d > 48*time.Hour {
		return fmt.Sprintf("%d days", int(d.Hours()/24))
	}
	return d.Round(time.Minute).String()
}

// invalid is the refusal of a certificate.
func invalid(err error) error { return fail(ExitInvalid, err, "") }

// present returns the certificates of a file or of a host, leaf first.
func present(ctx context.Context, source *enroll.Source, what string) ([]*x509.Certificate, policy.Use, error) {
	if target, ok := strings.CutPrefix(what, "https://"); ok {
		presented, err := callHost(ctx, source, target)
		return presented, policy.ServerUse, err
	}
	presented, err := readCertificates(what)
	if errors.Is(err, os.ErrNotExist) {
		err = fail(ExitUsage, err, "want a certificate file, or a host as https://HOST:PORT")
	}
	return presented, policy.AnyUse, err
}

// callHost makes a TLS handshake and returns what the host showed; judging it is the caller's.
func callHost(ctx context.Context, source *enroll.Source, target string) ([]*x509.Certificate, error) {
	u, err := url.Parse("https://" + target)
	if err != nil {
		return nil, usageErrorf("%q is not a host, want https://HOST:PORT", target)
	}
	port := u.Port()
	if port == "" {
		port = "443"
	}
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: u.Hostname(),
		InsecureSkipVerify:   true, //nolint:gosec // the caller verifies, so that a refusal can be explained
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return source.Certificate() },
	}}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fail(ExitUnreachable, fmt.Errorf("calling %s: %w", target, err), "")
	}
	defer func() { _ = conn.Close() }()
	chain := conn.(*tls.Conn).ConnectionState().PeerCertificates
	if err := chain[0].VerifyHostname(u.Hostname()); err != nil {
		return nil, invalid(err)
	}
	return chain, nil
}
