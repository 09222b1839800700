package ca

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A RevokeRequest says which certificate is not to be trusted any more, and on whose word. Whoever
// makes it has authenticated that one.
type RevokeRequest struct {
	Serial Serial // of the certificate
	Reason Reason // any of RFC 5280 but cACompromise and aACompromise, which are no reasons for a leaf
	By     string // on whose word: as in audit.Event.Actor
	From   string // remote address, "" for none

	// Invalidity is since when the key is suspected; zero if not known. It lies after the beginning of the certificate, and
	// not in the future.
	Invalidity time.Time
	// Cause is as in [Revocation].
	Cause string
}

// Revoke revokes a certificate, and with keyCompromise every other unexpired certificate of the same
// key. When it returns nil, the revocation is durable and [Config.OnRevoke] was told: no answer
// that says good is given any more.
//
// Errors: one that wraps [ErrNotFound] for a serial that was never issued; a [*RevokedError] if
// [CheckRevocation] lets stand what is there; a *policy.Violation for a reason or a By that will not do.
// When keyCompromise stands already, the other certificates of the key are revoked all the same, so that a
// call that was cut short can be repeated.
func (a *Authority) Revoke(ctx context.Context, req RevokeRequest) (Revocation, error) {
	if req.By == "" {
		return Revocation{}, &policy.Violation{Rule: "revoke-by", Field: "by", Got: "empty", Want: "on whose word it is"}
	}
	if req.Reason == CACompromise || req.Reason == AACompromise {
		return Revocation{}, &policy.Violation{Rule: "revoke-reason", Field: "reason", Got: req.Reason.String(), Want: "a reason for a leaf, such as keyCompromise"}
	}
	rec, err := a.cfg.Store.BySerial(ctx, req.Serial)
	if err != nil {
		return Revocation{}, fmt.Errorf("revoking certificate %s: %w", req.Serial, err)
	}
	if err := a.checkInvalidity(rec, req); err != nil {
		return Revocation{}, err
	}
	ctx = context.WithoutCancel(ctx)
	rev, err := a.revoke(ctx, rec, req)
	if req.Reason != KeyCompromise {
		return rev, err
	}
	stands, revoked := errors.AsType[*RevokedError](err)
	if err != nil && (!revoked || stands.Revocation.Reason != KeyCompromise) {
		return rev, err
	}
	return rev, errors.Join(err, a.revokeSiblings(ctx, rec, req))
}

// revoke revokes the one certificate of rec.
func (a *Authority) revoke(ctx context.Context, rec Record, req RevokeRequest) (Revocation, error) {
	rev := Revocation{
		Serial: rec.Serial, Issuer: rec.Issuer, Reason: req.Reason,
		At: a.now(), NotAfter: rec.NotAfter, By: req.By, Shard: rec.Shard, Cause: req.Cause,
	}
	if !req.Invalidity.IsZero() && !req.Invalidity.Before(rec.NotBefore) { // another certificate of the key may be younger than the suspicion
		rev.Invalidity = req.Invalidity.UTC().Truncate(time.Second)
	}
	if r := rec.Revocation; r != nil && rev.At.Before(r.At) {
		rev.At = r.At // the clock went back; a revocation never starts before the one it replaces
	}
	event := audit.Event{
		Time: a.now(), Kind: audit.CertificateRevoked, Actor: clip(req.By), From: clip(req.From),
		Party: rec.Party, Role: string(rec.Role), Issuer: rec.Issuer, Profile: rec.Profile,
		Serial: rec.Serial.String(), Reason: req.Reason.String(),
	}
	if req.Serial != rec.Serial && req.Serial != (Serial{}) {
		event.Attrs = map[string]string{"same_key_as": req.Serial.String()}
	}
	err := a.cfg.Store.Revoke(ctx, rev, event)
	a.cfg.OnRevoke(rec.Issuer, rec.Serial)
	if err != nil {
		return Revocation{}, fmt.Errorf("revoking certificate %s: %w", rec.Serial, err)
	}
	return rev, nil
}

// revokeSiblings revokes what else was issued for a compromised key and has not expired.
func (a *Authority) revokeSiblings(ctx context.Context, of Record, req RevokeRequest) error {
	var siblings []Record
	for rec, err := range a.cfg.Store.Certificates(ctx, Filter{SPKI: &of.SPKI}) {
		if err != nil {
			return fmt.Errorf("listing certificates of the same key: %w", err)
		}
		compromised := rec.Revocation != nil && rec.Revocation.Reason == KeyCompromise
		if rec.SPKI == of.SPKI && rec.Serial != of.Serial && !compromised && !rec.NotAfter.Before(a.now()) {
			siblings = append(siblings, rec)
		}
	}
	var errs []error
	for _, rec := range siblings {
		_, err := a.revoke(ctx, rec, req)
		if _, done := errors.AsType[*RevokedError](err); !done {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
