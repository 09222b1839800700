package ca_test

import (
	"errors"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A file is a policy as it is found at a start.
type file struct {
	Rule string `json:"rule"`
}

func (c *council) propose(kind string, what any) ca.ApprovalRequest {
	c.t.Helper()
	err := c.ca.Propose(c.t.Context(), ca.Ask{Kind: kind, What: what, By: c.signers["op3"].id})
	pending, ok := errors.AsType[*ca.PendingError](err)
	if !ok {
		c.t.Fatalf("got %v, want *ca.PendingError", err)
	}
	return pending.Request
}

func (c *council) put(kind string, what any) error {
	return c.ca.PutInForce(c.t.Context(), kind, what)
}

func TestAPolicyIsPutInForceOnlyWhenItWasApproved(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	refused := func(err error, what string) {
		t.Helper()
		if pin, ok := errors.AsType[*ca.PinError](err); !ok || pin.Kind != ca.AskPolicy {
			t.Errorf("%s: got %v, want *ca.PinError", what, err)
		}
	}
	must(c.put(ca.AskPolicy, file{"first"}))
	must(c.put(ca.AskPolicy, file{"without approvals"}))
	c.cfg.Approvals.Policy = &policy.ApprovalConfig{K: 2, Of: 3, By: policy.ByOperators}
	c.open()
	must(c.put(ca.AskPolicy, file{"with approvals"})) // the one before asks for none

	old := c.cfg.Approvals
	c.cfg.Approvals = policy.Approvals{} // the next one would do without: that is for the one in force to say
	c.open()
	refused(c.put(ca.AskPolicy, file{"next"}), "without a request")
	wantRule(t, c.ca.Propose(t.Context(), ca.Ask{Kind: ca.AskPolicy, What: file{"with approvals"}, By: c.signers["op3"].id}), "proposal")
	r := c.propose(ca.AskPolicy, file{"next"})
	refused(c.put(ca.AskPolicy, file{"next"}), "without approvals")
	wantRule(t, c.vote("op3", r, nil), "vote-requester")
	wantRule(t, c.vote("op4", r, nil), "vote-approver")
	c.mustVote(r, "op1", "op2")
	refused(c.put(ca.AskPolicy, file{"another"}), "with approvals of another")
	c.setParty("op2", func(p *policy.Party) { p.State = policy.Suspended })
	refused(c.put(ca.AskPolicy, file{"next"}), "with an approver removed")
	c.setParty("op2", func(p *policy.Party) { p.State = policy.Active })
	must(c.put(ca.AskPolicy, file{"next"}))
	if view, err := c.ca.ViewRequest(t.Context(), r.ID); err != nil || view.State != ca.RequestDone {
		t.Errorf("got %+v, %v, want the request done", view, err)
	}
	must(c.put(ca.AskPolicy, file{"next"}))

	// It asks for no approvals; with those again, what was approved once is not approved for good.
	c.cfg.Approvals = old
	c.open()
	must(c.put(ca.AskPolicy, file{"with approvals"}))
	refused(c.put(ca.AskPolicy, file{"next"}), "with approvals that were used")
	if got := c.events(audit.PolicyChanged); len(got) != 5 || got[3].Attrs["request"] != r.ID {
		t.Errorf("got %d changes, want 5, the fourth by request %s", len(got), r.ID)
	}
}

func TestOtherIssuersArePutInForceOnlyWhenTheyWereApproved(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	c.cfg.Approvals.Issuers = &policy.ApprovalConfig{K: 1, Of: 3, By: policy.ByOperators}
	c.open()
	for kind, what := range map[string]any{ca.AskPolicy: file{"p"}, ca.AskIssuers: map[string]string{"merchant": "aa"}} {
		if err := c.put(kind, what); err != nil {
			t.Fatal(err)
		}
	}
	next := map[string]string{"merchant": "bb"}
	if _, ok := errors.AsType[*ca.PinError](c.put(ca.AskIssuers, next)); !ok {
		t.Error("want *ca.PinError for issuers that nobody approved")
	}
	stale := c.propose(ca.AskIssuers, map[string]string{"merchant": "cc"})
	c.mustVote(stale, "op1")
	defer func() {
		if _, ok := errors.AsType[*ca.PinError](c.put(ca.AskIssuers, map[string]string{"merchant": "cc"})); !ok {
			t.Error("want *ca.PinError for what was approved in the place of something else")
		}
	}()
	if err := c.put(ca.AskPolicy, file{"p2"}); err != nil {
		t.Errorf("got %v for a policy, which needs no approval here", err)
	}
	c.mustVote(c.propose(ca.AskIssuers, next), "op2")
	if err := c.put(ca.AskIssuers, next); err != nil {
		t.Error(err)
	}
}

// What needs approval and what its rule cannot be fulfilled by is refused: CASES 63, k = 0, negative, and above the number of approvers.
func TestCase63ARuleThatCannotBeFulfilledApprovesNothing(t *testing.T) {
	t.Parallel()
	for _, rule := range []policy.ApprovalConfig{{K: 0, Of: 3, By: "operators"}, {K: -1, Of: 3, By: "operators"}, {K: 4, Of: 3, By: "operators"}, {K: 1, Of: 0, By: "operators"}, {K: 1, Of: 1}, {K: 1, Of: 1, By: "anybody"}, {}} {
		c := newCouncil(t)
		c.cfg.Approvals.Issuers = &rule
		c.open()
		for kind, what := range map[string]any{ca.AskPolicy: file{"p"}, ca.AskIssuers: file{"i"}} {
			if err := c.put(kind, what); err != nil {
				t.Fatal(err)
			}
		}
		r := c.propose(ca.AskIssuers, file{"j"})
		for _, by := range []string{"op1", "op2"} {
			_ = c.vote(by, r, nil)
		}
		if _, ok := errors.AsType[*ca.PinError](c.put(ca.AskIssuers, file{"j"})); !ok {
			t.Errorf("%+v: want *ca.PinError", rule)
		}
	}
}
