package api

import (
	"errors"
	"net/http"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A StateRequest says in which state a party is to be, and why.
type StateRequest struct {
	State  policy.State `json:"state"` // active resumes, suspended suspends, closed closes for good
	Reason string       `json:"reason,omitempty"`
}

// A StateReply says what became of a party, and in which CRLs it stands.
type StateReply struct {
	ca.StateChange
	CRLs    map[string]uint64 `json:"crls"`              // number of the CRLs, by issuer
	Pending *ca.RequestView   `json:"pending,omitempty"` // nothing was changed: it waits for approvers
}

// setState: POST /v1/parties/{id}/state. When it answers, OCSP and the CRLs named say so.
func (a *api) setState(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	var req StateRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	party, err := a.cfg.Store.Party(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	if req.State == policy.Closed && party.State != policy.Closed {
		certificates, err := a.unexpired(r, ca.Filter{Party: party.ID})
		if err != nil {
			return err
		}
		ask := ca.Ask{Kind: ca.AskClose, Party: party.ID, What: req, By: peer.Identity, From: r.RemoteAddr}
		if waits, err := a.ask(r, ask, len(certificates)); waits || err != nil {
			return a.waiting(w, r, err)
		}
	}
	answer, err := a.changeState(r, party.ID, req, peer.Identity.String())
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// changeState sets the state and publishes what follows from it.
func (a *api) changeState(r *http.Request, party string, req StateRequest, by string) (*StateReply, error) {
	change, err := a.cfg.Authority.SetState(r.Context(), ca.StateRequest{Party: party, State: req.State, Reason: req.Reason, By: by, From: r.RemoteAddr})
	answer := StateReply{StateChange: change, CRLs: map[string]uint64{}}
	for issuer := range change.Issuers {
		answer.CRLs[issuer] = 0
	}
	return &answer, errors.Join(err, a.publish(r, answer.CRLs))
}
