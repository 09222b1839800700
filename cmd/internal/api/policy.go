package api

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A Profile is a profile in force, with every default filled in.
type Profile struct {
	policy.ProfileConfig
	Use string `json:"use,omitempty"` // also where the configuration does not say it
}

// listProfiles: GET /v1/policy/profiles
func (a *api) listProfiles(w http.ResponseWriter, _ *http.Request) error {
	page := Page[Profile]{Items: []Profile{}}
	for _, p := range a.cfg.Authority.Profiles() {
		page.Items = append(page.Items, Profile{ProfileConfig: p.Config(), Use: p.Use()})
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// An ExplainRequest asks what the CA would answer to a request for a certificate.
type ExplainRequest struct {
	Party     string    `json:"party"`
	Profile   string    `json:"profile,omitempty"`  // "" for the default of the party's role
	CSR       []byte    `json:"csr"`                // PKCS#10, DER
	Protocol  string    `json:"protocol,omitempty"` // as if it came this way: token if it is not given
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
}

// An Explanation is what the CA would answer now. Nothing was reserved, signed or recorded.
type Explanation struct {
	Party       string            `json:"party"`
	Profile     string            `json:"profile"`
	Issuer      string            `json:"issuer,omitempty"` // name of the CA that would sign
	Issued      bool              `json:"issued"`           // it would be, with the approval below if there is one
	Violations  policy.Violations `json:"violations,omitempty"`
	Approval    *Approval         `json:"approval,omitempty"`
	Certificate []byte            `json:"certificate,omitempty"` // what would come out, DER, with another serial; its signature is nobody's
}

// An Approval says who would have to approve first.
type Approval struct {
	K  int      `json:"k"`
	Of int      `json:"of"`
	By []string `json:"by"`
}

// explain: POST /v1/policy/explain
func (a *api) explain(w http.ResponseWriter, r *http.Request) error {
	var req ExplainRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	if req.Protocol == "" {
		req.Protocol = "token"
	}
	if !slices.Contains(policy.Protocols(), req.Protocol) {
		return badParameter("protocol", req.Protocol, "token, renew, issue or local")
	}
	peer, err := caller(r)
	if err != nil {
		return err
	}
	ex, err := a.cfg.Authority.Explain(r.Context(), ca.Request{
		Party: req.Party, Profile: req.Profile, CSR: req.CSR, NotBefore: req.NotBefore, NotAfter: req.NotAfter,
		Requester: peer.Identity.String(), Protocol: req.Protocol, From: r.RemoteAddr,
	})
	if err != nil {
		return err
	}
	answer := Explanation{Party: ex.Party, Profile: ex.Profile, Issuer: ex.Issuer, Issued: ex.Draft != nil, Violations: ex.Violations}
	if ex.Draft != nil {
		answer.Certificate = ex.Draft.Raw
	}
	if ex.Approval != nil {
		answer.Approval = &Approval{K: ex.Approval.K, Of: ex.Approval.Of, By: ex.Approval.By}
	}
	return problem.WriteJSON(w, http.StatusOK, answer)
}

// Profiles lists the profiles in force.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	var out Page[Profile]
	err := c.call(ctx, http.MethodGet, "/v1/policy/profiles", nil, &out)
	return out.Items, err
}

// Explain asks what the CA would answer to a request.
func (c *Client) Explain(ctx context.Context, req ExplainRequest) (Explanation, error) {
	var out Explanation
	err := c.call(ctx, http.MethodPost, "/v1/policy/explain", req, &out)
	return out, err
}
