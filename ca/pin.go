package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A Replacement is what a request of the kind AskPolicy or AskIssuers asks: that one thing takes the place of another.
type Replacement struct {
	Digest   string          `json:"digest"`   // SHA-256 of New, hexadecimal
	New      json.RawMessage `json:"new"`      // what it says
	Replaces string          `json:"replaces"` // digest of what is in force
}

// A PinError says that something outside of the store is not what was approved.
type PinError struct {
	Kind  string // AskPolicy or AskIssuers
	Got   string // digest of what was found
	Want  string // digest of what is in force
	Rule  policy.Approval
	Tally *policy.Tally // of the request for what was found, nil if there is none
}

// Error says what was found and what would be right.
func (e *PinError) Error() string {
	text := fmt.Sprintf("the %s is sha256:%.16s, which was not approved; in force is sha256:%.16s, and a change takes %s", noun(e.Kind), e.Got, e.Want, e.Rule)
	if e.Tally != nil {
		text += fmt.Sprintf(", of which %d are missing", e.Tally.Missing)
	}
	return text
}

func noun(kind string) string {
	if kind == AskIssuers {
		return "set of issuing CAs"
	}
	return "policy"
}

// PutInForce makes sure that what a starting CA found outside of the store, its policy or its issuing CAs, is what is in force,
// or may be. What replaces something else needs the approvals that the policy in force asks for; where it asks for none, and the
// first time, it is only recorded. approvals is who approves from then on. The error of what was not approved is a
// [*PinError].
func (a *Authority) PutInForce(ctx context.Context, kind string, found any) error {
	body, err := json.Marshal(found)
	if err != nil {
		return err
	}
	next := Pin{Kind: kind, Digest: RequestID(body), Body: body, Approvals: a.cfg.Approvals, At: a.now()}
	stands, err := a.cfg.Store.Pin(ctx, kind)
	first := errors.Is(err, ErrNotFound)
	if err != nil && !first {
		return fmt.Errorf("looking up the %s in force: %w", noun(kind), err)
	}
	if !first && stands.Digest == next.Digest {
		return nil
	}
	event := audit.Event{Time: next.At, Kind: audit.PolicyChanged, Actor: "local", Attrs: map[string]string{"sha256": next.Digest}}
	if kind == AskIssuers {
		event.Kind = audit.IssuersChanged
	}
	request := ""
	if !first {
		event.Attrs["replaces"] = stands.Digest
		if request, err = a.approvedChange(ctx, kind, next.Digest, stands.Digest); err != nil {
			return err
		}
		if request != "" {
			event.Attrs["request"] = request
		}
	}
	if err := a.cfg.Store.SetPin(ctx, next, event); err != nil {
		return fmt.Errorf("recording the %s in force: %w", noun(kind), err)
	}
	if request == "" {
		return nil
	}
	return a.settleAs(ctx, request, RequestDone, audit.RequestDone, "in force")
}

// approvedChange finds the approved request for a change, "" if none is needed.
func (a *Authority) approvedChange(ctx context.Context, kind, digest, replaces string) (string, error) {
	approvals, err := a.approvals(ctx, kind)
	if err != nil {
		return "", err
	}
	rule := ruleFor(approvals, kind)
	if rule == nil {
		return "", nil
	}
	refusal := &PinError{Kind: kind, Got: digest, Want: replaces, Rule: rule.Approval()}
	for r, err := range a.cfg.Store.ApprovalRequests(ctx, RequestFilter{State: RequestPending}) {
		if err != nil {
			return "", fmt.Errorf("listing pending requests: %w", err)
		}
		var asked Replacement
		if r.Kind != kind || r.ended(a.now()) || r.Asked(&asked) != nil || asked.Digest != digest || asked.Replaces != replaces || RequestID(asked.New) != digest {
			continue
		}
		_, tally, err := a.tally(ctx, r)
		if err != nil {
			return "", err
		}
		if tally.Approved {
			return r.ID, nil
		}
		refusal.Tally = &tally
	}
	return "", refusal
}

// Propose files a request to put something in force in the place of what is. Its errors are those of [Authority.File].
func (a *Authority) Propose(ctx context.Context, ask Ask) error {
	body, err := json.Marshal(ask.What)
	if err != nil {
		return err
	}
	stands, err := a.cfg.Store.Pin(ctx, ask.Kind)
	if err != nil {
		return fmt.Errorf("looking up the %s in force: %w", noun(ask.Kind), err)
	}
	digest := RequestID(body)
	needed, err := a.NeedsApproval(ctx, ask.Kind)
	if err != nil {
		return err
	}
	switch {
	case stands.Digest == digest:
		return violation("proposal", noun(ask.Kind), "what is in force already", "a change")
	case !needed:
		return violation("proposal", noun(ask.Kind), "a change that needs no approval", "approvals."+ask.Kind+" in the policy in force; without it, put the change in place and start the CA again")
	}
	ask.What = Replacement{Digest: digest, New: body, Replaces: stands.Digest}
	return a.File(ctx, ask)
}
