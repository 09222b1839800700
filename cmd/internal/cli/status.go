package cli

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/cmd/internal/notice"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/ocsp"
)

func newStatusCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "status [WHAT]",
		Short: "Show the CA's health and the local certificates, or one certificate by OCSP and CRL",
		Long: `Without WHAT: how the CA is, and every identity in --dir.
With WHAT: what OCSP and the CRL each say of one certificate now; exit status 5
unless both say it is good.

  WHAT  a certificate file, a serial, or a party: its newest certificate`,
		Example: "  payca status shop1",
		Args:    atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				return a.statusOf(cmd, args[0])
			}
			return a.overview(cmd)
		},
	}
}

// An identityView is one local identity in the overview.
type identityView struct {
	Dir      string    `json:"dir"`
	Party    string    `json:"party"`
	Role     string    `json:"role"`
	NotAfter time.Time `json:"not_after"`
	Due      bool      `json:"due"` // past two thirds of its life
	Expired  bool      `json:"expired"`
}

// overview shows the CA, if its operator is here, and the local identities.
func (a *app) overview(cmd *cobra.Command) error {
	var view struct {
		CA         *api.Health    `json:"ca,omitempty"`
		Identities []identityView `json:"identities"`
	}
	var caErr error
	if _, err := os.Stat(filepath.Join(a.dir, network.Operator, enroll.MetaFile)); err == nil {
		client, err := a.operator()
		if err == nil {
			var health api.Health
			if health, err = client.Health(cmd.Context()); err == nil {
				view.CA = &health
			}
		}
		caErr = explain(err)
	}
	dirs, err := a.identities(nil)
	if err != nil {
		return err
	}
	due := false
	for _, dir := range dirs {
		identity, err := enroll.Open(dir)
		if err != nil {
			return err
		}
		leaf := identity.Leaf()
		now := time.Now()
		v := identityView{
			Dir: dir, Party: identity.Identity.Party, Role: string(identity.Identity.Role), NotAfter: leaf.NotAfter,
			Due: now.After(enroll.RenewAfter(leaf)), Expired: now.After(leaf.NotAfter),
		}
		due = due || v.Due
		view.Identities = append(view.Identities, v)
	}
	err = a.show(view, func(w io.Writer) {
		if view.CA != nil {
			printHealth(w, *view.CA)
		}
		for _, v := range view.Identities {
			fmt.Fprintf(w, "%-10s %-14s until %s%s\n", v.Party, v.Role, v.NotAfter.Format("2006-01-02 15:04"), dueText(v))
		}
	})
	if err == nil && caErr == nil && due {
		return fail(ExitDue, errors.New("a certificate is due for renewal"), "payca renew")
	}
	if err == nil && caErr == nil && view.CA != nil && len(view.CA.Alarms) > 0 {
		return fail(ExitFailure, fmt.Errorf("the CA raises %d alarms, want none", len(view.CA.Alarms)), "docs/operations.md says what each means")
	}
	return errors.Join(err, caErr)
}

func dueText(v identityView) string {
	switch {
	case v.Expired:
		return "  EXPIRED"
	case v.Due:
		return "  due for renewal"
	}
	return ""
}

func printHealth(w io.Writer, h api.Health) {
	fmt.Fprintf(w, "%s is serving\n", h.Network)
	for _, is := range h.Issuers {
		fmt.Fprintf(w, "  %-9s until %s  OCSP signer until %s  CRL %d of %s, %d revoked, %d shards\n", is.Name, is.NotAfter.Format("2006-01-02"),
			is.OCSPSigner.Format("2006-01-02"), is.CRLNumber, is.CRLUpdated.Format("2006-01-02 15:04:05"), is.Revoked, is.CRLShards)
	}
	for _, alarm := range h.Alarms {
		fmt.Fprintf(w, "  ALARM  %s  %s: %s\n", alarm.Name, alarm.About, alarm.Detail)
	}
	for _, s := range h.Sinks {
		fmt.Fprintf(w, "  audit sink %s: %d events delivered", s.Name, s.Delivered)
		if s.Since != nil {
			fmt.Fprintf(w, ", DOWN since %s: %s", s.Since.Format("2006-01-02 15:04:05Z"), s.Error)
		}
		fmt.Fprintln(w)
	}
	if h.Notices != nil {
		printNotices(w, *h.Notices)
	}
}

