package api

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A Selection names certificates: one, or those of a party or a key that have not expired.
type Selection struct {
	Serial string `json:"serial,omitempty"`
	Party  string `json:"party,omitempty"`
	Key    string `json:"key,omitempty"` // SHA-256 of the SubjectPublicKeyInfo, hexadecimal
	All    bool   `json:"all,omitempty"` // several are meant; without it several are refused
}

// many says whether a selection may be of several certificates.
func (s Selection) many() bool { return s.Serial == "" }

// A RevocationRequest names what to revoke, and why.
type RevocationRequest struct {
	Selection
	Reason     string    `json:"reason"`              // as RFC 5280 names it; certificateHold can be released
	Invalidity time.Time `json:"invalidity,omitzero"` // since when the key is suspected
}

// A RevocationReply says what was revoked and in which CRLs it stands.
type RevocationReply struct {
	Revoked []ca.Revocation   `json:"revoked"`
	Already int               `json:"already"`           // certificates for which what stands is stronger
	CRLs    map[string]uint64 `json:"crls"`              // number of the CRLs that list them, by issuer
	Pending *ca.RequestView   `json:"pending,omitempty"` // nothing was revoked: it waits for approvers
}

// A ReleaseReply says which holds ended, and in which CRLs that stands.
type ReleaseReply struct {
	Released []ca.Serial       `json:"released"`
	CRLs     map[string]uint64 `json:"crls"` // number of the CRLs that do not list them, by issuer
}

