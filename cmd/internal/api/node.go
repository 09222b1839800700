package api

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// maxNodeWait is how long a page of issued certificates waits for one; under what servers give a request to be read.
const maxNodeWait = 10 * time.Second

// A NodeReply is what a status node serves.
type NodeReply struct {
	Network string             `json:"network"`
	Issuers []NodeIssuer       `json:"issuers"` // the issuing CAs
	Lists   []status.ListState `json:"lists"`   // the CRLs, that of the root first
}

// A NodeIssuer is an issuing CA that a status node answers for.
type NodeIssuer struct {
	Name        string `json:"name"`
	Certificate []byte `json:"certificate"` // DER
}

// A DelegateRequest asks for the certificate of an OCSP delegate.
type DelegateRequest struct {
	Issuer string `json:"issuer"` // name of the issuing CA that it answers for
	CSR    []byte `json:"csr"`    // PKCS#10, DER, with the delegate's key
}

// A DelegateReply has it.
type DelegateReply struct {
	Certificate []byte `json:"certificate"` // DER
}

// node returns the caller, who must be a status node that is active.
func (a *api) node(r *http.Request) (policy.Identity, error) {
	peer, err := caller(r)
	if err != nil {
		return policy.Identity{}, err
	}
	party, err := a.cfg.Store.Party(r.Context(), peer.Identity.Party)
	if err != nil {
		return policy.Identity{}, err
	}
	if !party.StatusNode {
		violation := &policy.Violation{Rule: "party-status-node", Field: "party " + party.ID, Got: "no status node", Want: "a service that was registered as one"}
		return policy.Identity{}, a.refuse(r, violation)
	}
	return peer.Identity, nil
}

// showNode: GET /v1/node
func (a *api) showNode(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.node(r); err != nil {
		return err
	}
	answer := NodeReply{Network: a.cfg.Network, Lists: a.cfg.Status.Lists()}
	for _, is := range a.cfg.Status.Issuers() {
		answer.Issuers = append(answer.Issuers, NodeIssuer{Name: is.Name, Certificate: is.Certificate.Raw})
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// nodeIssued: GET /v1/node/issued?from=POSITION&wait=SECONDS, a signed feed.Page.
func (a *api) nodeIssued(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.node(r); err != nil {
		return err
	}
	query := r.URL.Query()
	from, err := strconv.ParseUint(query.Get("from"), 10, 62)
	if err != nil {
		return badParameter("from", query.Get("from"), "a position of the log")
	}
	wait := uint64(0)
	if given := query.Get("wait"); given != "" {
		if wait, err = strconv.ParseUint(given, 10, 16); err != nil {
			return badParameter("wait", given, "seconds")
		}
	}
	page, err := a.cfg.Status.Issued(r.Context(), from, min(maxNodeWait, time.Duration(wait)*time.Second))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Cache-Control", "no-store")
	_, err = w.Write(page)
	return err
}

// nodeFile: GET /v1/node/files/PATH, what the status service has at PATH: a CRL or the certificate of a CA.
func (a *api) nodeFile(w http.ResponseWriter, r *http.Request) error {
	if _, err := a.node(r); err != nil {
		return err
	}
	path := "/" + r.PathValue("path")
	if !strings.HasPrefix(path, "/crl/") && !strings.HasPrefix(path, "/ca/") {
		return &problem.Error{Status: http.StatusNotFound, Name: "not-found", Detail: "no file of a status node is at " + path}
	}
	inner := r.Clone(r.Context())
	inner.URL.Path, inner.URL.RawPath = path, ""
	a.cfg.Status.ServeHTTP(w, inner)
	return nil
}

// nodeDelegate: POST /v1/node/delegates
func (a *api) nodeDelegate(w http.ResponseWriter, r *http.Request) error {
	id, err := a.node(r)
	if err != nil {
		return err
	}
	var req DelegateRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	issued, err := a.cfg.Authority.IssueDelegate(r.Context(), ca.DelegateRequest{
		Issuer: req.Issuer, Node: id.Party, CSR: req.CSR, Requester: id.String(), From: r.RemoteAddr,
	})
	if err != nil {
		return fmt.Errorf("OCSP delegate of %s: %w", id.Party, err)
	}
	return problem.WriteJSON(w, http.StatusCreated, DelegateReply{Certificate: issued.Leaf.Raw})
}
