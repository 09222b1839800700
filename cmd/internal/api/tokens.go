package api

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

// A TokenRequest asks for a one-time enrollment token.
type TokenRequest struct {
	Party   string `json:"party"`
	Profile string `json:"profile,omitempty"` // "" for the default of the party's role
	Seconds int    `json:"seconds,omitempty"` // how long it may be used, 0 for one hour
	CSR     []byte `json:"csr,omitempty"`     // the only request (PKCS#10, DER) it may be used with
	Key     []byte `json:"key,omitempty"`     // the only public key (SubjectPublicKeyInfo, DER) it is for
}

// A TokenReply carries the token, which is shown this once.
type TokenReply struct {
	ID       string    `json:"id"`
	Token    string    `json:"token"`
	Party    string    `json:"party"`
	Profile  string    `json:"profile"`
	Request  string    `json:"request,omitempty"` // as in ca.Token
	Key      string    `json:"key,omitempty"`     // as in ca.Token
	NotAfter time.Time `json:"not_after"`
}

// A TokenView is a token as the store has it, which is not the token itself, and what became of it.
type TokenView struct {
	ca.Token
	State string `json:"state"` // ca.TokenOpen and so on
}

func viewToken(t ca.Token, now time.Time) TokenView {
	t.Digest = "" // nobody needs it
	return TokenView{t, t.State(now)}
}

// maxTokenLife bounds how long a token may wait to be used.
const maxTokenLife = 7 * 24 * time.Hour

// createToken: POST /v1/tokens
func (a *api) createToken(w http.ResponseWriter, r *http.Request) error {
	var req TokenRequest
	if err := decode(r, &req); err != nil {
		return err
	}
	party, err := a.cfg.Store.Party(r.Context(), req.Party)
	if err != nil {
		return err
	}
	life := time.Duration(req.Seconds) * time.Second
	if life == 0 {
		life = time.Hour
	}
	if life < 0 || life > maxTokenLife {
		return badParameter("seconds", life.String(), "1 s to "+maxTokenLife.String())
	}
	if req.Profile == "" {
		req.Profile = policy.DefaultProfile(party.Role)
	}
	if err := a.cfg.Authority.CheckProfile(party, req.Profile); err != nil {
		return err
	}
	root := sha256.Sum256(a.cfg.Root.Raw)
	now := a.cfg.Now().UTC().Truncate(time.Second)
	token := enroll.Token{
		ID: enroll.NewTokenID(), Party: party.ID, Role: string(party.Role), Profile: req.Profile, Network: a.cfg.Network, URL: a.cfg.URL,
		RootFingerprint: hex.EncodeToString(root[:]), DNSNames: party.DNSNames, IssuedAt: now, NotAfter: now.Add(life),
	}
	event := a.event(r, audit.TokenCreated)
	event.Party, event.Role, event.Profile = party.ID, string(party.Role), req.Profile
	event.Attrs = map[string]string{"token": token.ID}
	stored := ca.Token{ID: token.ID, Party: party.ID, Profile: req.Profile, Created: now, NotAfter: token.NotAfter, By: event.Actor}
	if err := req.bind(&token, &stored, event.Attrs); err != nil {
		return err
	}
	text, err := enroll.SignToken(token, a.cfg.TokenKey)
	if err != nil {
		return err
	}
	digest := sha256.Sum256([]byte(text))
	stored.Digest = hex.EncodeToString(digest[:])
	if err := a.cfg.Store.AddToken(r.Context(), stored, event); err != nil {
		return err
	}
	return problem.WriteJSON(w, http.StatusCreated, TokenReply{
		ID: token.ID, Token: text, Party: party.ID, Profile: req.Profile, Request: stored.Request, Key: stored.Key, NotAfter: stored.NotAfter,
	})
}

// bind binds a token to the request or the key that was named.
func (req *TokenRequest) bind(token *enroll.Token, stored *ca.Token, attrs map[string]string) error {
	if len(req.CSR) > 0 && len(req.Key) > 0 {
		return badParameter("key", "a key beside a request", "one of them")
	}
	if len(req.CSR) > 0 {
		csr, err := policy.ParseCSR(req.CSR)
		if csr == nil {
			return errors.Join(err, badParameter("csr", "what is no request", "one in PKCS#10, DER"))
		}
		if err != nil {
			return err
		}
		sum := sha256.Sum256(req.CSR)
		stored.Request, token.RequestHash = hex.EncodeToString(sum[:]), enroll.RequestHash(req.CSR)
		attrs["request"] = stored.Request
	}
	if len(req.Key) > 0 {
		public, err := x509.ParsePKIXPublicKey(req.Key)
		if err != nil {
			return badParameter("key", "what is no public key", "a SubjectPublicKeyInfo, DER")
		}
		if token.KeyHash, err = enroll.KeyHash(public); err != nil {
			return badParameter("key", policy.DescribeKey(public), "ECDSA, RSA or Ed25519")
		}
		sum := sha256.Sum256(req.Key)
		stored.Key = hex.EncodeToString(sum[:])
		attrs["key"] = stored.Key
	}
	return nil
}

// listTokens: GET /v1/tokens?party=&state=&after=&limit=, a page of TokenView
func (a *api) listTokens(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	query := r.URL.Query()
	party, state, now := query.Get("party"), query.Get("state"), a.cfg.Now()
	states := []string{ca.TokenOpen, ca.TokenUsed, ca.TokenCancelled, ca.TokenExpired}
	if state != "" && !slices.Contains(states, state) {
		return badParameter("state", state, "open, used, cancelled or expired")
	}
	page, seen, last := Page[TokenView]{Items: []TokenView{}}, 0, query.Get("after")
	for token, err := range a.cfg.Store.Tokens(r.Context(), last) {
		if err != nil {
			return err
		}
		if seen++; len(page.Items) == limit || seen > maxList {
			page.Next = last
			break
		}
		last = token.ID
		view := viewToken(token, now)
		if (party == "" || token.Party == party) && (state == "" || view.State == state) {
			page.Items = append(page.Items, view)
		}
	}
	return problem.WriteJSON(w, http.StatusOK, page)
}

// cancelToken: POST /v1/tokens/{id}/cancel, a TokenView. One that was cancelled before stays as it is.
func (a *api) cancelToken(w http.ResponseWriter, r *http.Request) error {
	token, err := a.cfg.Store.Token(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	event := a.event(r, audit.TokenCancelled)
	event.Party, event.Profile, event.Attrs = token.Party, token.Profile, map[string]string{"token": token.ID}
	c := ca.TokenCancellation{By: event.Actor, At: event.Time.Truncate(time.Second)}
	err = a.cfg.Store.CancelToken(r.Context(), token.ID, c, event)
	if cancelled, ok := errors.AsType[*ca.TokenCancelledError](err); ok {
		c, err = cancelled.By, nil
	}
	if err != nil {
		return err
	}
	token.Cancelled = &c
	return problem.WriteJSON(w, http.StatusOK, viewToken(token, a.cfg.Now()))
}
