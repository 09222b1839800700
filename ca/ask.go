package ca

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// An approvalRule is who must approve one request.
type approvalRule struct {
	policy.Approval
	listed []string // ids of the operators who may
}

// Ask is something that needs approval.
type Ask struct {
	Kind      string // AskRevoke, AskClose, AskPolicy or AskIssuers
	Party     string // concerned, "" for none
	What      any    // what is asked, to the last octet: it becomes the request's body as JSON
	By        policy.Identity
	Requester string // on whose word: as in audit.Event.Actor; By is it if it is empty
	From      string // remote address, "" for none
}

// NeedsApproval says whether a kind of request needs approval now.
func (a *Authority) NeedsApproval(ctx context.Context, kind string) (bool, error) {
	approvals, err := a.approvals(ctx, kind)
	if err != nil {
		return false, err
	}
	return ruleFor(approvals, kind) != nil, nil
}

// askBody is the body of a request that asks for no certificate.
type askBody struct {
	Kind    string    `json:"kind"`
	Network string    `json:"network"`
	Party   string    `json:"party,omitempty"`
	By      string    `json:"by"`
	At      time.Time `json:"at"` // so that the same can be asked again one day
	What    any       `json:"what"`
}

// File files a request. The answer is always an error: a [*PendingError] if it waits now.
func (a *Authority) File(ctx context.Context, ask Ask) error {
	body, err := json.Marshal(askBody{ask.Kind, a.cfg.Network, ask.Party, ask.By.String(), a.now(), ask.What})
	if err != nil {
		return err
	}
	return a.file(ctx, ApprovalRequest{
		Kind: ask.Kind, Party: ask.Party, Body: body, Requester: ask.By.String(), Requesters: []string{ask.By.Party}, From: ask.From,
	}, audit.Event{})
}

// Asked reads what a request asks, which [Authority.File] was given as [Ask.What].
func (r ApprovalRequest) Asked(what any) error {
	body := askBody{What: what}
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return fmt.Errorf("reading request %s: %w", r.ID, err)
	}
	return nil
}

// file keeps a request that is complete but for its name and its times. The answer is a *[PendingError], also if it waits already.
func (a *Authority) file(ctx context.Context, r ApprovalRequest, event audit.Event) error {
	approvals, err := a.approvals(ctx, r.Kind)
	if err != nil {
		return err
	}
	now := a.now()
	r.ID, r.State, r.Created, r.NotAfter = RequestID(r.Body), RequestPending, now, now.Add(approvals.ExpireOrDefault())
	filed := r.event(audit.RequestFiled, now, r.Requester, r.From)
	filed.Profile, filed.Role, filed.Issuer = event.Profile, event.Role, event.Issuer
	if r.Token != "" {
		filed.Attrs["token"] = r.Token
	}
	added, err := a.cfg.Store.AddRequest(context.WithoutCancel(ctx), r, filed)
	if errors.Is(err, ErrExists) {
		if added, err = a.cfg.Store.ApprovalRequest(ctx, r.ID); err == nil && (added.State != RequestPending || added.ended(now)) {
			return &RequestSettledError{ID: added.ID, State: a.stateOf(added)}
		}
	}
	if err != nil {
		return fmt.Errorf("filing a request: %w", err)
	}
	rule, tally, err := a.tally(ctx, added)
	if err != nil {
		return err
	}
	return &PendingError{Request: added, Rule: rule.Approval, Tally: tally}
}

// stateOf is the state of a request by the clock of now.
func (a *Authority) stateOf(r ApprovalRequest) string {
	if r.ended(a.now()) {
		return RequestExpired
	}
	return r.State
}

// approvals is what the policy in force says about a kind of request. What may take the place of the policy itself, and of the
// issuing CAs, is for the policy to say that was in force last.
func (a *Authority) approvals(ctx context.Context, kind string) (policy.Approvals, error) {
	if kind != AskPolicy && kind != AskIssuers {
		return a.cfg.Approvals, nil
	}
	pin, err := a.cfg.Store.Pin(ctx, AskPolicy)
	if errors.Is(err, ErrNotFound) {
		return a.cfg.Approvals, nil
	}
	if err != nil {
		return policy.Approvals{}, fmt.Errorf("looking up the policy in force: %w", err)
	}
	return pin.Approvals, nil
}

func ruleFor(a policy.Approvals, kind string) *policy.ApprovalConfig {
	switch kind {
	case AskPolicy:
		return a.Policy
	case AskIssuers:
		return a.Issuers
	case AskRevoke, AskClose:
		return a.Revocation
	}
	return nil
}

