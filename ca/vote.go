package ca

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A VoteRequest delivers what an approver signed. Who delivers it does not matter: the signature says whose it is.
type VoteRequest struct {
	ID     string // of the request
	Object string // from policy.SignVote
	From   string // remote address, "" for none
}

// Vote records what an approver says of a request, and returns the request with what the votes come to now. One that rejects
// settles the request. Voting the same again changes nothing.
//
// Errors: one that wraps [ErrNotFound] for an unknown request; a [*RequestSettledError]; policy.Violations for a vote that
// does not count: not signed by an unrevoked certificate of an approver who may approve now and did not ask, or on other bytes.
func (a *Authority) Vote(ctx context.Context, v VoteRequest) (ApprovalRequest, policy.Tally, error) {
	r, err := a.pending(ctx, v.ID)
	if err != nil {
		return r, policy.Tally{}, err
	}
	s, identity, err := a.readVote(ctx, v.Object)
	if err != nil {
		return r, policy.Tally{}, a.voteRefused(ctx, r, v, identity, err)
	}
	vote := policy.Vote{Approver: identity.Party, Digest: s.Digest, Approve: s.Approve, Reason: clip(s.Reason), At: s.At, Object: v.Object}
	if err := a.checkVote(ctx, r, s, identity); err != nil {
		return r, policy.Tally{}, a.voteRefused(ctx, r, v, identity, err)
	}
	if i := slices.IndexFunc(r.Votes, func(w policy.Vote) bool { return w.Approver == vote.Approver }); i < 0 || r.Votes[i].Approve != vote.Approve {
		err = a.cfg.Store.ChangeRequest(context.WithoutCancel(ctx), r.ID, func(now *ApprovalRequest) ([]audit.Event, error) {
			return a.addVote(now, vote, identity, v.From), nil
		})
		if err != nil {
			return r, policy.Tally{}, fmt.Errorf("recording a vote: %w", err)
		}
	}
	if r, err = a.cfg.Store.ApprovalRequest(ctx, r.ID); err != nil {
		return r, policy.Tally{}, err
	}
	_, tally, err := a.tally(ctx, r)
	return r, tally, err
}

// addVote is what a vote changes.
func (a *Authority) addVote(r *ApprovalRequest, vote policy.Vote, by policy.Identity, from string) []audit.Event {
	r.Votes = append(slices.DeleteFunc(slices.Clone(r.Votes), func(w policy.Vote) bool { return w.Approver == vote.Approver }), vote)
	kind := audit.RequestApproved
	if !vote.Approve {
		kind = audit.RequestRejected
		r.settle(RequestRejected, a.now())
	}
	event := r.event(kind, a.now(), by.String(), from)
	event.Role, event.Reason, event.Attrs["vote"] = string(by.Role), vote.Reason, vote.Object
	return []audit.Event{event}
}

// voteRefused records that a vote was refused, and returns why.
func (a *Authority) voteRefused(ctx context.Context, r ApprovalRequest, v VoteRequest, by policy.Identity, err error) error {
	if policy.ViolationsOf(err) == nil {
		return err
	}
	actor := ""
	if by.Party != "" {
		actor = by.String()
	}
	event := r.event(audit.RequestRefused, a.now(), actor, v.From)
	event.Reason, event.Violations = clip(err.Error()), logged(policy.ViolationsOf(err))
	return errors.Join(err, a.cfg.Store.Append(context.WithoutCancel(ctx), event))
}

// readVote finds out who signed a vote: a party whose certificate stands in the inventory, is valid and not revoked.
func (a *Authority) readVote(ctx context.Context, object string) (s policy.VoteStatement, id policy.Identity, err error) {
	rec, cert, err := a.voteCertificate(ctx, object)
	if err != nil {
		return s, id, err
	}
	id = policy.Identity{Network: a.cfg.Network, Role: rec.Role, Party: rec.Party}
	if a.now().After(rec.NotAfter) || a.now().Before(rec.NotBefore) {
		return s, id, violation("vote-certificate", "certificate of the approver", "valid until "+rec.NotAfter.UTC().Format(time.RFC3339), "one that is valid now")
	}
	s, err = policy.VerifyVote(object, cert)
	if err == nil && s.Approver != id.String() {
		err = violation("vote-approver", "vote", fmt.Sprintf("of %.100q, signed by %s", s.Approver, id), "the approver's own")
	}
	return s, id, err
}

// voteCertificate finds the certificate that a vote names. One that was revoked or put on hold signs nothing.
func (a *Authority) voteCertificate(ctx context.Context, object string) (Record, *x509.Certificate, error) {
	thumbprint, err := policy.VoteSigner(object)
	if err != nil {
		return Record{}, nil, err
	}
	rec, err := a.cfg.Store.ByThumbprint(ctx, thumbprint)
	if errors.Is(err, ErrNotFound) || err == nil && rec.Party == "" {
		return Record{}, nil, violation("vote-certificate", "certificate of the approver", "not in the inventory of parties", "one that this CA issued")
	}
	if err != nil {
		return Record{}, nil, fmt.Errorf("looking up the certificate of a vote: %w", err)
	}
	if r := rec.Revocation; r != nil {
		return rec, nil, violation("vote-certificate", "certificate of the approver", "revoked since "+r.At.UTC().Format(time.RFC3339), "one that is not revoked")
	}
	cert, err := x509.ParseCertificate(rec.DER)
	return rec, cert, err
}

