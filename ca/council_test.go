package ca_test

import (
	"crypto/ecdsa"
	"errors"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// A signer is an approver with key and certificate.
type signer struct {
	id   policy.Identity
	key  *ecdsa.PrivateKey
	cert *ca.Certificate
}

// A council is a world in which gateways need two of three operators, and consumers their bank.
type council struct {
	*world
	signers map[string]signer
}

func newCouncil(t *testing.T) *council {
	t.Helper()
	w := newWorld(t)
	w.cfg.Profiles = nil
	for _, cfg := range policy.DefaultProfiles() {
		switch cfg.Name {
		case "gateway":
			cfg.Approval = &policy.ApprovalConfig{K: 2, Of: 3, By: policy.ByOperators}
		case "consumer":
			cfg.Approval = &policy.ApprovalConfig{K: 1, Of: 1, By: policy.ByBank}
		}
		p, err := policy.NewProfile(cfg)
		if err != nil {
			t.Fatal(err)
		}
		w.cfg.Profiles = append(w.cfg.Profiles, p)
	}
	w.cfg.Approvals = policy.Approvals{Approvers: []string{"op1", "op2", "op3"}}
	w.open()
	c := &council{world: w, signers: map[string]signer{}}
	for _, id := range []string{"op1", "op2", "op3", "op4"} {
		c.join(id, policy.Operator)
	}
	c.join("bank1", policy.IssuingBank)
	c.join("bank2", policy.IssuingBank)
	w.addParty(policy.Party{ID: "c1", Role: policy.Consumer, Name: "Consumer", Bank: "bank1", State: policy.Active})
	w.addParty(policy.Party{ID: "gw1", Role: policy.Gateway, Name: "Gate", State: policy.Active, DNSNames: []string{"gw1.example.test"}})
	return c
}

// join registers a party and issues it a certificate.
func (c *council) join(id string, role policy.Role) {
	c.t.Helper()
	c.addParty(policy.Party{ID: id, Role: role, Name: id, State: policy.Active})
	key := newKey(c.t)
	c.signers[id] = signer{policy.Identity{Network: network, Role: role, Party: id}, key, c.issue(id, key)}
}

func (c *council) token(id, party, by string) {
	c.addToken(ca.Token{ID: id, Party: party, NotAfter: start.Add(time.Hour), By: "spiffe://operator.pay.example/" + by})
}

// ask asks for a certificate and returns the request that waits.
func (c *council) ask(req ca.Request) ca.ApprovalRequest {
	c.t.Helper()
	_, err := c.ca.Issue(c.t.Context(), req)
	pending, ok := errors.AsType[*ca.PendingError](err)
	if !ok {
		c.t.Fatalf("got %v, want *ca.PendingError", err)
	}
	return pending.Request
}

func (c *council) gateway(t *testing.T) (ca.ApprovalRequest, ca.Request) {
	t.Helper()
	c.token("t1", "gw1", "op3")
	req := request(t, "gw1", newKey(t))
	req.Token, req.Requester = "t1", "token:t1"
	return c.ask(req), req
}

func (c *council) statement(by string, r ca.ApprovalRequest, change func(*policy.VoteStatement)) string {
	c.t.Helper()
	s := c.signers[by]
	statement := policy.VoteStatement{Network: network, Digest: r.ID, Approve: true, Approver: s.id.String(), At: c.now().UTC()}
	if change != nil {
		change(&statement)
	}
	object, err := policy.SignVote(statement, s.cert.Leaf, s.key)
	if err != nil {
		c.t.Fatal(err)
	}
	return object
}

func (c *council) vote(by string, r ca.ApprovalRequest, change func(*policy.VoteStatement)) error {
	c.t.Helper()
	_, _, err := c.ca.Vote(c.t.Context(), ca.VoteRequest{ID: r.ID, Object: c.statement(by, r, change), From: "192.0.2.9:1"})
	return err
}

func (c *council) mustVote(r ca.ApprovalRequest, by ...string) {
	c.t.Helper()
	for _, id := range by {
		if err := c.vote(id, r, nil); err != nil {
			c.t.Fatalf("vote of %s: %v", id, err)
		}
	}
}

// wantWaiting says that the request gets no certificate, for want of so many approvals.
func (c *council) wantWaiting(r ca.ApprovalRequest, missing int) {
	c.t.Helper()
	_, err := c.ca.Fulfil(c.t.Context(), r.ID, "")
	pending, ok := errors.AsType[*ca.PendingError](err)
	if !ok || pending.Tally.Missing != missing {
		c.t.Errorf("got %v, want *ca.PendingError with %d missing", err, missing)
	}
	if n := len(c.certificatesOf("gw1")) + len(c.certificatesOf("c1")); n != 0 {
		c.t.Errorf("got %d certificates, want none", n)
	}
}

func (c *council) certificatesOf(party string) (found []ca.Record) {
	c.t.Helper()
	for rec, err := range c.store.Certificates(c.t.Context(), ca.Filter{Party: party}) {
		if err != nil {
			c.t.Fatal(err)
		}
		found = append(found, rec)
	}
	return found
}

func (c *council) setParty(id string, change func(*policy.Party)) {
	c.t.Helper()
	p, err := c.store.Party(c.t.Context(), id)
	if err != nil {
		c.t.Fatal(err)
	}
	change(&p)
	if err := c.store.UpdateParty(c.t.Context(), p, audit.Event{Kind: audit.PartyChanged, Party: id}); err != nil {
		c.t.Fatal(err)
	}
}
