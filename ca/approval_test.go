package ca_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestAGatewayIsEnrolledByTwoOfThreeOperators(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	r, req := c.gateway(t)
	if token := c.store.tokens["t1"]; token.Used == nil || token.Used.Request != r.ID {
		t.Errorf("got token %+v, want it used up by the request", token)
	}
	c.wantWaiting(r, 2)
	c.mustVote(r, "op1", "op1")
	c.wantWaiting(r, 1)
	c.advance(2 * time.Hour) // the token is over, the request is not
	if again := c.ask(req); again.ID != r.ID {
		t.Errorf("got request %s for the same, want %s", again.ID, r.ID)
	}
	c.mustVote(r, "op2")
	cert, err := c.ca.Fulfil(t.Context(), r.ID, "192.0.2.9:2")
	if err != nil {
		t.Fatal(err)
	}
	if got := cert.Leaf.DNSNames; !slices.Equal(got, []string{"gw1.example.test"}) {
		t.Errorf("got names %v", got)
	}
	for _, again := range []func() (*ca.Certificate, error){
		func() (*ca.Certificate, error) { return c.ca.Fulfil(t.Context(), r.ID, "") },
		func() (*ca.Certificate, error) { return c.ca.Issue(t.Context(), req) },
	} {
		if same, err := again(); err != nil || !bytes.Equal(same.Leaf.Raw, cert.Leaf.Raw) || len(same.Chain) != 2 {
			t.Errorf("got %v, %v, want the certificate that was issued", same, err)
		}
	}
	kinds := []audit.Kind{audit.RequestFiled, audit.RequestApproved, audit.RequestApproved, audit.CertificateIssued}
	var got []audit.Kind
	for _, kind := range []audit.Kind{audit.RequestFiled, audit.RequestApproved, audit.RequestRefused, audit.CertificateIssued} {
		for _, e := range c.events(kind) {
			if e.Attrs["request"] == r.ID {
				got = append(got, kind)
			}
		}
	}
	if !slices.Equal(got, kinds) {
		t.Errorf("got events %v, want %v", got, kinds)
	}
}

func TestAnApprovedRequestGivesAHundredOneCertificate(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	r, _ := c.gateway(t)
	c.mustVote(r, "op1", "op2")
	var wg sync.WaitGroup
	var mu sync.Mutex
	seen := map[[32]byte]bool{}
	for range 100 {
		wg.Go(func() {
			cert, err := c.ca.Fulfil(t.Context(), r.ID, "")
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Errorf("got %v, want the one certificate", err)
				return
			}
			seen[sha256.Sum256(cert.Leaf.Raw)] = true
		})
	}
	wg.Wait()
	if n := len(c.certificatesOf("gw1")); n != 1 || len(seen) != 1 {
		t.Errorf("got %d certificates in the inventory and %d handed out, want 1 and 1", n, len(seen))
	}
}