// checkVote says why a vote would not count.
func (a *Authority) checkVote(ctx context.Context, r ApprovalRequest, s policy.VoteStatement, by policy.Identity) error {
	var vs policy.Violations
	wrong := func(rule, got, want string) {
		vs = append(vs, violation(rule, "vote", got, want)...)
	}
	if s.Network != a.cfg.Network {
		wrong("vote-network", fmt.Sprintf("for %.100q", s.Network), a.cfg.Network)
	}
	if s.Digest != r.ID {
		wrong("vote-digest", fmt.Sprintf("on %.70q", s.Digest), r.ID+", as the request is now")
	}
	if s.At.Before(r.Created.Add(-time.Minute)) || s.At.After(a.now().Add(time.Minute)) {
		wrong("vote-time", "made at "+s.At.UTC().Format(time.RFC3339), "made since the request was filed")
	}
	id := by.Party
	if slices.Contains(r.Requesters, id) {
		wrong("vote-requester", "by "+id+", who asked", "one by somebody else")
	}
	rule, err := a.ruleOf(ctx, r)
	if err != nil {
		return err
	}
	eligible, err := a.eligible(ctx, r, rule, id)
	if err != nil {
		return err
	}
	if !eligible {
		wrong("vote-approver", "by "+id+", who may not approve this", "one by an approver who is active: "+strings.Join(rule.By, ", "))
	}
	if len(vs) > 0 {
		return vs
	}
	return nil
}

// eligible says whether a party may approve the request now: an active operator who is listed, or
// the active bank of the consumer.
func (a *Authority) eligible(ctx context.Context, r ApprovalRequest, rule approvalRule, id string) (bool, error) {
	voter, err := a.cfg.Store.Party(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking up the approver %q: %w", id, err)
	}
	if voter.State != policy.Active {
		return false, nil
	}
	if slices.Contains(rule.By, policy.ByOperators) && voter.Role == policy.Operator && slices.Contains(rule.listed, id) {
		return true, nil
	}
	if !slices.Contains(rule.By, policy.ByBank) || !voter.Role.Banker() {
		return false, nil
	}
	consumer, err := a.cfg.Store.Party(ctx, r.Party)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking up party %q: %w", r.Party, err)
	}
	return consumer.Bank == id, nil
}

// tally counts the votes on a request as things are now: by parties that may approve now, with certificates that
// are not revoked now, signed for these bytes.
func (a *Authority) tally(ctx context.Context, r ApprovalRequest) (approvalRule, policy.Tally, error) {
	rule, err := a.ruleOf(ctx, r)
	if err != nil {
		return rule, policy.Tally{}, err
	}
	ballot := policy.Ballot{Digest: r.ID, Requesters: r.Requesters}
	if RequestID(r.Body) != r.ID { // nothing counts for bytes that nobody saw
		ballot.Digest = ""
	}
	var unsigned policy.Violations
	for _, v := range r.Votes {
		err := a.checkEvidence(ctx, v)
		if vs := policy.ViolationsOf(err); vs != nil {
			unsigned = append(unsigned, vs...)
			continue
		}
		if err != nil {
			return rule, policy.Tally{}, err
		}
		may, err := a.eligible(ctx, r, rule, v.Approver)
		if err != nil {
			return rule, policy.Tally{}, err
		}
		if may {
			ballot.Approvers = append(ballot.Approvers, v.Approver)
		}
		ballot.Votes = append(ballot.Votes, v)
	}
	t := rule.Tally(ballot)
	t.Ignored = append(t.Ignored, unsigned...)
	return rule, t, nil
}

// checkEvidence says why a recorded vote is not what its approver signed.
func (a *Authority) checkEvidence(ctx context.Context, v policy.Vote) error {
	rec, cert, err := a.voteCertificate(ctx, v.Object)
	if err != nil {
		return err
	}
	s, err := policy.VerifyVote(v.Object, cert)
	if err != nil {
		return err
	}
	id := policy.Identity{Network: a.cfg.Network, Role: rec.Role, Party: rec.Party}
	if s.Digest != v.Digest || s.Approve != v.Approve || rec.Party != v.Approver || s.Approver != id.String() || s.Network != a.cfg.Network {
		return violation("vote-signature", "vote of "+v.Approver, "another than was signed", "what was signed")
	}
	return nil
}

// pending finds a request that still waits.
func (a *Authority) pending(ctx context.Context, id string) (ApprovalRequest, error) {
	r, err := a.cfg.Store.ApprovalRequest(ctx, id)
	if err != nil {
		return r, fmt.Errorf("request %.70q: %w", id, err)
	}
	if r.ended(a.now()) {
		r.State = RequestExpired
	}
	if r.State != RequestPending {
		return r, &RequestSettledError{ID: r.ID, State: r.State}
	}
	return r, nil
}
