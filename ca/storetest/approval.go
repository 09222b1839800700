package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

var approvals = []sentence{
	{"a request for approval is kept once, numbered and found", testRequests},
	{"a request uses up its token, or is not kept", testRequestToken},
	{"only a pending request is changed, with its events or not at all", testChangeRequest},
	{"of many who change a request at once each sees what the others did", testChangeAtOnce},
	{"an issuance settles the request that it fulfils, once", testFulfil},
	{"a party that is suspended or closed is issued nothing, in the commit itself", testInactive},
	{"what is in force is replaced as a whole", testPins},
}

func asks(id, token string) ca.ApprovalRequest {
	return ca.ApprovalRequest{
		ID: id, Kind: ca.AskEnroll, Party: "acme", Body: []byte(`{"kind":"enroll"}`), Requester: "token:" + token, Requesters: []string{"acme"},
		From: "192.0.2.1:1", Token: token, Created: epoch, NotAfter: epoch.Add(time.Hour), State: ca.RequestPending,
	}
}

func filed() audit.Event { return audit.Event{Time: epoch, Kind: audit.RequestFiled, Actor: "local"} }

func testRequests(t *testing.T, w *world) {
	_, err := w.ApprovalRequest(t.Context(), "r0")
	wantError(t, err, ca.ErrNotFound)
	const n = 300 // more than a store reads at a time
	var want []ca.ApprovalRequest
	for i := range n {
		r := asks(fmt.Sprintf("r%d", n-i), "")
		got, err := w.AddRequest(t.Context(), r, filed())
		must(t, err)
		if r.Number = uint64(i) + 1; !reflect.DeepEqual(got, r) {
			t.Fatalf("got %+v, want %+v", got, r)
		}
		want = append(want, r)
	}
	_, err = w.AddRequest(t.Context(), asks("r7", ""), filed())
	wantError(t, err, ca.ErrExists)
	for i := range want {
		if i%3 == 0 {
			must(t, w.ChangeRequest(t.Context(), want[i].ID, func(r *ca.ApprovalRequest) ([]audit.Event, error) {
				r.State, r.Settled = ca.RequestRejected, epoch
				return nil, nil
			}))
			want[i].State, want[i].Settled = ca.RequestRejected, epoch
		}
		if got, err := w.ApprovalRequest(t.Context(), want[i].ID); err != nil || !reflect.DeepEqual(got, want[i]) {
			t.Fatalf("got %+v, %v, want %+v", got, err, want[i])
		}
	}
	for _, f := range []ca.RequestFilter{{}, {After: 17}, {After: n}, {State: ca.RequestPending}, {State: ca.RequestPending, After: 100}, {State: ca.RequestRejected}, {State: ca.RequestDone}} {
		var match []ca.ApprovalRequest
		for _, r := range want {
			if r.Number > f.After && (f.State == "" || r.State == f.State) {
				match = append(match, r)
			}
		}
		if got := all(t, w.ApprovalRequests(t.Context(), f)); !reflect.DeepEqual(got, match) {
			t.Errorf("%+v: got %d requests, want %d in their order", f, len(got), len(match))
		}
	}
	if got := len(leavesOf(t, w.Store)); got != n {
		t.Errorf("got %d events, want one for each request", got)
	}
}

