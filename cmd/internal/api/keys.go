package api

import (
	"net/http"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/enroll/problem"
)

// A KeyRequest blocks a key, or takes that back.
type KeyRequest struct {
	Key    ca.KeyHash `json:"key"`    // SHA-256 of the SubjectPublicKeyInfo
	Reason string     `json:"reason"` // why, for people
}

// listKeys: GET /v1/keys?after=&limit=, the keys that operators have blocked.
func (a *api) listKeys(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	var after ca.KeyHash
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = ca.ParseKeyHash(text); err != nil {
			return badParameter("after", text, "the cursor of a page")
		}
	}
	page := Page[ca.BlockedKey]{Items: []ca.BlockedKey{}}
	for b, err := range a.cfg.Store.BlockedKeys(r.Context(), after) {
		if err != nil {
			return err
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].Key.String()
			break
		}
		page.Items = append(page.Items, b)
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// blockKey: POST /v1/keys, a [KeyRequest]. When it answers, nobody is issued a certificate for the key any more.
func (a *api) blockKey(w http.ResponseWriter, r *http.Request) error {
	block, err := a.keyBlock(r)
	if err != nil {
		return err
	}
	blocked, err := a.cfg.Authority.BlockKey(r.Context(), block)
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusCreated, blocked)
}

// unblockKey: POST /v1/keys/unblock, a [KeyRequest]. It answers with the request.
func (a *api) unblockKey(w http.ResponseWriter, r *http.Request) error {
	block, err := a.keyBlock(r)
	if err != nil {
		return err
	}
	if err := a.cfg.Authority.UnblockKey(r.Context(), block); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusOK, KeyRequest{Key: block.Key, Reason: block.Reason})
}

func (a *api) keyBlock(r *http.Request) (ca.KeyBlock, error) {
	peer, err := caller(r)
	if err != nil {
		return ca.KeyBlock{}, err
	}
	var req KeyRequest
	if err := decode(r, &req); err != nil {
		return ca.KeyBlock{}, err
	}
	if req.Key == (ca.KeyHash{}) {
		return ca.KeyBlock{}, badParameter("key", "", "the SHA-256 of a SubjectPublicKeyInfo")
	}
	return ca.KeyBlock{Key: req.Key, Reason: req.Reason, By: peer.Identity.String(), From: r.RemoteAddr}, nil
}

// A RecheckHealth is how the re-checks of the inventory are.
type RecheckHealth struct {
	ca.Recheck
	Running bool      `json:"running"`
	Due     time.Time `json:"due"`             // when the next one begins
	Error   string    `json:"error,omitempty"` // with which the last one ended
}

// recheck: POST /v1/rechecks has the inventory looked at now; GET /v1/health tells how it goes.
func (a *api) recheck(w http.ResponseWriter, r *http.Request) error {
	peer, err := caller(r)
	if err != nil {
		return err
	}
	a.cfg.Recheck(peer.Identity.String())
	health, _, err := a.cfg.RecheckHealth(r.Context())
	if err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusAccepted, health)
}

// listFindings: GET /v1/findings?after=&limit=, what the re-checks have against certificates.
func (a *api) listFindings(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	var after ca.Serial
	if text := r.URL.Query().Get("after"); text != "" {
		if after, err = ca.ParseSerial(text); err != nil {
			return badParameter("after", text, "the cursor of a page")
		}
	}
	page := Page[ca.Finding]{Items: []ca.Finding{}}
	for f, err := range a.cfg.Store.Findings(r.Context(), after) {
		if err != nil {
			return err
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].Serial.String()
			break
		}
		page.Items = append(page.Items, f)
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}