// ruleOf is who must approve a request. One for which nobody can be found is approved by nobody.
func (a *Authority) ruleOf(ctx context.Context, r ApprovalRequest) (approvalRule, error) {
	approvals, err := a.approvals(ctx, r.Kind)
	if err != nil {
		return approvalRule{}, err
	}
	rule := approvalRule{listed: approvals.Approvers}
	if r.Kind == AskEnroll {
		var body enrollment
		if err := json.Unmarshal(r.Body, &body); err != nil {
			return rule, fmt.Errorf("reading request %s: %w", r.ID, err)
		}
		if profile, ok := a.profiles[body.Profile.Name]; ok {
			rule.Approval, _ = profile.Approval()
		}
	} else if c := ruleFor(approvals, r.Kind); c != nil {
		rule.Approval = c.Approval()
	}
	return rule, nil
}

// A RequestView is a request with what its votes come to now.
type RequestView struct {
	ApprovalRequest
	Wants   string            `json:"wants"`             // "2 of 3 operators"
	Missing int               `json:"missing"`           // approvals that it waits for
	Counted []string          `json:"counted,omitempty"` // ids of those whose votes count
	Ignored policy.Violations `json:"ignored,omitempty"` // why other votes do not
}

// ViewRequest finds a request; the error wraps [ErrNotFound].
func (a *Authority) ViewRequest(ctx context.Context, id string) (RequestView, error) {
	r, err := a.cfg.Store.ApprovalRequest(ctx, id)
	if err != nil {
		return RequestView{}, fmt.Errorf("request %.70q: %w", id, err)
	}
	return a.View(ctx, r)
}

// View counts the votes on a request.
func (a *Authority) View(ctx context.Context, r ApprovalRequest) (RequestView, error) {
	rule, tally, err := a.tally(ctx, r)
	r.State = a.stateOf(r)
	return RequestView{ApprovalRequest: r, Wants: rule.String(), Missing: tally.Missing, Counted: tally.By, Ignored: tally.Ignored}, err
}

// Approved returns a request that has been approved and not been done. The error is a [*PendingError] for one that still
// waits, a [*RequestSettledError] for one that is settled, and one that wraps [ErrNotFound].
func (a *Authority) Approved(ctx context.Context, id string) (ApprovalRequest, error) {
	r, err := a.pending(ctx, id)
	if err != nil {
		return r, err
	}
	rule, tally, err := a.tally(ctx, r)
	if err != nil {
		return r, err
	}
	if !tally.Approved {
		return r, &PendingError{Request: r, Rule: rule.Approval, Tally: tally}
	}
	return r, nil
}

// Done records that what an approved request asks was done.
func (a *Authority) Done(ctx context.Context, r ApprovalRequest, by, from string) error {
	now := a.now()
	return a.cfg.Store.ChangeRequest(context.WithoutCancel(ctx), r.ID, func(r *ApprovalRequest) ([]audit.Event, error) {
		r.settle(RequestDone, now)
		return []audit.Event{r.event(audit.RequestDone, now, by, from)}, nil
	})
}

// ExpireRequests settles the pending requests whose time is over.
func (a *Authority) ExpireRequests(ctx context.Context) error {
	var over []string
	for r, err := range a.cfg.Store.ApprovalRequests(ctx, RequestFilter{State: RequestPending}) {
		if err != nil {
			return fmt.Errorf("listing pending requests: %w", err)
		}
		if r.ended(a.now()) {
			over = append(over, r.ID)
		}
	}
	for _, id := range over {
		err := a.settleAs(ctx, id, RequestExpired, audit.RequestExpired, "not approved in time")
		if err != nil {
			return err
		}
	}
	return nil
}

// settleAs ends a request that comes to nothing. One that is settled already is left as it is.
func (a *Authority) settleAs(ctx context.Context, id, state string, kind audit.Kind, why string) error {
	now := a.now()
	err := a.cfg.Store.ChangeRequest(context.WithoutCancel(ctx), id, func(r *ApprovalRequest) ([]audit.Event, error) {
		r.settle(state, now)
		event := r.event(kind, now, self, "")
		event.Reason = clip(why)
		return []audit.Event{event}, nil
	})
	if _, settled := errors.AsType[*RequestSettledError](err); err != nil && !settled {
		return fmt.Errorf("settling request %s: %w", id, err)
	}
	return nil
}
