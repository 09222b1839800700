package network

import (
	"context"
	"crypto/x509"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// Register registers a party on the word of who has the network open.
func (n *Network) Register(ctx context.Context, p policy.Party) error {
	if err := p.Check(n.config.Network); err != nil {
		return err
	}
	return n.store.AddParty(ctx, p, audit.Event{Time: n.now().UTC(), Kind: audit.PartyAdded, Actor: "local", Party: p.ID, Role: string(p.Role)})
}

// Issue issues a certificate through the gate, on the word of who has the network open.
func (n *Network) Issue(ctx context.Context, req ca.Request) (*ca.Certificate, error) {
	return n.authority.Issue(ctx, req)
}

// Revoke revokes a certificate on the word of who has the network open. When it returns, OCSP says so.
func (n *Network) Revoke(ctx context.Context, req ca.RevokeRequest) (ca.Revocation, error) {
	return n.authority.Revoke(ctx, req)
}

// Trust is what a relying party of the network knows.
func (n *Network) Trust() policy.Trust {
	return policy.Trust{Network: n.config.Network, Roots: []*x509.Certificate{n.root}}
}

// Store returns what the CA keeps, for measuring. Nothing is issued through it.
func (n *Network) Store() ca.Store { return n.store }