// revoke: POST /v1/revocations. Operators revoke anything, a party its own.
// When it answers, OCSP and the CRLs named say so.
func (a *api) revoke(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	var req RevocationRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	plan, err := a.plan(r, req, ownOnly(peer))
	if err != nil {
		return err
	}
	if err := a.admitSeveral(req.Selection, plan.records); err != nil {
		return err
	}
	if plan.request.Reason != ca.CertificateHold { // which can be undone, so it need not wait
		ask := ca.Ask{Kind: ca.AskRevoke, Party: req.Party, What: req, By: peer.Identity, From: r.RemoteAddr}
		if waits, err := a.ask(r, ask, len(plan.records)); waits || err != nil {
			return a.waiting(w, r, err)
		}
	}
	plan.request.By = peer.Identity.String()
	answer, err := a.carryOut(r, plan)
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// A plan is what a revocation would do.
type plan struct {
	records []ca.Record
	request ca.RevokeRequest // without Serial and By
	already int              // certificates for which what stands is stronger
}

// plan finds out what a revocation would do; own is the party whose certificates alone it may be of, "" for any.
func (a *api) plan(r *http.Request, req RevocationRequest, own string) (p plan, err error) {
	p.request = ca.RevokeRequest{From: r.RemoteAddr, Invalidity: req.Invalidity}
	if p.request.Reason, err = ca.ParseReason(req.Reason); err != nil {
		return p, badParameter("reason", req.Reason, "a reason of RFC 5280 section 5.3.1, such as keyCompromise or superseded")
	}
	if p.records, err = a.selected(r, req.Selection, own); err != nil || !req.many() {
		return p, err
	}
	before := len(p.records)
	p.records = only(p.records, func(rec ca.Record) bool {
		at := a.cfg.Now()
		if rec.Revocation != nil && at.Before(rec.Revocation.At) {
			at = rec.Revocation.At
		}
		return ca.CheckRevocation(rec.Revocation, ca.Revocation{Serial: rec.Serial, Reason: p.request.Reason, At: at}) == nil
	})
	p.already = before - len(p.records)
	return p, nil
}

// carryOut revokes what was planned, and publishes it.
func (a *api) carryOut(r *http.Request, p plan) (RevocationReply, error) {
	answer := RevocationReply{Revoked: []ca.Revocation{}, Already: p.already, CRLs: map[string]uint64{}}
	err := a.revokeAll(r, p.records, p.request, &answer)
	return answer, errors.Join(err, a.publish(r, answer.CRLs))
}

// revokeAsked does what an approved request asks, in the name of the operator who asked.
func (a *api) revokeAsked(r *http.Request, req RevocationRequest, by string) (*RevocationReply, error) {
	p, err := a.plan(r, req, "")
	if err != nil {
		return nil, err
	}
	p.request.By = by
	answer, err := a.carryOut(r, p)
	return &answer, err
}

// ownOnly is the party whose certificates alone the caller may change: itself, "" for operators.
func ownOnly(peer *policy.Peer) string {
	if peer.Identity.Role == policy.Operator {
		return ""
	}
	return peer.Identity.Party
}

// revokeAll revokes the records one by one; with keyCompromise that takes what else has their keys along.
func (a *api) revokeAll(r *http.Request, records []ca.Record, request ca.RevokeRequest, answer *RevocationReply) error {
	done := map[ca.Serial]bool{}
	for _, record := range records {
		if done[record.Serial] {
			continue // as one of the same key, a moment ago
		}
		request.Serial = record.Serial
		revoked, err := a.cfg.Authority.RevokeAll(r.Context(), request)
		for _, rev := range revoked {
			done[rev.Serial] = true
			answer.CRLs[rev.Issuer] = 0
		}
		answer.Revoked = append(answer.Revoked, revoked...)
		var already *ca.RevokedError
		if errors.As(err, &already) && len(records) > 1 {
			answer.Revoked = append(answer.Revoked, already.Revocation) // by somebody else, a moment ago
			answer.CRLs[record.Issuer] = 0
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// release: POST /v1/releases. Only operators: who holds a stolen key could end its hold.
// When it answers, OCSP and the CRLs named say so.
func (a *api) release(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	var req Selection
	if err := decode(r, &req); err != nil {
		return err
	}
	records, err := a.selected(r, req, ownOnly(peer))
	if err != nil {
		return err
	}
	if req.many() {
		records = only(records, func(rec ca.Record) bool { return ca.CheckRelease(rec.Serial, rec.Revocation) == nil })
	}
	if err := a.admitSeveral(req, records); err != nil {
		return err
	}
	answer := ReleaseReply{Released: []ca.Serial{}, CRLs: map[string]uint64{}}
	for _, record := range records {
		err = a.cfg.Authority.Release(r.Context(), ca.ReleaseRequest{Serial: record.Serial, By: peer.Identity.String(), From: r.RemoteAddr})
		if err != nil {
			break
		}
		answer.Released = append(answer.Released, record.Serial)
		answer.CRLs[record.Issuer] = 0
	}
	if err = errors.Join(err, a.publish(r, answer.CRLs)); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// publish has the CRLs of the issuers made, also when a later step failed: what changed is to be seen.
func (a *api) publish(r *http.Request, crls map[string]uint64) (err error) {
	for issuer := range crls {
		number, publishErr := a.cfg.Status.Publish(r.Context(), issuer)
		crls[issuer] = number
		err = errors.Join(err, publishErr)
	}
	return err
}

// admitSeveral is where a change of several certificates at once is asked about: it must be said that all are meant.
func (a *api) admitSeveral(sel Selection, records []ca.Record) error {
	if len(records) <= 1 || sel.All {
		return nil
	}
	return &problem.Error{
		Status: http.StatusConflict, Name: "several-certificates",
		Detail: fmt.Sprintf("%d certificates of %s would change, want one serial, or all to be meant", len(records), sel.Party+sel.Key),
	}
}

func only(records []ca.Record, keep func(ca.Record) bool) (kept []ca.Record) {
	for _, rec := range records {
		if keep(rec) {
			kept = append(kept, rec)
		}
	}
	return kept
}

// selected finds the certificates that are named and that the caller may change.
func (a *api) selected(r *http.Request, sel Selection, own string) ([]ca.Record, error) {
	named := 0
	for _, name := range []string{sel.Serial, sel.Party, sel.Key} {
		if name != "" {
			named++
		}
	}
	if named != 1 {
		return nil, badParameter("serial, party, key", sel.Serial+", "+sel.Party+", "+sel.Key, "exactly one of the three")
	}
	if sel.Serial != "" {
		serial, err := ca.ParseSerial(sel.Serial)
		if err != nil {
			return nil, badParameter("serial", sel.Serial, "hexadecimal digits")
		}
		record, err := a.cfg.Store.BySerial(r.Context(), serial)
		if err == nil && own != "" && record.Party != own {
			err = ca.ErrNotFound // not 403: who asks learns nothing about others
		}
		return []ca.Record{record}, err
	}
	filter := ca.Filter{Party: own}
	if sel.Party != "" {
		if own != "" && sel.Party != own {
			return nil, ca.ErrNotFound
		}
		if _, err := a.cfg.Store.Party(r.Context(), sel.Party); err != nil {
			return nil, err
		}
		filter.Party = sel.Party
	} else {
		sum, err := hex.DecodeString(sel.Key)
		if err != nil || len(sum) != 32 {
			return nil, badParameter("key", sel.Key, "the SHA-256 of a SubjectPublicKeyInfo, 64 hexadecimal digits")
		}
		filter.SPKI = (*[32]byte)(sum)
	}
	return a.unexpired(r, filter)
}

func (a *api) unexpired(r *http.Request, filter ca.Filter) (records []ca.Record, err error) {
	for record, err := range a.cfg.Store.Certificates(r.Context(), filter) {
		if err != nil {
			return nil, err
		}
		if a.cfg.Now().Before(record.NotAfter) {
			records = append(records, record)
		}
	}
	return records, nil
}

// A ListsReply is every CRL that is served, and where.
type ListsReply struct {
	StatusURL string             `json:"status_url"`
	Lists     []status.ListState `json:"lists"`
}

// listCRLs: GET /v1/crls
func (a *api) listCRLs(w http.ResponseWriter, _ *http.Request) error {
	return problem.WriteJSON(w, http.StatusOK, ListsReply{StatusURL: a.cfg.Authority.StatusURL(), Lists: a.cfg.Status.Lists()})
}
