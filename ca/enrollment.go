package ca

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// enrollment is the body of a request for a certificate: everything that the certificate will say comes from here. It is made
// again when the certificate is issued, and must come out the same.
type enrollment struct {
	Kind      string               `json:"kind"` // AskEnroll
	Network   string               `json:"network"`
	Party     policy.Party         `json:"party"` // as registered, without its state
	Profile   policy.ProfileConfig `json:"profile"`
	CSR       []byte               `json:"csr"`
	NotBefore time.Time            `json:"not_before,omitzero"`
	NotAfter  time.Time            `json:"not_after,omitzero"`
	Token     string               `json:"token,omitempty"`
	Requester string               `json:"requester"`
	Protocol  string               `json:"protocol"`
}

func (a *Authority) enrollmentBody(ap application) ([]byte, error) {
	party := ap.party
	party.State = ""
	return json.Marshal(enrollment{
		Kind: AskEnroll, Network: a.cfg.Network, Party: party, Profile: ap.profile.Config(), CSR: ap.CSR, NotBefore: ap.NotBefore,
		NotAfter: ap.NotAfter, Token: ap.Token, Requester: ap.Requester, Protocol: ap.Protocol,
	})
}

// fileEnrollment files a request that nothing but approval speaks for or against. Its token is used up.
func (a *Authority) fileEnrollment(ctx context.Context, ap application) error {
	ap.approved = true // to know what else is wrong
	is, err := a.issuer(ap.issuer)
	if err != nil {
		return err
	}
	d, err := a.decide(ctx, ap, is)
	if err == nil {
		_, err = a.tryDraft(d, is)
	}
	if err != nil {
		return a.refused(ctx, ap, err)
	}
	body, err := a.enrollmentBody(ap)
	if err != nil {
		return err
	}
	requesters := []string{ap.party.ID}
	if ap.Token != "" {
		token, err := a.cfg.Store.Token(ctx, ap.Token)
		if err != nil {
			return fmt.Errorf("looking up token %q: %w", ap.Token, err)
		}
		requesters = append(requesters, partyOf(token.By))
	}
	err = a.file(ctx, ApprovalRequest{
		Kind: AskEnroll, Party: ap.party.ID, Body: body, Requester: ap.Requester, Requesters: requesters, From: ap.From, Token: ap.Token,
	}, audit.Event{Profile: ap.profile.Name(), Role: string(ap.party.Role), Issuer: ap.issuer})
	if tokenSpent(err) {
		return a.refused(ctx, ap, err)
	}
	return err
}

// partyOf is the party id at the end of an identity's URI, or the text itself.
func partyOf(actor string) string {
	return actor[1+max(-1, bytes.LastIndexByte([]byte(actor), '/')):]
}

// again answers a request whose token was used up by a request for approval: by who asked, with what became of it.
func (a *Authority) again(ctx context.Context, ap application, used *TokenUsedError) (*Certificate, error) {
	r, err := a.cfg.Store.ApprovalRequest(ctx, used.By.Request)
	if err != nil {
		return nil, fmt.Errorf("looking up the request of token %s: %w", used.ID, err)
	}
	var body enrollment
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return nil, fmt.Errorf("reading request %s: %w", r.ID, err)
	}
	if body.Party.ID != ap.Party || !bytes.Equal(body.CSR, ap.CSR) {
		return nil, a.refused(ctx, ap, used)
	}
	return a.Fulfil(ctx, r.ID, ap.From)
}

// Fulfil issues the certificate of an approved request, or returns the one that it issued before. from is the remote address of
// who comes for it.
//
// Errors: a [*PendingError] while approvals are missing; a [*RequestSettledError] for one that was rejected, has expired, or asks
// what is not the same any more; one that wraps [ErrNotFound]; and those of [Authority.Issue].
func (a *Authority) Fulfil(ctx context.Context, id, from string) (*Certificate, error) {
	r, err := a.pending(ctx, id)
	if _, settled := errors.AsType[*RequestSettledError](err); err != nil && !settled {
		return nil, err
	}
	if r.Kind != AskEnroll {
		return nil, fmt.Errorf("request %.70q for a certificate: %w", id, ErrNotFound)
	}
	if r.State == RequestDone && r.Serial != nil {
		return a.certificate(ctx, *r.Serial)
	}
	if err != nil {
		return nil, err
	}
	ap, err := a.reenter(ctx, r)
	if vs := policy.ViolationsOf(err); vs != nil {
		if err := a.settleAs(ctx, r.ID, RequestInvalid, audit.RequestInvalid, vs.Error()); err != nil {
			return nil, errors.Join(vs, err)
		}
	}
	if err != nil {
		return nil, err
	}
	var cert *Certificate
	if _, err = a.Approved(ctx, id); err == nil {
		ap.approved, ap.request, ap.From = true, r.ID, from
		cert, err = a.gate(ctx, ap)
	}
	if settled, ok := errors.AsType[*RequestSettledError](err); ok && settled.State == RequestDone {
		return a.Fulfil(ctx, id, from) // somebody else came for it at the same time
	}
	return cert, err
}

