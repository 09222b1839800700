package ca

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/payca/payca/policy"
)

// maxDelegates is how many OCSP delegates of one issuer a status node may hold at once.
const maxDelegates = 16

// A DelegateRequest asks for the certificate of an OCSP delegate whose key a status node holds. Whoever makes it has
// authenticated the node.
type DelegateRequest struct {
	Issuer    string // name of the issuing CA that the delegate answers for
	Node      string // id of the registered party
	CSR       []byte // PKCS#10, DER
	Requester string // as in audit.Event.Actor
	From      string // remote address
}

// IssueDelegate issues a certificate for an OCSP delegate of a status node, under the profile "ocsp-signer" and through the same
// gate. The inventory has it as a certificate of the node, so that what revokes the node's certificates revokes it too. A
// refusal is policy.Violations: the node is not registered as one, is not active, or holds too many.
func (a *Authority) IssueDelegate(ctx context.Context, req DelegateRequest) (*Certificate, error) {
	profile, err := a.responderProfile(req.Issuer)
	if err != nil {
		return nil, err
	}
	ap := application{
		Request: Request{Profile: policy.OCSPSignerProfile, CSR: req.CSR, Requester: req.Requester, Protocol: "node", From: req.From},
		now:     a.now(), profile: profile, issuer: req.Issuer, holder: req.Node,
	}
	if err := a.checkNode(ctx, ap); err != nil {
		return nil, a.refused(ctx, ap, err)
	}
	return a.gate(ctx, ap)
}

// responderProfile finds the profile of OCSP signers; ErrNotFound for an issuer that there is not.
func (a *Authority) responderProfile(issuer string) (*policy.Profile, error) {
	if _, err := a.issuer(issuer); err != nil {
		return nil, err
	}
	profile, ok := a.profiles[policy.OCSPSignerProfile]
	if !ok {
		return nil, fmt.Errorf("profile %q: %w", policy.OCSPSignerProfile, ErrNotFound)
	}
	return profile, nil
}

// checkNode says whether the party may hold one more delegate.
func (a *Authority) checkNode(ctx context.Context, ap application) error {
	node, err := a.cfg.Store.Party(ctx, ap.holder)
	switch {
	case errors.Is(err, ErrNotFound):
		return violation("party-known", "party", fmt.Sprintf("%q", clip(ap.holder)), "a registered party")
	case err != nil:
		return fmt.Errorf("looking up party %q: %w", ap.holder, err)
	case !node.StatusNode || node.Role != policy.Service:
		return violation("party-status-node", "party "+node.ID, "no status node", "a service that was registered as one")
	case node.State != policy.Active:
		return violation("party-active", "party "+node.ID, string(node.State), "active")
	}
	good, held := false, 0
	filter := Filter{Party: node.ID, Profile: ap.profile.Name(), Issuer: ap.issuer, Revoked: &good, ExpiresFrom: ap.now, Limit: maxDelegates}
	for _, err := range a.cfg.Store.Certificates(ctx, filter) {
		if err != nil {
			return fmt.Errorf("counting the delegates of %s: %w", node.ID, err)
		}
		held++
	}
	if held >= maxDelegates {
		return violation("limit-valid", "valid OCSP delegates of "+ap.issuer, strconv.Itoa(held), fmt.Sprintf("fewer than %d; revoke some", maxDelegates))
	}
	return nil
}
