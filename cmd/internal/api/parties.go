package api

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/enroll/problem"
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
	return problem.WriteJSON(w, http.StatusOK, page)
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
	return problem.WriteJSON(w, http.StatusCreated, party)
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
	return problem.WriteJSON(w, http.StatusOK, party)
}
