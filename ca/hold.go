package ca

import (
	"context"
	"fmt"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A ReleaseRequest says which certificate is to be good again, and on whose word. Whoever makes it has
// authenticated that one.
type ReleaseRequest struct {
	Serial Serial // of the certificate
	By     string // on whose word: as in audit.Event.Actor
	From   string // remote address, "" for none

	resumes bool // its party is resumed
}

// Release ends the hold of a certificate, which [Authority.Revoke] with the reason CertificateHold began. When it returns
// nil, that is durable and [Config.OnRevoke] was told: no answer that says revoked is given any more, and
// the next delta CRL says removeFromCRL.
//
// Errors: one that wraps [ErrNotFound] for a serial that was never issued; a [*NotHeldError] for a certificate that is
// good; a [*RevokedError] for one that is revoked for good; a *policy.Violation for an empty By, and for the hold of
// a suspended party, which ends when [Authority.SetState] resumes it.
func (a *Authority) Release(ctx context.Context, req ReleaseRequest) error {
	if req.By == "" {
		return &policy.Violation{Rule: "release-by", Field: "by", Got: "empty", Want: "on whose word it is"}
	}
	rec, err := a.cfg.Store.BySerial(ctx, req.Serial)
	if err != nil {
		return fmt.Errorf("releasing certificate %s: %w", req.Serial, err)
	}
	if r := rec.Revocation; r != nil && r.Cause == causeSuspension && !req.resumes {
		return &policy.Violation{
			Rule: "release-suspended", Field: "certificate " + rec.Serial.String(), Got: "on hold because its party " + rec.Party + " is suspended",
			Want: "the party resumed, which releases it",
		}
	}
	event := audit.Event{
		Time: a.now(), Kind: audit.CertificateFreed, Actor: clip(req.By), From: clip(req.From),
		Party: rec.Party, Role: string(rec.Role), Issuer: rec.Issuer, Profile: rec.Profile, Serial: rec.Serial.String(),
	}
	err = a.cfg.Store.Release(context.WithoutCancel(ctx), rec.Issuer, rec.Serial, a.now(), event)
	a.cfg.OnRevoke(rec.Issuer, rec.Serial)
	if err != nil {
		return fmt.Errorf("releasing certificate %s: %w", rec.Serial, err)
	}
	return nil
}

// checkInvalidity refuses a date of invalidity that cannot be.
func (a *Authority) checkInvalidity(rec Record, req RevokeRequest) error {
	switch {
	case req.Invalidity.IsZero():
		return nil
	case req.Reason == CertificateHold:
		return &policy.Violation{Rule: "revoke-invalidity", Field: "invalidity", Got: "a date for a hold", Want: "none: a hold says nothing about the key"}
	case req.Invalidity.After(a.now()), req.Invalidity.Before(rec.NotBefore):
		return &policy.Violation{
			Rule: "revoke-invalidity", Field: "invalidity", Got: req.Invalidity.UTC().Format(time.RFC3339),
			Want: "a time from " + rec.NotBefore.UTC().Format(time.RFC3339) + ", when the certificate begins, until now",
		}
	}
	return nil
}
