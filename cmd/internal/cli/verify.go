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
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

type verifyOptions struct{ role, as, at string }

func newVerifyCommand(a *app) *cobra.Command {
	var o verifyOptions
	cmd := &cobra.Command{
		Use:   "verify WHAT",
		Short: "Verify a certificate or a host: path, role, revocation",
		Long: `Verify a certificate against the network's root: the path, the one identity it
carries, the CA that issued it, its revocation and that of the CA. Each is shown
with who says so and how old that is. Exit status 5 if any of it fails.

  WHAT  a certificate file (leaf first, then its issuer), or a host: HOST:PORT or https://HOST[:PORT]`,
		Example: "  payca verify shop1/cert.pem --role merchant",
		Args:    exactly("WHAT"),
		RunE:    func(cmd *cobra.Command, args []string) error { return o.run(cmd, a, args[0]) },
	}
	cmd.Flags().StringVar(&o.role, "role", "", "role that it must have")
	cmd.Flags().StringVar(&o.as, "as", "", "identity in --dir to trust with, and to call hosts as (default: the only one, or operator)")
	cmd.Flags().StringVar(&o.at, "at", "", "time of the past at which it must have been valid, by what is known of it now: 2026-11-23, or 2026-11-23T12:00:00Z")
	return cmd
}

func (o *verifyOptions) run(cmd *cobra.Command, a *app, what string) error {
	if o.role != "" {
		if _, err := policy.ParseRole(o.role); err != nil {
			return usageErrorf("--%v", err)
		}
	}
	now := time.Now()
	at, err := o.time(now)
	if err != nil {
		return err
	}
	source, err := a.source(o.as)
	if err != nil {
		return err
	}
	shown, err := present(cmd.Context(), source, what)
	if err != nil {
		return err
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true})
	if err != nil {
		return err
	}
	v := &verification{presented: shown, trust: source.Trust(), checker: checker, role: policy.Role(o.role), at: at, now: now}
	v.run(cmd.Context())
	return errors.Join(a.show(v.view(what), func(w io.Writer) { v.print(w, what) }), v.refusal())
}

// time is that of --at, the present without it.
func (o *verifyOptions) time(now time.Time) (time.Time, error) {
	if o.at == "" {
		return now, nil
	}
	at, err := parseTime(o.at)
	if err != nil {
		return at, usageErrorf("--at %q, want 2026-11-23 or 2026-11-23T12:00:00Z", o.at)
	}
	if at.After(now) {
		return at, usageErrorf("--at %s is in the future, want a time of the past", at.Format(time.RFC3339))
	}
	return at, nil
}

func parseTime(text string) (time.Time, error) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, nil
	}
	return time.Parse(time.RFC3339, text)
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

// presented is what a file holds or a host showed, leaf first.
type presented struct {
	chain  []*x509.Certificate
	use    policy.Use
	host   bool
	staple []byte // of a host
}

// present reads a file or calls a host.
func present(ctx context.Context, source *enroll.Source, what string) (presented, error) {
	target, isHost := strings.CutPrefix(what, "https://")
	chain, err := []*x509.Certificate(nil), error(nil)
	if !isHost {
		if chain, err = readCertificates(what); err == nil {
			return presented{chain: chain, use: policy.AnyUse}, nil
		}
		if _, _, notHost := net.SplitHostPort(what); notHost != nil || !errors.Is(err, os.ErrNotExist) {
			if errors.Is(err, os.ErrNotExist) {
				err = fail(ExitUsage, err, "want a certificate file, or a host as HOST:PORT or https://HOST[:PORT]")
			}
			return presented{}, err
		}
	}
	return callHost(ctx, source, target)
}

// callHost makes a TLS handshake and returns what the host showed; judging it is the caller's.
func callHost(ctx context.Context, source *enroll.Source, target string) (presented, error) {
	u, err := url.Parse("https://" + target)
	if err != nil {
		return presented{}, usageErrorf("%q is not a host, want HOST:PORT or https://HOST[:PORT]", target)
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
		return presented{}, fail(ExitUnreachable, fmt.Errorf("calling %s: %w", target, err), "")
	}
	defer func() { _ = conn.Close() }()
	state := conn.(*tls.Conn).ConnectionState()
	if err := state.PeerCertificates[0].VerifyHostname(u.Hostname()); err != nil {
		return presented{}, invalid(err)
	}
	return presented{state.PeerCertificates, policy.ServerUse, true, state.OCSPResponse}, nil
}
