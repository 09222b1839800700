package cli

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A fact is one thing that was found out about a certificate.
type fact struct {
	Name   string     `json:"name"` // path, role, staple, status, issuer
	OK     bool       `json:"ok"`
	Detail string     `json:"detail"`
	By     string     `json:"by,omitempty"` // who says so: ocsp, crl, staple
	AsOf   *time.Time `json:"as_of,omitempty"`
	Age    *float64   `json:"age_seconds,omitempty"`
	Until  *time.Time `json:"holds_until,omitempty"`
}

// A verification finds out all that decides about a certificate.
type verification struct {
	presented
	trust   policy.Trust
	checker *ocsp.Checker
	role    policy.Role // that it must have, "" for any
	at, now time.Time   // at is before now with --at

	peer    *policy.Peer // nil if the path fails
	verdict ocsp.Verdict // of the leaf
	facts   []fact
	errs    []error
}

// run finds out all that can be: what does not depend on what failed is looked at too.
func (v *verification) run(ctx context.Context) {
	var err error
	if v.peer, err = v.trust.Identify(v.chain, v.use, v.at); err != nil {
		v.refuse("path", err)
		return
	}
	var names []string
	for _, c := range v.peer.Chain[1:] {
		names = append(names, c.Subject.CommonName)
	}
	v.add(fact{Name: "path", Detail: fmt.Sprintf("%d certificates: leaf, %s; valid until %s", len(v.peer.Chain), strings.Join(names, ", "), v.peer.Leaf.NotAfter.UTC().Format("2006-01-02 15:04"))})
	v.checkRole()
	if v.host {
		v.checkStaple()
	}
	v.verdict, err = v.checker.Check(ctx, v.peer.Leaf, v.peer.Issuer, nil)
	v.status("status", v.peer.Leaf, v.verdict, err)
	verdict, err := v.checker.Check(ctx, v.peer.Issuer, v.peer.Chain[len(v.peer.Chain)-1], nil)
	v.status("issuer", v.peer.Issuer, verdict, err)
}

func (v *verification) add(f fact) {
	f.OK = true
	v.facts = append(v.facts, f)
}

func (v *verification) refuse(name string, err error) {
	v.facts = append(v.facts, fact{Name: name, Detail: err.Error()})
	v.errs = append(v.errs, err)
}

func (v *verification) checkRole() {
	id := v.peer.Identity
	if v.role != "" {
		if err := mtls.AuthorizeRole(v.role)(v.peer); err != nil {
			v.refuse("role", err)
			return
		}
	}
	v.add(fact{Name: "role", Detail: fmt.Sprintf("%s, by its one URI %s and the CA that issued it", id.Role, id)})
}

// checkStaple looks at what a host stapled, which only a certificate that demands it must have.
func (v *verification) checkStaple() {
	demanded := policy.MustStaple(v.peer.Leaf)
	if len(v.staple) == 0 {
		if demanded {
			v.refuse("staple", errors.New("must-staple: the host stapled nothing, want an OCSP response, as the certificate demands"))
			return
		}
		v.add(fact{Name: "staple", Detail: "none, and none is demanded"})
		return
	}
	verdict, err := ocsp.VerifyResponse(v.staple, v.peer.Leaf, v.peer.Issuer, ocsp.VerifyOptions{Now: v.now})
	switch {
	case err == nil && verdict.State == ocsp.Good:
		v.add(v.dated(fact{Name: "staple", By: "staple", Detail: "good"}, verdict))
	case err == nil:
		v.refuse("staple", fmt.Errorf("the host stapled that its certificate is %s, want good", verdict.State))
	default:
		v.refuse("staple", fmt.Errorf("the host stapled what cannot be believed: %w", err))
	}
}

// dated adds who says so, since when and for how long.
func (v *verification) dated(f fact, verdict ocsp.Verdict) fact {
	at := asOf(verdict).UTC()
	age := max(0, v.now.Sub(at)).Round(time.Second).Seconds()
	f.By, f.AsOf, f.Age = verdict.Source, &at, &age
	if f.Name == "staple" {
		f.By = "staple"
	}
	if !verdict.NextUpdate.IsZero() {
		until := verdict.NextUpdate.UTC()
		f.Until = &until
	}
	return f
}

