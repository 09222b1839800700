package ca

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
// key, in the same commit. When it returns nil, the revocation is durable and [Config.OnRevoke] was told: no answer
// that says good is given any more.
//
// Errors: one that wraps [ErrNotFound] for a serial that was never issued; a [*RevokedError] if
// [CheckRevocation] lets stand what is there; a *policy.Violation for a reason or a By that will not do.
// When keyCompromise stands already, the other certificates of the key are revoked all the same.
func (a *Authority) Revoke(ctx context.Context, req RevokeRequest) (Revocation, error) {
	revoked, err := a.RevokeAll(ctx, req)
	if err != nil {
		return Revocation{}, err
	}
	return revoked[0], nil
}

// RevokeAll is [Authority.Revoke], and returns every revocation that it made: first that of the certificate that is
// named. They are returned beside a [*RevokedError] too.
func (a *Authority) RevokeAll(ctx context.Context, req RevokeRequest) ([]Revocation, error) {
	if req.By == "" {
		return nil, &policy.Violation{Rule: "revoke-by", Field: "by", Got: "empty", Want: "on whose word it is"}
	}
	if req.Reason == CACompromise || req.Reason == AACompromise {
		return nil, &policy.Violation{Rule: "revoke-reason", Field: "reason", Got: req.Reason.String(), Want: "a reason for a leaf, such as keyCompromise"}
	}
	rec, err := a.cfg.Store.BySerial(ctx, req.Serial)
	if err != nil {
		return nil, fmt.Errorf("revoking certificate %s: %w", req.Serial, err)
	}
	if err := a.checkInvalidity(rec, req); err != nil {
		return nil, err
	}
	ctx = context.WithoutCancel(ctx)
	if req.Reason == KeyCompromise {
		return a.revokeKey(ctx, rec, req)
	}
	rev, err := a.revoke(ctx, rec, req)
	if err != nil {
		return nil, err
	}
	return []Revocation{rev}, nil
}

// revocation is what is written of one certificate.
func (a *Authority) revocation(rec Record, req RevokeRequest) KeyRevocation {
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
	return KeyRevocation{Revocation: rev, Event: event}
}

// revoke revokes the one certificate of rec.
func (a *Authority) revoke(ctx context.Context, rec Record, req RevokeRequest) (Revocation, error) {
	r := a.revocation(rec, req)
	err := a.cfg.Store.Revoke(ctx, r.Revocation, r.Event)
	a.cfg.OnRevoke(rec.Issuer, rec.Serial)
	if err != nil {
		return Revocation{}, fmt.Errorf("revoking certificate %s: %w", rec.Serial, err)
	}
	return r.Revocation, nil
}

// revokeKey revokes the certificate of rec for keyCompromise and, in the same commit, whatever else was
// issued for its key and has not expired.
func (a *Authority) revokeKey(ctx context.Context, rec Record, req RevokeRequest) ([]Revocation, error) {
	var stands error       // what speaks against revoking rec itself
	var tried []Revocation // also if the commit fails: then its effect may be unknown
	revoked, err := a.cfg.Store.ChangeKey(ctx, KeyChange{Key: rec.SPKI, Decide: func(r Record) (*KeyRevocation, error) {
		change := a.revocation(r, req)
		err := CheckRevocation(r.Revocation, change.Revocation)
		if r.Serial == rec.Serial {
			stands = err
		}
		if err != nil || r.Serial != rec.Serial && r.NotAfter.Before(a.now()) {
			return nil, nil
		}
		tried = append(tried, change.Revocation)
		return &change, nil
	}})
	for _, rev := range tried {
		a.cfg.OnRevoke(rev.Issuer, rev.Serial)
	}
	if err = cmp.Or(err, stands); err != nil {
		err = fmt.Errorf("revoking certificate %s: %w", rec.Serial, err)
	}
	slices.SortStableFunc(revoked, func(x, y Revocation) int { return named(rec.Serial, x) - named(rec.Serial, y) })
	return revoked, err
}

// named sorts the revocation of the serial before others.
func named(serial Serial, rev Revocation) int {
	if rev.Serial == serial {
		return 0
	}
	return 1
}