// reenter makes the application of a filed request again, from the registry and the profiles of now. Violations say that
// it does not come out the same.
func (a *Authority) reenter(ctx context.Context, r ApprovalRequest) (application, error) {
	var body enrollment
	if err := json.Unmarshal(r.Body, &body); err != nil {
		return application{}, fmt.Errorf("reading request %s: %w", r.ID, err)
	}
	ap := application{now: a.now(), Request: Request{
		Party: body.Party.ID, Profile: body.Profile.Name, CSR: body.CSR, NotBefore: body.NotBefore, NotAfter: body.NotAfter,
		Requester: body.Requester, Protocol: body.Protocol,
	}}
	if err := a.enter(ctx, &ap); err != nil {
		return ap, err
	}
	ap.Token = body.Token // used up when it was filed
	again, err := a.enrollmentBody(ap)
	if err == nil && (RequestID(again) != r.ID || !bytes.Equal(again, r.Body)) {
		err = violation("request-changed", "request", "not what was approved: party, profile or the request itself were changed", "a new request, and new approvals")
	}
	ap.Token = ""
	return ap, err
}

// certificate is an issued certificate as its requester gets it.
func (a *Authority) certificate(ctx context.Context, serial Serial) (*Certificate, error) {
	rec, err := a.cfg.Store.BySerial(ctx, serial)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", serial, err)
	}
	leaf, err := x509.ParseCertificate(rec.DER)
	if err != nil {
		return nil, fmt.Errorf("reading certificate %s: %w", serial, err)
	}
	is, err := a.issuer(rec.Issuer)
	if err != nil {
		return nil, err
	}
	return &Certificate{Record: rec, Leaf: leaf, Chain: []*x509.Certificate{leaf, is.cert}, Root: a.cfg.Root}, nil
}

// A grant is what an earlier approval covers: the key and the names of the certificate that came of it.
type grant struct {
	spki  [32]byte
	names []string
	addrs []netip.Addr
	org   []string
}

// inherit lets the renewal of a certificate stand on the approval of that one, as far as it asks for nothing new.
func (ap *application) inherit(rec Record, old *x509.Certificate) {
	if _, ok := ap.profile.Approval(); !ok {
		return
	}
	g := &grant{spki: rec.SPKI, names: old.DNSNames, org: old.Subject.Organization}
	for _, ip := range old.IPAddresses {
		if addr, ok := netip.AddrFromSlice(ip); ok {
			g.addrs = append(g.addrs, addr.Unmap())
		}
	}
	ap.party.DNSNames = slices.DeleteFunc(slices.Clone(ap.party.DNSNames), func(n string) bool { return !slices.Contains(g.names, n) })
	ap.party.Addresses = slices.DeleteFunc(slices.Clone(ap.party.Addresses), func(addr netip.Addr) bool { return !slices.Contains(g.addrs, addr.Unmap()) })
	ap.approved, ap.grant = true, g
}

// covers says what a decision has that the grant does not.
func (g *grant) covers(d *policy.Decision, party policy.Party) policy.Violations {
	var vs policy.Violations
	wrong := func(field, got, want string) {
		vs = append(vs, violation("approval-renewal", field, got, want+"; what is new takes a token and approvals")...)
	}
	if sha256.Sum256(d.RawSPKI) != g.spki {
		wrong("csr: public key", "another key", "the key that was approved")
	}
	for _, name := range d.DNSNames {
		if !slices.Contains(g.names, name) {
			wrong("csr: DNS name", fmt.Sprintf("%q", name), "a name of the certificate that is renewed")
		}
	}
	for _, addr := range d.Addresses {
		if !slices.Contains(g.addrs, addr.Unmap()) {
			wrong("csr: address", addr.String(), "an address of the certificate that is renewed")
		}
	}
	if !slices.Equal(g.org, []string{party.Name}) {
		wrong("legal name", fmt.Sprintf("%q", party.Name), fmt.Sprintf("%q, as it was approved", g.org))
	}
	return vs
}

// lateRefusal is the refusal that a store's error is: somebody was faster. Nil for all other errors.
func lateRefusal(ap application, err error) error {
	_, settled := errors.AsType[*RequestSettledError](err)
	switch {
	case errors.Is(err, ErrInactive):
		return violation("party-active", fmt.Sprintf("party %q", ap.Party), "suspended or closed meanwhile", "active")
	case tokenSpent(err), settled, policy.ViolationsOf(err) != nil: // the last from Issuance.Admit
		return err
	case errors.Is(err, ErrNotFound) && ap.Token != "":
		return unknownToken(ap.Token)
	}
	return nil
}
