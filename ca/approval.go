package ca

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"iter"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// The kinds of [ApprovalRequest].
const (
	AskEnroll  = "enroll"  // a certificate
	AskRevoke  = "revoke"  // many certificates to be revoked
	AskClose   = "close"   // a party to be closed that has many certificates
	AskPolicy  = "policy"  // another policy file
	AskIssuers = "issuers" // other issuing CA certificates
)

// The states of an [ApprovalRequest].
const (
	RequestPending  = "pending"  // it waits for approvers, or for who asked to come and get it
	RequestDone     = "done"     // it was approved, and what it asks was done
	RequestRejected = "rejected" // an approver rejected it
	RequestInvalid  = "invalid"  // what it asks was changed meanwhile
	RequestExpired  = "expired"  // nobody approved it in time
)

// An ApprovalRequest is something that is done only when approvers approve it. It is named by what it says: whoever
// approves it approves these bytes, and a request that says anything else is another one.
type ApprovalRequest struct {
	ID         string        `json:"id"`               // SHA-256 of Body, hexadecimal
	Number     uint64        `json:"number"`           // from 1, in the order of filing; the store gives it
	Kind       string        `json:"kind"`             // AskEnroll and so on
	Party      string        `json:"party,omitempty"`  // the party concerned
	Body       []byte        `json:"body"`             // what is asked, JSON
	Requester  string        `json:"requester"`        // on whose word: as in audit.Event.Actor
	Requesters []string      `json:"requesters"`       // ids of the parties who may not approve it
	From       string        `json:"from,omitempty"`   // remote address of who asked
	Token      string        `json:"token,omitempty"`  // id of the enrollment token that it used up
	Created    time.Time     `json:"created"`          //
	NotAfter   time.Time     `json:"not_after"`        // approved later it is not done any more
	State      string        `json:"state"`            // RequestPending and so on
	Votes      []policy.Vote `json:"votes,omitempty"`  //
	Settled    time.Time     `json:"settled,omitzero"` // when State became another than pending
	Serial     *Serial       `json:"serial,omitempty"` // of the certificate that came of it
}

// RequestID returns the id of a request with that body.
func RequestID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// A RequestFilter selects approval requests; empty members match everything.
type RequestFilter struct {
	State string // in the store; a pending one may have ended already
	After uint64 // cursor: only Number > After
}

// Approvals is what waits for approvers, and what they approved.
type Approvals interface {
	// AddRequest keeps a new request, redeems r.Token if it is named, and returns the request with its Number. ErrExists;
	// *TokenUsedError; *TokenCancelledError; ErrNotFound for an unknown token.
	AddRequest(ctx context.Context, r ApprovalRequest, event audit.Event) (ApprovalRequest, error)
	// ApprovalRequest finds a request by id; ErrNotFound.
	ApprovalRequest(ctx context.Context, id string) (ApprovalRequest, error)
	// ApprovalRequests yields the requests that match by ascending Number.
	ApprovalRequests(ctx context.Context, f RequestFilter) iter.Seq2[ApprovalRequest, error]
	// ChangeRequest replaces a pending request by what change makes of it, and appends its events, in one commit. ErrNotFound;
	// *RequestSettledError if it is not pending; the error of change, which is quick, uses no store and may run again.
	ChangeRequest(ctx context.Context, id string, change func(r *ApprovalRequest) ([]audit.Event, error)) error
	// Pin finds what was put in force last; ErrNotFound.
	Pin(ctx context.Context, kind string) (Pin, error)
	// SetPin puts something in force.
	SetPin(ctx context.Context, pin Pin, event audit.Event) error
}

// A Pin is something outside of the store that is in force, and that only approvers may change.
type Pin struct {
	Kind      string           `json:"kind"`      // AskPolicy or AskIssuers
	Digest    string           `json:"digest"`    // SHA-256 of Body, hexadecimal
	Body      []byte           `json:"body"`      // what it says, JSON
	Approvals policy.Approvals `json:"approvals"` // who had to approve changes then
	At        time.Time        `json:"at"`        //
}

// A RequestSettledError says that a request is not pending any more.
type RequestSettledError struct {
	ID, State string
}

// Error says what became of it.
func (e *RequestSettledError) Error() string {
	return fmt.Sprintf("request %.16s is %s, want a pending one", e.ID, e.State)
}

// A PendingError says that something was not done because it waits for approvers.
type PendingError struct {
	Request ApprovalRequest
	Rule    policy.Approval
	Tally   policy.Tally
}

// Error says what it waits for.
func (e *PendingError) Error() string {
	return fmt.Sprintf("request %.16s waits for %d of %d approvals by %s", e.Request.ID, e.Tally.Missing, e.Rule.K, e.Rule.By)
}

// settle ends a pending request.
func (r *ApprovalRequest) settle(state string, now time.Time) {
	r.State, r.Settled = state, now
}

// ended says whether the time of a pending request is over.
func (r *ApprovalRequest) ended(now time.Time) bool {
	return r.State == RequestPending && !now.Before(r.NotAfter)
}

// event starts an audit event about the request.
func (r *ApprovalRequest) event(kind audit.Kind, now time.Time, actor, from string) audit.Event {
	return audit.Event{
		Time: now, Kind: kind, Actor: clip(actor), From: clip(from), Party: r.Party,
		Attrs: map[string]string{"request": r.ID, "asks": r.Kind},
	}
}