func printNotices(w io.Writer, h notice.Health) {
	fmt.Fprintf(w, "  notices: %d sent, %d waiting, %d failed, %d in doubt, %d needless\n", h.Sent, h.Waiting, h.Failed, h.Doubtful, h.Needless)
	for _, s := range h.Stuck {
		fmt.Fprintf(w, "  notices by %s: %d STUCK since %s: %s; next attempt %s\n", s.Target, s.Messages,
			s.Since.Format("2006-01-02 15:04:05Z"), s.Error, s.Next.Format("2006-01-02 15:04:05Z"))
	}
	if l := h.Last; l != nil {
		fmt.Fprintf(w, "  notices by %s: message %d %s at %s: %s\n", l.Target, l.Message, l.State, l.At.Format("2006-01-02 15:04:05Z"), l.Error)
	}
}

// A sourceView is what one source says of a certificate.
type sourceView struct {
	State     string     `json:"state"`
	Reason    string     `json:"reason,omitempty"`
	RevokedAt *time.Time `json:"revoked_at,omitempty"`
	AsOf      *time.Time `json:"as_of,omitempty"`
	Error     string     `json:"error,omitempty"`
}

// statusOf shows OCSP and CRL side by side.
func (a *app) statusOf(cmd *cobra.Command, what string) error {
	leaf, issuer, err := a.find(cmd.Context(), what)
	if err != nil {
		return explain(err)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1})
	if err != nil {
		return err
	}
	byOCSP := viewVerdict(checker.AskOCSP(cmd.Context(), leaf, issuer))
	byCRL := viewVerdict(checker.AskCRL(cmd.Context(), leaf, issuer))
	serial := fmt.Sprintf("%x", leaf.SerialNumber)
	err = a.show(map[string]any{"serial": serial, "subject": leaf.Subject.String(), "not_after": leaf.NotAfter, "ocsp": byOCSP, "crl": byCRL}, func(w io.Writer) {
		fmt.Fprintf(w, "%s  %s  until %s\n", serial, leaf.Subject.CommonName, leaf.NotAfter.Format("2006-01-02 15:04"))
		fmt.Fprintf(w, "  OCSP  %s\n  CRL   %s\n", byOCSP, byCRL)
	})
	if err != nil {
		return err
	}
	if byOCSP.State != ocsp.Good.String() || byCRL.State != ocsp.Good.String() {
		return silent(ExitInvalid)
	}
	return nil
}

func viewVerdict(v ocsp.Verdict, err error) sourceView {
	if err != nil {
		return sourceView{State: "unreachable", Error: err.Error()}
	}
	view := sourceView{State: v.State.String(), AsOf: &v.ThisUpdate}
	if v.State == ocsp.Revoked {
		view.RevokedAt, view.Reason = &v.RevokedAt, ca.Reason(v.Reason).String()
	}
	return view
}

func (v sourceView) String() string {
	text := v.State
	if v.Error != "" {
		return text + ": " + v.Error
	}
	if v.RevokedAt != nil {
		text += " since " + v.RevokedAt.Format("2006-01-02 15:04:05Z") + " for " + v.Reason
	}
	if v.AsOf != nil {
		text += ", as of " + v.AsOf.Format("2006-01-02 15:04:05Z")
	}
	return text
}

// find returns the certificate that WHAT names, and its issuer.
func (a *app) find(ctx context.Context, what string) (leaf, issuer *x509.Certificate, err error) {
	if info, statErr := os.Stat(what); statErr == nil && !info.IsDir() {
		chain, err := readCertificates(what)
		if err != nil {
			return nil, nil, err
		}
		if len(chain) > 1 {
			return chain[0], chain[1], nil
		}
		issuer, err := a.issuerOf(ctx, chain[0])
		return chain[0], issuer, err
	}
	client, err := a.operator()
	if err != nil {
		return nil, nil, err
	}
	found, err := lookUp(ctx, client, what)
	if err != nil {
		return nil, nil, err
	}
	block, _ := pem.Decode([]byte(found.PEM))
	if block == nil {
		return nil, nil, errors.New("the CA sent no certificate")
	}
	if leaf, err = x509.ParseCertificate(block.Bytes); err != nil {
		return nil, nil, err
	}
	issuer, err = a.issuerOf(ctx, leaf)
	return leaf, issuer, err
}
