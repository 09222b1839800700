package api

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// listParties: GET /v1/parties?after=&limit=
func (a *api) listParties(w http.ResponseWriter, r *http.Request) error {
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	page := Page[policy.Party]{Items: []policy.Party{}}
	for party, err := range a.cfg.Store.Parties(r.Context(), r.URL.Query().Get("after")) {
		if err != nil {
			return err
		}
		if len(page.Items) == limit {
			page.Next = page.Items[limit-1].ID
			break
		}
		page.Items = append(page.Items, party)
	}
	return reply(w, http.StatusOK, page)
}

// addParty: POST /v1/parties, a policy.Party; state and created are the CA's to set.
func (a *api) addParty(w http.ResponseWriter, r *http.Request) error {
	var party policy.Party
	if err := decode(r, &party); err != nil {
		return err
	}
	party.State = policy.Active
	party.Created = a.cfg.Now().UTC().Truncate(time.Second)
	if err := party.Check(a.cfg.Network); err != nil {
		return err
	}
	if err := a.checkBank(r, party.Bank); err != nil {
		return err
	}
	event := a.event(r, audit.PartyAdded)
	event.Party, event.Role = party.ID, string(party.Role)
	if err := a.cfg.Store.AddParty(r.Context(), party, event); err != nil {
		return err
	}
	return reply(w, http.StatusCreated, party)
}

// checkBank wants the bank of a consumer to be registered; "" is none.
func (a *api) checkBank(r *http.Request, id string) error {
	if id == "" {
		return nil
	}
	bank, err := a.cfg.Store.Party(r.Context(), id)
	if err != nil && !errors.Is(err, ca.ErrNotFound) {
		return err
	}
	if err != nil || !bank.Role.Banker() {
		return &policy.Violation{Rule: "party-bank", Field: "bank", Got: strconv.Quote(id) + ", which is none", Want: "a registered issuing bank or wallet"}
	}
	return nil
}

// showParty: GET /v1/parties/{id}
func (a *api) showParty(w http.ResponseWriter, r *http.Request) error {
	party, err := a.cfg.Store.Party(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return reply(w, http.StatusOK, party)
}

// A TokenRequest asks for a one-time enrollment token.
type TokenRequest struct {
	Party   string `json:"party"`
	Profile string `json:"profile,omitempty"` // "" for the default of the party's role
	Seconds int    `json:"seconds,omitempty"` // how long it may be used, 0 for one hour
}

// A TokenReply carries the token, which is shown this once.
type TokenReply struct {
	ID       string    `json:"id"`
	Token    string    `json:"token"`
	Party    string    `json:"party"`
	Profile  string    `json:"profile"`
	NotAfter time.Time `json:"not_after"`
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
	id := enroll.NewTokenID()
	now := a.cfg.Now().UTC().Truncate(time.Second)
	stored := ca.Token{ID: id, Party: party.ID, Profile: req.Profile, NotAfter: now.Add(life)}
	event := a.event(r, audit.TokenCreated)
	event.Party, event.Role, event.Profile = party.ID, string(party.Role), req.Profile
	event.Attrs = map[string]string{"token": id}
	stored.By = event.Actor
	if err := a.cfg.Store.AddToken(r.Context(), stored, event); err != nil {
		return err
	}
	root := sha256.Sum256(a.cfg.Root.Raw)
	text, err := enroll.SignToken(enroll.Token{
		ID: id, Party: party.ID, Role: string(party.Role), Profile: req.Profile, Network: a.cfg.Network, URL: a.cfg.URL,
		RootFingerprint: hex.EncodeToString(root[:]), DNSNames: party.DNSNames, IssuedAt: now, NotAfter: stored.NotAfter,
	}, a.cfg.TokenKey)
	if err != nil {
		return err
	}
	return reply(w, http.StatusCreated, TokenReply{ID: id, Token: text, Party: party.ID, Profile: req.Profile, NotAfter: stored.NotAfter})
}
