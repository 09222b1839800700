package ca

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// causeSuspension marks the holds that the suspension of a party made, which alone end when it is resumed.
const causeSuspension = "suspension"

// A StateRequest says in which state a party is to be, and on whose word. Whoever makes it has authenticated that one.
type StateRequest struct {
	Party  string       // its id
	State  policy.State // policy.Active resumes, policy.Suspended suspends, policy.Closed closes for good
	Reason string       // in words, for the record
	By     string       // on whose word: as in audit.Event.Actor
	From   string       // remote address, "" for none
}

// A StateChange is what became of a party and its certificates.
type StateChange struct {
	Party   policy.Party   `json:"party"`
	Changed int            `json:"changed"` // certificates put on hold, released or revoked
	Issuers map[string]int `json:"issuers"` // how many of them by issuing CA
}

// SetState suspends, resumes or closes a party. A suspended party is issued nothing, and all its certificates that have not expired
// are on hold; resuming it releases the holds that its suspension made, and no other; a closed one is issued nothing
// ever again, and all its certificates are revoked for cessationOfOperation. The state and each certificate are commits of
// their own, so that none is large: the state comes first, or for a resumption last, so that what is cut short leaves
// the party refused, and is finished by the same call again. Each is in the audit log. When it returns nil, all of it is
// durable and [Config.OnRevoke] was told.
//
// Errors: one that wraps [ErrNotFound]; a *policy.Violation for a state that cannot follow on the present one, for the
// CA's own party, and for a By that is empty or the party itself.
func (a *Authority) SetState(ctx context.Context, req StateRequest) (StateChange, error) {
	party, err := a.cfg.Store.Party(ctx, req.Party)
	if err != nil {
		return StateChange{}, fmt.Errorf("changing the state of a party: %w", err)
	}
	change := StateChange{Party: party, Issuers: map[string]int{}}
	if err := checkState(party, req); err != nil {
		return change, err
	}
	ctx = context.WithoutCancel(ctx)
	if req.State == policy.Active {
		err = a.changeAll(ctx, &change, a.releaseOf(req), onHold)
		return change, errors.Join(err, a.putState(ctx, &change, req, err))
	}
	if err := a.putState(ctx, &change, req, nil); err != nil {
		return change, err
	}
	if req.State == policy.Closed {
		return change, a.changeAll(ctx, &change, a.revocationOf(req, CessationOfOperation, ""), notFinal)
	}
	return change, a.changeAll(ctx, &change, a.revocationOf(req, CertificateHold, causeSuspension), good)
}

// checkState says why a party cannot change its state so.
func checkState(party policy.Party, req StateRequest) error {
	wrong := func(rule, field, got, want string) error {
		return &policy.Violation{Rule: rule, Field: field, Got: got, Want: want}
	}
	switch {
	case req.By == "":
		return wrong("state-by", "by", "empty", "on whose word it is")
	case party.ID == policy.NetworkParty:
		return wrong("state-own", "party", `"ca", in whose name the CA itself serves`, "another party")
	case partyOf(req.By) == party.ID:
		return wrong("state-by", "by", "the party itself", "somebody else, so that nobody locks everybody out")
	case party.State == policy.Closed && req.State != policy.Closed:
		return wrong("state-closed", "party "+party.ID, "closed, for good", "a new party")
	case !slices.Contains([]policy.State{policy.Active, policy.Suspended, policy.Closed}, req.State):
		return wrong("party-state", "party state", fmt.Sprintf("%.32q", req.State), "active, suspended or closed")
	}
	return nil
}

// putState records the state, unless that is the state already or what had to come first failed.
func (a *Authority) putState(ctx context.Context, change *StateChange, req StateRequest, before error) error {
	if before != nil || change.Party.State == req.State {
		return nil
	}
	next := change.Party
	next.State = req.State
	event := audit.Event{
		Time: a.now(), Actor: clip(req.By), From: clip(req.From), Party: next.ID, Role: string(next.Role), Reason: clip(req.Reason),
		Kind: map[policy.State]audit.Kind{policy.Active: audit.PartyResumed, policy.Suspended: audit.PartySuspended, policy.Closed: audit.PartyClosed}[req.State],
	}
	if err := a.cfg.Store.UpdateParty(ctx, next, event); err != nil {
		return fmt.Errorf("recording the state of party %s: %w", next.ID, err)
	}
	change.Party = next
	return nil
}

func good(rec Record) bool { return rec.Revocation == nil }
func notFinal(rec Record) bool {
	return rec.Revocation == nil || rec.Revocation.Reason == CertificateHold
}

func onHold(rec Record) bool {
	return rec.Revocation != nil && rec.Revocation.Reason == CertificateHold && rec.Revocation.Cause == causeSuspension
}

func (a *Authority) revocationOf(req StateRequest, reason Reason, cause string) func(context.Context, Record) error {
	return func(ctx context.Context, rec Record) error {
		_, err := a.revoke(ctx, rec, RevokeRequest{Serial: rec.Serial, Reason: reason, By: req.By, From: req.From, Cause: cause})
		if _, done := errors.AsType[*RevokedError](err); done {
			return nil // somebody was faster
		}
		return err
	}
}

func (a *Authority) releaseOf(req StateRequest) func(context.Context, Record) error {
	return func(ctx context.Context, rec Record) error {
		err := a.Release(ctx, ReleaseRequest{Serial: rec.Serial, By: req.By, From: req.From, resumes: true})
		_, good := errors.AsType[*NotHeldError](err)
		_, final := errors.AsType[*RevokedError](err)
		if good || final {
			return nil // somebody was faster
		}
		return err
	}
}

const (
	statePage    = 1000 // certificates that are read before they are changed
	stateCallers = 32   // changes under way, which share commits with each other and with all others
)

// changeAll changes the party's certificates that have not expired and of which which says so.
func (a *Authority) changeAll(ctx context.Context, change *StateChange, do func(context.Context, Record) error, which func(Record) bool) error {
	filter := Filter{Party: change.Party.ID, ExpiresFrom: a.now(), Limit: statePage}
	for more := true; more; {
		more = false
		var page []Record
		for rec, err := range a.cfg.Store.Certificates(ctx, filter) {
			if err != nil {
				return fmt.Errorf("listing the certificates of %s: %w", change.Party.ID, err)
			}
			page, more = append(page, rec), true
			filter.After, filter.From = rec.Index, true
		}
		page = slices.DeleteFunc(page, func(rec Record) bool { return !which(rec) })
		var group errgroup.Group // the others finish when one fails: their effect is to be known
		group.SetLimit(stateCallers)
		for _, rec := range page {
			group.Go(func() error { return do(ctx, rec) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for _, rec := range page {
			change.Changed++
			change.Issuers[rec.Issuer]++
		}
	}
	return nil
}
