package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/status"
	"github.com/payca/payca/cmd/internal/notice"
	"github.com/payca/payca/cmd/internal/sink"
	"github.com/payca/payca/enroll/problem"
)

// maxHashes bounds how many stored hashes one request may ask for.
const maxHashes = 1024

// A Head is the newest signed head of the audit log.
type Head struct {
	Note string `json:"note"` // C2SP checkpoint, "" for an empty log
	Key  string `json:"key"`  // verifier key it is signed with
}

// logHead: GET /v1/audit/head
func (a *api) logHead(w http.ResponseWriter, r *http.Request) error {
	head, err := a.cfg.Store.Log().Head(r.Context())
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, Head{Note: string(head), Key: a.cfg.LogKey})
}

// logLeaves: GET /v1/audit/leaves?from=&limit=, the leaves as base64 strings.
func (a *api) logLeaves(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	var from uint64
	if text := r.URL.Query().Get("from"); text != "" {
		if from, err = strconv.ParseUint(text, 10, 62); err != nil {
			return badParameter("from", text, "the index of a leaf")
		}
	}
	leaves, err := a.cfg.Store.Log().Leaves(r.Context(), from, limit)
	if err != nil {
		return err
	}
	page := Page[[]byte]{Items: leaves}
	if len(leaves) == limit {
		page.Next = strconv.FormatUint(from+uint64(limit), 10)
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// logHashes: GET /v1/audit/hashes?index=1,2,3
func (a *api) logHashes(w http.ResponseWriter, r *http.Request) error {
	var indexes []int64
	for text := range strings.SplitSeq(r.URL.Query().Get("index"), ",") {
		index, err := strconv.ParseInt(text, 10, 64)
		if err != nil || index < 0 || len(indexes) == maxHashes {
			return badParameter("index", text, "at most 1024 storage indexes, separated by commas")
		}
		indexes = append(indexes, index)
	}
	hashes, err := a.cfg.Store.Log().Hashes(r.Context(), indexes)
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, Page[[]byte]{Items: bytesOf(hashes)})
}

// logProof: GET /v1/audit/proof/{index}
func (a *api) logProof(w http.ResponseWriter, r *http.Request) error {
	index, err := strconv.ParseUint(r.PathValue("index"), 10, 62)
	if err != nil {
		return badParameter("index", r.PathValue("index"), "the index of a leaf")
	}
	proof, err := audit.Prove(r.Context(), a.cfg.Store.Log(), index)
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, proof)
}

// logConsistency: GET /v1/audit/consistency?old=
func (a *api) logConsistency(w http.ResponseWriter, r *http.Request) error {
	text := r.URL.Query().Get("old")
	old, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return badParameter("old", text, "the number of entries of an older head")
	}
	proof, err := audit.ProveConsistency(r.Context(), a.cfg.Store.Log(), old)
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, proof)
}

func bytesOf[H ~[32]byte](hashes []H) [][]byte {
	out := make([][]byte, len(hashes))
	for i := range hashes {
		out[i] = append([]byte(nil), hashes[i][:]...)
	}
	return out
}

// A Health is what `payca status` shows of a CA.
type Health struct {
	Network string         `json:"network"`
	Time    time.Time      `json:"time"`
	Issuers []IssuerHealth `json:"issuers"`
	Alarms  []status.Alarm `json:"alarms,omitempty"`  // what somebody has to see to
	Recheck RecheckHealth  `json:"recheck"`           // of the inventory
	Sinks   []sink.Health  `json:"sinks,omitempty"`   // of the audit log
	Notices *notice.Health `json:"notices,omitempty"` // about certificates that end soon
}

// An IssuerHealth is the state of one issuing CA and its status service.
type IssuerHealth struct {
	Name       string    `json:"name"`
	NotAfter   time.Time `json:"not_after"`
	OCSPSigner time.Time `json:"ocsp_signer_not_after"`
	CRLNumber  uint64    `json:"crl_number"`
	CRLUpdated time.Time `json:"crl_updated"` // of the full list
	CRLShards  int       `json:"crl_shards"`
	Revoked    int       `json:"revoked"` // entries of the full list
}

// health: GET /v1/health
func (a *api) health(w http.ResponseWriter, r *http.Request) error {
	health := Health{Network: a.cfg.Network, Time: a.cfg.Now().UTC(), Alarms: a.cfg.Status.Alarms()}
	for _, is := range a.cfg.Status.Issuers() {
		health.Issuers = append(health.Issuers, IssuerHealth{
			Name: is.Name, NotAfter: is.Certificate.NotAfter, OCSPSigner: is.OCSPSigner.NotAfter,
			CRLNumber: is.CRLNumber, CRLUpdated: is.CRLUpdated, CRLShards: is.Shards, Revoked: is.Revoked,
		})
	}
	recheck, alarms, err := a.cfg.RecheckHealth(r.Context())
	if err != nil {
		return err
	}
	health.Recheck, health.Alarms = recheck, append(health.Alarms, alarms...)
	if a.cfg.Sinks != nil {
		health.Sinks = a.cfg.Sinks()
	}
	if a.cfg.Notices != nil {
		if health.Notices, err = a.cfg.Notices(r.Context()); err != nil {
			return err
		}
	}
	return problem.WriteJSON(w, http.StatusOK, health)
}
