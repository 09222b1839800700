package network

import (
	"context"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// SetState does what no route does yet.
func (n *Network) SetState(ctx context.Context, id string, state policy.State) error {
	party, err := n.store.Party(ctx, id)
	if err != nil {
		return err
	}
	party.State = state
	return n.store.UpdateParty(ctx, party, audit.Event{Time: n.now().UTC(), Kind: audit.PartyChanged, Actor: "test", Party: id})
}

// CollectTokens does at once what a running network does every hour.
func (n *Network) CollectTokens(ctx context.Context) error { return n.collectOnce(ctx) }

// Token finds a token.
func (n *Network) Token(ctx context.Context, id string) (ca.Token, error) {
	return n.store.Token(ctx, id)
}