// status judges what is known now of a certificate, for the time that is asked for.
func (v *verification) status(name string, c *x509.Certificate, verdict ocsp.Verdict, err error) {
	revoked, isRevoked := errors.AsType[*ocsp.RevokedError](err)
	switch {
	case err == nil:
		v.add(v.dated(fact{Name: name, Detail: "good"}, verdict))
	case isRevoked && v.at.Before(v.now) && v.at.Before(revoked.At) && (verdict.Invalidity.IsZero() || v.at.Before(verdict.Invalidity)):
		v.add(v.dated(fact{Name: name, Detail: fmt.Sprintf("good then; revoked since %s for %s", revoked.At.UTC().Format(time.RFC3339), ca.Reason(revoked.Reason))}, verdict))
	case isRevoked && v.at.Before(revoked.At):
		err = fmt.Errorf("%w; its key is suspected since %s", err, verdict.Invalidity.UTC().Format(time.RFC3339))
		fallthrough
	case isRevoked:
		f := v.dated(fact{Name: name, Detail: err.Error()}, verdict)
		v.facts, v.errs = append(v.facts, f), append(v.errs, err)
	default:
		if c.IsCA {
			err = fmt.Errorf("the issuing CA: %w", err)
		}
		v.refuse(name, err)
	}
}

// refusal is the first thing that was wrong, nil for nothing.
func (v *verification) refusal() error {
	if len(v.errs) == 0 {
		return nil
	}
	return invalid(v.errs[0])
}

func (v *verification) view(what string) map[string]any {
	view := map[string]any{"what": what, "valid": len(v.errs) == 0, "at": v.at.UTC(), "facts": v.facts}
	if len(v.errs) > 0 {
		var reasons []string
		for _, err := range v.errs {
			reasons = append(reasons, err.Error())
		}
		view["reasons"] = reasons
	}
	if v.peer == nil {
		return view
	}
	id := v.peer.Identity
	view["party"], view["role"], view["network"], view["uri"] = id.Party, id.Role, id.Network, id.String()
	view["path"], view["not_after"], view["serial"] = len(v.peer.Chain), v.peer.Leaf.NotAfter, fmt.Sprintf("%x", v.peer.Leaf.SerialNumber)
	view["status"], view["status_by"] = v.verdict.State.String(), v.verdict.Source
	if at := asOf(v.verdict); !at.IsZero() {
		view["status_age_seconds"] = max(0, v.now.Sub(at)).Round(time.Second).Seconds()
	}
	return view
}

func (v *verification) print(w io.Writer, what string) {
	switch {
	case len(v.errs) > 0:
		fmt.Fprintf(w, "not valid   %s\n", what)
	case v.at.Before(v.now):
		id := v.peer.Identity
		fmt.Fprintf(w, "ok   %s was %s %s of %s at %s   path %d\n", id.Party, article(string(id.Role)), id.Role, id.Network, v.at.UTC().Format(time.RFC3339), len(v.peer.Chain))
	default:
		id := v.peer.Identity
		age := max(0, v.now.Sub(asOf(v.verdict))).Round(time.Second)
		fmt.Fprintf(w, "ok   %s is %s %s of %s   path %d, %s good %s ago, %s left\n", id.Party, article(string(id.Role)), id.Role, id.Network,
			len(v.peer.Chain), strings.ToUpper(v.verdict.Source), age, lifeLeft(v.peer.Leaf.NotAfter.Sub(v.now)))
	}
	for _, f := range v.facts {
		mark := "  "
		if !f.OK {
			mark = "! "
		}
		fmt.Fprintf(w, "%s%-7s %s", mark, f.Name, f.Detail)
		if f.AsOf != nil {
			fmt.Fprintf(w, "; says %s, %s old", f.By, time.Duration(*f.Age*float64(time.Second)))
		}
		if f.Until != nil {
			fmt.Fprintf(w, ", holds until %s", f.Until.Format("2006-01-02 15:04"))
		}
		fmt.Fprintln(w)
	}
}