func testRequestToken(t *testing.T, w *world) {
	must(t, w.AddToken(t.Context(), token("a"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	_, err := w.AddRequest(t.Context(), asks("r1", "none"), filed())
	wantError(t, err, ca.ErrNotFound)
	const callers = 50
	errs := make([]error, callers)
	_ = together(callers, func(i int) error {
		_, errs[i] = w.AddRequest(t.Context(), asks(fmt.Sprintf("r%d", i), "a"), filed())
		return nil
	})
	kept := all(t, w.ApprovalRequests(t.Context(), ca.RequestFilter{}))
	if len(kept) != 1 {
		t.Fatalf("got %d requests for one token, want 1", len(kept))
	}
	use := ca.TokenUse{Party: "acme", From: "192.0.2.1:1", At: epoch, Request: kept[0].ID}
	if got, err := w.Token(t.Context(), "a"); err != nil || got.Used == nil || *got.Used != use {
		t.Errorf("got token %+v, %v, want it used as %+v", got, err, use)
	}
	for i, err := range errs {
		used := (*ca.TokenUsedError)(nil)
		if won := fmt.Sprintf("r%d", i) == kept[0].ID; won != (err == nil) || !won && (!errors.As(err, &used) || used.By != use) {
			t.Errorf("caller %d: got %v, want one winner and the others told of it", i, err)
		}
	}
	_, err = w.issue(t.Context(), func(is *ca.Issuance) { is.Token = "a" })
	if !errors.As(err, new(*ca.TokenUsedError)) {
		t.Errorf("got %v for a certificate with the token, want *ca.TokenUsedError", err)
	}
}

func testChangeRequest(t *testing.T, w *world) {
	_, err := w.AddRequest(t.Context(), asks("r1", ""), filed())
	must(t, err)
	before := Dump(t, w.Store)
	event := audit.Event{Time: epoch, Kind: audit.RequestApproved}
	wantError(t, w.ChangeRequest(t.Context(), "r2", func(*ca.ApprovalRequest) ([]audit.Event, error) { return []audit.Event{event}, nil }), ca.ErrNotFound)
	wantError(t, w.ChangeRequest(t.Context(), "r1", func(r *ca.ApprovalRequest) ([]audit.Event, error) {
		r.State = ca.RequestDone
		return []audit.Event{event}, errFault
	}), errFault)
	if after := Dump(t, w.Store); after != before {
		t.Errorf("got %s after what was refused, want %s", after, before)
	}
	vote := policy.Vote{Approver: "op1", Digest: "r1", Approve: true, At: epoch, Object: "a.b.c"}
	must(t, w.ChangeRequest(t.Context(), "r1", func(r *ca.ApprovalRequest) ([]audit.Event, error) {
		r.ID, r.Number, r.Votes = "r9", 99, append(r.Votes, vote) // id and number stay
		return []audit.Event{event, event}, nil
	}))
	must(t, w.ChangeRequest(t.Context(), "r1", func(r *ca.ApprovalRequest) ([]audit.Event, error) {
		r.State = ca.RequestRejected
		return []audit.Event{event}, nil
	}))
	got, err := w.ApprovalRequest(t.Context(), "r1")
	must(t, err)
	if got.ID != "r1" || got.Number != 1 || len(got.Votes) != 1 || got.Votes[0] != vote || got.State != ca.RequestRejected {
		t.Errorf("got %+v, want r1 with one vote, rejected", got)
	}
	settled := (*ca.RequestSettledError)(nil)
	if err := w.ChangeRequest(t.Context(), "r1", func(*ca.ApprovalRequest) ([]audit.Event, error) { return nil, nil }); !errors.As(err, &settled) || settled.State != ca.RequestRejected {
		t.Errorf("got %v, want *ca.RequestSettledError that says rejected", err)
	}
	if got := len(leavesOf(t, w.Store)); got != 4 {
		t.Errorf("got %d events, want 4", got)
	}
}

func testChangeAtOnce(t *testing.T, w *world) {
	_, err := w.AddRequest(t.Context(), asks("r1", ""), filed())
	must(t, err)
	const n = 60
	must(t, together(n, func(i int) error {
		return w.ChangeRequest(t.Context(), "r1", func(r *ca.ApprovalRequest) ([]audit.Event, error) {
			r.Votes = append(r.Votes, policy.Vote{Approver: fmt.Sprintf("op%d", i)})
			return nil, nil
		})
	}))
	if got, err := w.ApprovalRequest(t.Context(), "r1"); err != nil || len(got.Votes) != n {
		t.Errorf("got %d votes, %v, want all %d", len(got.Votes), err, n)
	}
}

func testFulfil(t *testing.T, w *world) {
	_, err := w.issue(t.Context(), func(is *ca.Issuance) { is.Request = "r1" })
	wantError(t, err, ca.ErrNotFound)
	_, err = w.AddRequest(t.Context(), asks("r1", ""), filed())
	must(t, err)
	const callers = 40
	errs := make([]error, callers)
	_ = together(callers, func(i int) error {
		_, errs[i] = w.issue(t.Context(), func(is *ca.Issuance) { is.Request = "r1" })
		return nil
	})
	records := all(t, w.Certificates(t.Context(), ca.Filter{}))
	r, err := w.ApprovalRequest(t.Context(), "r1")
	must(t, err)
	if len(records) != 1 || r.State != ca.RequestDone || r.Serial == nil || *r.Serial != records[0].Serial || !r.Settled.Equal(epoch) {
		t.Fatalf("got %d certificates and request %+v, want one, and the request done by it", len(records), r)
	}
	won := 0
	for _, err := range errs {
		settled := (*ca.RequestSettledError)(nil)
		switch {
		case err == nil:
			won++
		case !errors.As(err, &settled) || settled.State != ca.RequestDone:
			t.Errorf("got %v, want *ca.RequestSettledError that says done", err)
		}
	}
	if won != 1 {
		t.Errorf("got %d winners, want 1", won)
	}
}

func testInactive(t *testing.T, w *world) {
	p := party("acme")
	must(t, w.AddParty(t.Context(), p, audit.Event{Time: epoch, Kind: audit.PartyAdded}))
	w.mustIssue(t, nil)
	for _, state := range []policy.State{policy.Suspended, policy.Closed} {
		p.State = state
		must(t, w.UpdateParty(t.Context(), p, audit.Event{Time: epoch, Kind: audit.PartyChanged}))
		size := len(leavesOf(t, w.Store))
		_, err := w.issue(t.Context(), nil)
		wantError(t, err, ca.ErrInactive)
		if got := len(leavesOf(t, w.Store)); got != size {
			t.Errorf("%s: got %d events, want none", state, got-size)
		}
	}
	if intents, err := w.Intents(t.Context()); err != nil || len(intents) != 2 {
		t.Errorf("got %d intents, %v, want those of the refused", len(intents), err)
	}
}

func testPins(t *testing.T, w *world) {
	_, err := w.Pin(t.Context(), ca.AskPolicy)
	wantError(t, err, ca.ErrNotFound)
	for i := range 3 {
		for _, kind := range []string{ca.AskPolicy, ca.AskIssuers} {
			want := ca.Pin{Kind: kind, Digest: fmt.Sprint(i), Body: []byte(kind), At: epoch, Approvals: policy.Approvals{Approvers: []string{"op1"}, Policy: &policy.ApprovalConfig{K: 1, Of: 1}}}
			must(t, w.SetPin(t.Context(), want, audit.Event{Time: epoch, Kind: audit.PolicyChanged}))
			if got, err := w.Pin(t.Context(), kind); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, %v, want %+v", got, err, want)
			}
		}
	}
	if got := len(leavesOf(t, w.Store)); got != 6 {
		t.Errorf("got %d events, want 6", got)
	}
}

// asking is the part of the story that is about approvals, after a token that is cancelled.
func (w *world) asking() []func(ctx context.Context) error {
	return []func(ctx context.Context) error{
		func(ctx context.Context) error {
			return w.CancelToken(ctx, "b", ca.TokenCancellation{By: "local", At: epoch}, audit.Event{Time: epoch, Kind: audit.TokenCancelled})
		},
		func(ctx context.Context) error {
			_, err := w.AddRequest(ctx, asks("r1", ""), filed())
			return err
		},
		func(ctx context.Context) error {
			return w.ChangeRequest(ctx, "r1", func(r *ca.ApprovalRequest) ([]audit.Event, error) {
				r.State = ca.RequestRejected
				return []audit.Event{filed()}, nil
			})
		},
		func(ctx context.Context) error {
			return w.SetPin(ctx, ca.Pin{Kind: ca.AskPolicy, Digest: "1"}, audit.Event{Time: epoch, Kind: audit.PolicyChanged})
		},
	}
}
