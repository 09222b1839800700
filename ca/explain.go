package ca

import (
	"context"
	"crypto/x509"

	"github.com/payca/payca/policy"
)

// An Explanation is what the gate would answer to a request.
type Explanation struct {
	Party      string
	Profile    string
	Issuer     string            // name of the CA that would sign, "" for a party that is not known
	Violations policy.Violations // why it would be refused; none if it would be issued
	Approval   *policy.Approval  // who would have to approve it first, nil for nobody
	Draft      *x509.Certificate // what would come out, with another serial and a signature that is none. Nil if it would be refused
}

// Explain decides on a request as [Authority.Issue] does, lint included, and stops there: it reserves, signs and records nothing.
// An approval counts as given. An error means that the CA could not find out.
func (a *Authority) Explain(ctx context.Context, req Request) (*Explanation, error) {
	ap := application{Request: req, now: a.now(), approved: true}
	d, is, err := a.explain(ctx, &ap)
	ex := &Explanation{Party: ap.Party, Profile: ap.Profile, Issuer: ap.issuer}
	if ap.profile != nil {
		if approval, ok := ap.profile.Approval(); ok {
			ex.Approval = &approval
		}
	}
	var draft *x509.Certificate
	if err == nil {
		draft, err = a.tryDraft(d, is)
	}
	if tokenSpent(err) {
		err = violation("token-used", "token", err.Error(), "a token that was neither used nor cancelled")
	}
	ex.Violations = policy.ViolationsOf(err)
	if err != nil && ex.Violations == nil {
		return nil, err
	}
	if err == nil {
		ex.Draft = draft
	}
	return ex, nil
}

func (a *Authority) explain(ctx context.Context, ap *application) (*policy.Decision, *issuer, error) {
	if err := a.enter(ctx, ap); err != nil {
		return nil, nil, err
	}
	is, err := a.issuer(ap.issuer)
	if err != nil {
		return nil, nil, err
	}
	d, err := a.decide(ctx, *ap, is)
	return d, is, err
}

// tryDraft is the draft under a serial that is not reserved.
func (a *Authority) tryDraft(d *policy.Decision, is *issuer) (*x509.Certificate, error) {
	serial, err := NewSerial(a.cfg.Random, a.cfg.Now())
	if err != nil {
		return nil, err
	}
	return a.draft(d, is, Intent{Serial: serial, Shard: a.shardFor(d, serial)})
}

// Profiles returns the profiles that certificates can be issued under, in the order of the configuration.
func (a *Authority) Profiles() []*policy.Profile { return a.cfg.Profiles }