// TestCase63 is CASES 63 where votes are cast: each is refused, recorded, and counts for nothing.
func TestCase63AVoteThatDoesNotCountIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, by, rule string
		change         func(*policy.VoteStatement)
		before         func(*testing.T, *council)
	}{
		{"by the operator who made the token", "op3", "vote-requester", nil, nil},
		{"by an operator who is not listed", "op4", "vote-approver", nil, nil},
		{"by a bank", "bank1", "vote-approver", nil, nil},
		{"on another request", "op1", "vote-digest", func(s *policy.VoteStatement) { s.Digest = ca.RequestID([]byte("another")) }, nil},
		{"for another network", "op1", "vote-network", func(s *policy.VoteStatement) { s.Network = "other.example" }, nil},
		{"in the name of another operator", "op1", "vote-approver", func(s *policy.VoteStatement) { s.Approver = "spiffe://operator.pay.example/op2" }, nil},
		{"signed before the request was filed", "op1", "vote-time", func(s *policy.VoteStatement) { s.At = s.At.Add(-time.Hour) }, nil},
		{"signed in the future", "op1", "vote-time", func(s *policy.VoteStatement) { s.At = s.At.Add(time.Hour) }, nil},
		{"by an operator who is suspended", "op1", "vote-approver", nil, func(_ *testing.T, c *council) {
			c.setParty("op1", func(p *policy.Party) { p.State = policy.Suspended })
		}},
		{"with a certificate that is revoked", "op1", "vote-certificate", nil, func(t *testing.T, c *council) {
			revoke(t, c.world, c.signers["op1"].cert.Record.Serial, ca.KeyCompromise)
		}},
		{"with a certificate that has expired", "op1", "vote-certificate", nil, func(_ *testing.T, c *council) { c.advance(31 * 24 * time.Hour) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCouncil(t)
			c.cfg.Approvals.Expire = policy.Duration(60 * 24 * time.Hour)
			c.open()
			r, _ := c.gateway(t)
			if tt.before != nil {
				tt.before(t, c)
			}
			wantRule(t, c.vote(tt.by, r, tt.change), tt.rule)
			c.wantWaiting(r, 2)
			if got := c.events(audit.RequestRefused); len(got) != 1 || got[0].Attrs["request"] != r.ID || got[0].Violations[0].Rule != tt.rule {
				t.Errorf("got refusals %+v in the log, want one of the request", got)
			}
		})
	}
}

func revoke(t *testing.T, w *world, serial ca.Serial, reason ca.Reason) {
	t.Helper()
	if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: serial, Reason: reason, By: "local"}); err != nil {
		t.Fatal(err)
	}
}

// TestCase63AnApprovalThatIsNotWhatItWasCountsNoMore is CASES 63 between approval and issuance.
func TestCase63AnApprovalThatIsNotWhatItWasCountsNoMore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		change  func(*testing.T, *council, string)
		missing int    // approvals, if it waits
		state   string // else what the request is
	}{
		{"an approver is suspended", func(_ *testing.T, c *council, _ string) {
			c.setParty("op1", func(p *policy.Party) { p.State = policy.Suspended })
		}, 1, ""},
		{"an approver is closed", func(_ *testing.T, c *council, _ string) {
			c.setParty("op2", func(p *policy.Party) { p.State = policy.Closed })
		}, 1, ""},
		{"an approver is taken from the list", func(_ *testing.T, c *council, _ string) {
			c.cfg.Approvals.Approvers = []string{"op2", "op3", "op4"}
			c.open()
		}, 1, ""},
		{"an approver's certificate is revoked", func(t *testing.T, c *council, _ string) {
			revoke(t, c.world, c.signers["op2"].cert.Record.Serial, ca.KeyCompromise)
		}, 1, ""},
		{"the body is another in the store", func(_ *testing.T, c *council, id string) {
			c.tamper(id, func(r *ca.ApprovalRequest) { r.Body = bytes.Replace(r.Body, []byte(`"Gate"`), []byte(`"Gaté"`), 1) })
		}, 0, ca.RequestInvalid},
		{"a vote is forged in the store", func(_ *testing.T, c *council, id string) {
			c.tamper(id, func(r *ca.ApprovalRequest) { r.Votes[0].Approver = "op3"; r.Requesters = nil })
		}, 1, ""},
		{"a vote is there twice in the store", func(_ *testing.T, c *council, id string) {
			c.tamper(id, func(r *ca.ApprovalRequest) { r.Votes[1] = r.Votes[0] })
		}, 1, ""},
		{"a signature is changed in the store", func(_ *testing.T, c *council, id string) {
			c.tamper(id, func(r *ca.ApprovalRequest) {
				object := []byte(r.Votes[0].Object)
				object[len(object)-20] ^= 1
				r.Votes[0].Object = string(object)
			})
		}, 1, ""},
		{"the party gets another name", func(_ *testing.T, c *council, _ string) {
			c.setParty("gw1", func(p *policy.Party) { p.DNSNames = append(p.DNSNames, "more.example.test") })
		}, 0, ca.RequestInvalid},
		{"the party is another legal person", func(_ *testing.T, c *council, _ string) {
			c.setParty("gw1", func(p *policy.Party) { p.Name = "Thief" })
		}, 0, ca.RequestInvalid},
		{"the profile is another", func(t *testing.T, c *council, _ string) {
			for i, p := range c.cfg.Profiles {
				if cfg := p.Config(); cfg.Name == "gateway" {
					cfg.Approval.K, cfg.Validity = 1, policy.Duration(90*24*time.Hour)
					next, err := policy.NewProfile(cfg)
					if err != nil {
						t.Fatal(err)
					}
					c.cfg.Profiles[i] = next
				}
			}
			c.open()
		}, 0, ca.RequestInvalid},
		{"it waited too long", func(_ *testing.T, c *council, _ string) { c.advance(7 * 24 * time.Hour) }, 0, ca.RequestExpired},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := newCouncil(t)
			r, _ := c.gateway(t)
			c.mustVote(r, "op1", "op2")
			tt.change(t, c, r.ID)
			if tt.state == "" {
				c.wantWaiting(r, tt.missing)
				return
			}
			_, _ = c.ca.Fulfil(t.Context(), r.ID, "")
			_, err := c.ca.Fulfil(t.Context(), r.ID, "")
			if settled, ok := errors.AsType[*ca.RequestSettledError](err); !ok || settled.State != tt.state {
				t.Errorf("got %v, want a request that is %s", err, tt.state)
			}
			if n := len(c.certificatesOf("gw1")); n != 0 {
				t.Errorf("got %d certificates, want none", n)
			}
			if err := c.ca.ExpireRequests(t.Context()); err != nil {
				t.Fatal(err)
			}
			if view, err := c.ca.ViewRequest(t.Context(), r.ID); err != nil || view.State != tt.state || view.Settled.IsZero() {
				t.Errorf("got %+v, %v, want it settled as %s", view, err, tt.state)
			}
		})
	}
}

