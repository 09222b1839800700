package api

import (
	"errors"
	"net/http"
	"slices"
	"strconv"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// maxList is how many requests are looked through for one page that shows few of them.
const maxList = 10_000

// listRequests: GET /v1/requests?state=&after=&limit=, a page of ca.RequestView. A bank sees those of its consumers.
func (a *api) listRequests(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	filter := ca.RequestFilter{State: query.Get("state")}
	states := []string{ca.RequestPending, ca.RequestDone, ca.RequestRejected, ca.RequestInvalid, ca.RequestExpired}
	if filter.State != "" && !slices.Contains(states, filter.State) {
		return badParameter("state", filter.State, "pending, done, rejected, invalid or expired")
	}
	if text := query.Get("after"); text != "" {
		if filter.After, err = strconv.ParseUint(text, 10, 62); err != nil {
			return badParameter("after", text, "the cursor of a page")
		}
	}
	page, seen, last := Page[ca.RequestView]{Items: []ca.RequestView{}}, 0, filter.After
	for request, err := range a.cfg.Store.ApprovalRequests(r.Context(), filter) {
		if err != nil {
			return err
		}
		if seen++; len(page.Items) == limit || seen > maxList {
			page.Next = strconv.FormatUint(last, 10)
			break
		}
		last = request.Number
		if err := a.maySee(r, request); errors.Is(err, ca.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		view, err := a.cfg.Authority.View(r.Context(), request)
		if err != nil {
			return err
		}
		if filter.State == "" || view.State == filter.State { // one that has ended is not pending any more
			page.Items = append(page.Items, view)
		}
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// maySee says whether a request is the caller's to see: an operator's, an auditor's, or the bank's of the consumer concerned.
func (a *api) maySee(r *http.Request, request ca.ApprovalRequest) error {
	peer, err := caller(r)
	if err != nil || mayReadAll(peer) {
		return err
	}
	party, err := a.cfg.Store.Party(r.Context(), request.Party)
	if err != nil {
		return err
	}
	if !peer.Identity.Role.Banker() || party.Bank != peer.Identity.Party {
		return ca.ErrNotFound // not 403: who asks learns nothing about others
	}
	return nil
}

// showRequest: GET /v1/requests/{id}, a ca.RequestView
func (a *api) showRequest(w http.ResponseWriter, r *http.Request) error {
	view, err := a.cfg.Authority.ViewRequest(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if err := a.maySee(r, view.ApprovalRequest); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, view)
}

// A Proposal asks that something else be in force.
type Proposal struct {
	Kind  string            `json:"kind"`  // ca.AskPolicy or ca.AskIssuers
	Files map[string][]byte `json:"files"` // policy: "payca.yaml"; issuers: certificates in PEM by the name of the issuing CA, those that change
}

// propose: POST /v1/requests; 202 with a ca.RequestView
func (a *api) propose(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	var req Proposal
	if err := decode(r, &req); err != nil {
		return err
	}
	if req.Kind != ca.AskPolicy && req.Kind != ca.AskIssuers {
		return badParameter("kind", req.Kind, ca.AskPolicy+" or "+ca.AskIssuers)
	}
	found, err := a.cfg.Found(req.Kind, req.Files)
	if err != nil {
		return problem.Errorf(http.StatusBadRequest, "bad-parameter", "files: %w", err)
	}
	return a.waiting(w, r, a.cfg.Authority.Propose(r.Context(), ca.Ask{Kind: req.Kind, What: found, By: peer.Identity, From: r.RemoteAddr}))
}

// A Waiting is the answer, 202, to what waits for approvers.
type Waiting struct {
	Pending *ca.RequestView `json:"pending"`
}

// waiting answers with the request that was filed, or returns the error that is something else.
func (a *api) waiting(w http.ResponseWriter, r *http.Request, err error) error {
	pending, ok := errors.AsType[*ca.PendingError](err)
	if !ok {
		return err
	}
	view, err := a.cfg.Authority.View(r.Context(), pending.Request)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/requests/"+view.ID)
	return problem.WriteJSON(w, http.StatusAccepted, Waiting{Pending: &view})
}

// A Ballot delivers what an approver signed.
type Ballot struct {
	Vote string `json:"vote"` // from policy.SignVote
}

// A VoteReply says what a vote led to.
type VoteReply struct {
	Request    ca.RequestView   `json:"request"`
	Revocation *RevocationReply `json:"revocation,omitempty"` // what was revoked, now that it is approved
	State      *StateReply      `json:"state,omitempty"`      // of the party that was closed, now that it is approved
}

// vote: POST /v1/requests/{id}/votes. Whoever may call it may deliver the vote of anybody: the signature says whose it is. What
// needed one more vote is done before it answers; a vote that is repeated does what a crash left undone.
func (a *api) vote(w http.ResponseWriter, r *http.Request) error {
	var req Ballot
	if err := decode(r, &req); err != nil {
		return err
	}
	request, tally, err := a.cfg.Authority.Vote(r.Context(), ca.VoteRequest{ID: r.PathValue("id"), Object: req.Vote, From: r.RemoteAddr})
	if err != nil {
		return err
	}
	var answer VoteReply
	if tally.Approved {
		if answer, err = a.execute(r, request.ID); err != nil {
			return err
		}
	}
	if answer.Request, err = a.cfg.Authority.ViewRequest(r.Context(), request.ID); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// execute does what an approved request asks. Certificates are made when they are fetched, and a policy or issuers when
// the CA starts again.
func (a *api) execute(r *http.Request, id string) (answer VoteReply, err error) {
	request, err := a.cfg.Authority.Approved(r.Context(), id)
	if err != nil {
		return answer, err
	}
	switch request.Kind {
	case ca.AskRevoke:
		var asked RevocationRequest
		if err := request.Asked(&asked); err != nil {
			return answer, err
		}
		answer.Revocation, err = a.revokeAsked(r, asked, request.Requester)
	case ca.AskClose:
		var asked StateRequest
		if err := request.Asked(&asked); err != nil {
			return answer, err
		}
		answer.State, err = a.changeState(r, request.Party, asked, request.Requester)
	default:
		return answer, nil
	}
	if err != nil {
		return answer, err
	}
	return answer, a.cfg.Authority.Done(r.Context(), request, a.actor(r), r.RemoteAddr)
}

// actor is the caller's identity.
func (a *api) actor(r *http.Request) string {
	if peer, err := caller(r); err == nil {
		return peer.Identity.String()
	}
	return ""
}

// ask files a request for what an operator does to so many certificates at once, if that needs approval; then it waits. What a
// party does to its own needs none.
func (a *api) ask(r *http.Request, ask ca.Ask, certificates int) (waits bool, err error) {
	if ask.By.Role != policy.Operator || certificates < a.cfg.Many {
		return false, nil
	}
	if waits, err = a.cfg.Authority.NeedsApproval(r.Context(), ask.Kind); !waits || err != nil {
		return false, err
	}
	return true, a.cfg.Authority.File(r.Context(), ask)
}
