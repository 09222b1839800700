package api

import (
	"net/http"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

type handler = func(http.ResponseWriter, *http.Request) error

// A route is one endpoint. Who may call it stands in the configuration.
type route struct {
	pattern string
	handle  func(*api, http.ResponseWriter, *http.Request) error
}

// routes are all endpoints of the API.
func routes() []route {
	return []route{
		{"GET /v1/parties", (*api).listParties},
		{"POST /v1/parties", (*api).addParty},
		{"GET /v1/parties/{id}", (*api).showParty},
		{"POST /v1/parties/{id}/state", (*api).setState},
		{"GET /v1/tokens", (*api).listTokens},
		{"POST /v1/tokens", (*api).createToken},
		{"POST /v1/tokens/{id}/cancel", (*api).cancelToken},
		{"GET /v1/certificates", (*api).listCertificates},
		{"GET /v1/certificates/{serial}", (*api).showCertificate},
		{"POST /v1/revocations", (*api).revoke},
		{"POST /v1/releases", (*api).release},
		{"GET /v1/node", (*api).showNode},
		{"GET /v1/node/issued", (*api).nodeIssued},
		{"GET /v1/node/files/{path...}", (*api).nodeFile},
		{"POST /v1/node/delegates", (*api).nodeDelegate},
		{"GET /v1/crls", (*api).listCRLs},
		{"GET /v1/keys", (*api).listKeys},
		{"POST /v1/keys", (*api).blockKey},
		{"POST /v1/keys/unblock", (*api).unblockKey},
		{"POST /v1/rechecks", (*api).recheck},
		{"GET /v1/findings", (*api).listFindings},
		{"GET /v1/requests", (*api).listRequests},
		{"POST /v1/requests", (*api).propose},
		{"GET /v1/requests/{id}", (*api).showRequest},
		{"POST /v1/requests/{id}/votes", (*api).vote},
		{"GET /v1/audit/head", (*api).logHead},
		{"GET /v1/audit/leaves", (*api).logLeaves},
		{"GET /v1/audit/hashes", (*api).logHashes},
		{"GET /v1/audit/proof/{index}", (*api).logProof},
		{"GET /v1/audit/consistency", (*api).logConsistency},
		{"GET /v1/policy/profiles", (*api).listProfiles},
		{"POST /v1/policy/explain", (*api).explain},
		{"GET /v1/crypto", (*api).cryptoInventory},
		{"GET /v1/backup", (*api).backup},
		{"GET /v1/health", (*api).health},
	}
}

// Endpoints lists the endpoints of the API, all for callers with a certificate.
func Endpoints() []policy.Endpoint {
	var all []policy.Endpoint
	for _, rt := range routes() {
		all = append(all, policy.Endpoint{Pattern: rt.pattern})
	}
	return all
}

// admit lets those call a route who may, and records who may not.
func (a *api) admit(rt route) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		peer, err := caller(r)
		if err != nil {
			return err
		}
		if err := a.cfg.Endpoints.Authorize(rt.pattern, peer.Identity); err != nil {
			return a.refuse(r, err)
		}
		return rt.handle(a, w, r)
	}
}

// refuse records that a caller may not do something.
func (a *api) refuse(r *http.Request, err error) error {
	event := a.event(r, audit.OperatorRefused)
	event.Reason = r.Method + " " + r.URL.Path + ": " + err.Error()
	if logErr := a.cfg.Store.Append(r.Context(), event); logErr != nil {
		return logErr
	}
	return &problem.Error{Status: http.StatusForbidden, Name: "wrong-role", Detail: err.Error()}
}