// tamper changes a request behind the store's back.
func (c *council) tamper(id string, change func(*ca.ApprovalRequest)) {
	c.store.mu.Lock()
	defer c.store.mu.Unlock()
	change(&c.store.requests[c.store.request(id)])
}

func TestOneRejectionEndsARequest(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	r, req := c.gateway(t)
	c.mustVote(r, "op1")
	if err := c.vote("op2", r, func(s *policy.VoteStatement) { s.Approve, s.Reason = false, "unknown to me" }); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"voting":  c.vote("op1", r, nil),
		"getting": func() error { _, err := c.ca.Fulfil(t.Context(), r.ID, ""); return err }(),
		"asking":  func() error { _, err := c.ca.Issue(t.Context(), req); return err }(),
	} {
		if settled, ok := errors.AsType[*ca.RequestSettledError](err); !ok || settled.State != ca.RequestRejected {
			t.Errorf("%s: got %v, want it rejected", what, err)
		}
	}
	if got := c.events(audit.RequestRejected); len(got) != 1 || got[0].Reason != "unknown to me" || got[0].Actor != c.signers["op2"].id.String() || got[0].Attrs["vote"] == "" {
		t.Errorf("got %+v, want the rejection of op2 with its reason and evidence", got)
	}
}

// A crash between the last vote and what it allows is mended by the same vote again.
func TestTheSameVoteAgainChangesNothingAndSaysThatItIsApproved(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	c.cfg.Approvals.Revocation = &policy.ApprovalConfig{K: 1, Of: 3, By: policy.ByOperators}
	c.open()
	err := c.ca.File(t.Context(), ca.Ask{Kind: ca.AskRevoke, Party: "gw1", What: map[string]string{"party": "gw1"}, By: c.signers["op3"].id})
	pending, ok := errors.AsType[*ca.PendingError](err)
	if !ok {
		t.Fatalf("got %v, want *ca.PendingError", err)
	}
	for range 3 {
		r, tally, err := c.ca.Vote(t.Context(), ca.VoteRequest{ID: pending.Request.ID, Object: c.statement("op1", pending.Request, nil)})
		if err != nil || !tally.Approved || r.State != ca.RequestPending || len(r.Votes) != 1 {
			t.Fatalf("got %+v, %+v, %v, want it approved and pending, with one vote", r, tally, err)
		}
	}
	if n := len(c.events(audit.RequestApproved)); n != 1 {
		t.Errorf("got %d events, want one for the one vote", n)
	}
	r, err := c.ca.Approved(t.Context(), pending.Request.ID)
	if err != nil {
		t.Fatal(err)
	}
	var asked map[string]string
	if err := r.Asked(&asked); err != nil || asked["party"] != "gw1" {
		t.Errorf("got %v, %v, want what was asked", asked, err)
	}
	if err := c.ca.Done(t.Context(), r, "local", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ca.Approved(t.Context(), r.ID); err == nil {
		t.Error("got a request that was done as approved, want *ca.RequestSettledError")
	}
}

func TestWhatWouldBeRefusedIsNotFiled(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	c.token("t1", "gw1", "op3")
	req := request(t, "gw1", newKey(t))
	req.Token = "t1"
	req.NotAfter = start.Add(-time.Hour)
	_, err := c.ca.Issue(t.Context(), req)
	wantRule(t, err, "not-after")
	req = request(t, "gw1", newKey(t))
	req.Token, req.CSR[len(req.CSR)-1] = "t1", req.CSR[len(req.CSR)-1]^1
	_, err = c.ca.Issue(t.Context(), req)
	wantRule(t, err, "csr-signature")
	if len(c.store.requests) != 0 || c.store.tokens["t1"].Used != nil {
		t.Error("a request was filed or the token used up, want neither")
	}
}

func TestATokenFilesOneRequest(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	r, _ := c.gateway(t)
	other := request(t, "gw1", newKey(t))
	other.Token = "t1"
	_, err := c.ca.Issue(t.Context(), other)
	if used, ok := errors.AsType[*ca.TokenUsedError](err); !ok || used.By.Request != r.ID {
		t.Errorf("got %v for another key, want *ca.TokenUsedError", err)
	}
}

func TestAConsumerIsApprovedByItsBankAlone(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	r := c.ask(request(t, "c1", newKey(t)))
	for _, by := range []string{"bank2", "op1"} {
		wantRule(t, c.vote(by, r, nil), "vote-approver")
	}
	c.wantWaiting(r, 1)
	c.mustVote(r, "bank1")
	c.setParty("c1", func(p *policy.Party) { p.Bank = "bank2" })
	_, err := c.ca.Fulfil(t.Context(), r.ID, "")
	wantRule(t, err, "request-changed")
	r = c.ask(request(t, "c1", newKey(t)))
	c.mustVote(r, "bank2")
	if _, err := c.ca.Fulfil(t.Context(), r.ID, ""); err != nil {
		t.Error(err)
	}
}

func TestARenewalStandsOnTheApprovalOfWhatItRenews(t *testing.T) {
	t.Parallel()
	c := newCouncil(t)
	c.token("t1", "gw1", "op3")
	key := newKey(t)
	req := request(t, "gw1", key)
	req.Token = "t1"
	r := c.ask(req)
	c.mustVote(r, "op1", "op2")
	first, err := c.ca.Fulfil(t.Context(), r.ID, "")
	if err != nil {
		t.Fatal(err)
	}
	renew := func(old *x509.Certificate, key *ecdsa.PrivateKey) (*ca.Certificate, error) {
		return c.ca.Renew(t.Context(), old, ca.Request{CSR: csr(t, key), Requester: "local", Protocol: "renew"})
	}
	_, err = renew(first.Leaf, newKey(t))
	wantRule(t, err, "approval-renewal")
	c.setParty("gw1", func(p *policy.Party) { p.DNSNames = append(p.DNSNames, "more.example.test") })
	second, err := renew(first.Leaf, key)
	if err != nil || !slices.Equal(second.Leaf.DNSNames, []string{"gw1.example.test"}) {
		t.Errorf("got %v, %v, want the names that were approved and no other", second, err)
	}
	c.setParty("gw1", func(p *policy.Party) { p.Name = "Thief" })
	_, err = renew(first.Leaf, key)
	wantRule(t, err, "approval-renewal")
}
