package network

import (
	"context"
	"errors"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

// CollectTokens does at once what a running network does every hour.
func (n *Network) CollectTokens(ctx context.Context) error { return n.collectOnce(ctx) }

// Token finds a token.
func (n *Network) Token(ctx context.Context, id string) (ca.Token, error) {
	return n.store.Token(ctx, id)
}

// TakeBackup takes what GET /v1/backup sends.
func (n *Network) TakeBackup(ctx context.Context) (api.Backup, error) {
	return n.backup(ctx, audit.Event{Time: n.now().UTC(), Kind: audit.BackupMade, Actor: "test"})
}

// IssueAndRevoke registers a merchant, issues it a certificate, revokes that and publishes the CRL.
func (n *Network) IssueAndRevoke(ctx context.Context, party string) (serial, issuer string, crl uint64, err error) {
	now := n.now().UTC().Truncate(time.Second)
	p := policy.Party{ID: party, Role: policy.Merchant, Name: "Shop", DNSNames: []string{party + ".example"}, State: policy.Active, Created: now}
	if err := n.store.AddParty(ctx, p, audit.Event{Time: now, Kind: audit.PartyAdded, Actor: "test", Party: party}); err != nil {
		return "", "", 0, err
	}
	_, csr, err := enroll.NewKey()
	if err != nil {
		return "", "", 0, err
	}
	issued, err := n.authority.Issue(ctx, ca.Request{Party: party, CSR: csr, Requester: "test", Protocol: "local"})
	if err != nil {
		return "", "", 0, err
	}
	number, err := ca.SerialOf(issued.Leaf.SerialNumber)
	if err != nil {
		return "", "", 0, err
	}
	revocation, err := n.authority.Revoke(ctx, ca.RevokeRequest{Serial: number, Reason: ca.Superseded, By: "test"})
	if err != nil {
		return "", "", 0, err
	}
	crl, err = n.status.Publish(ctx, revocation.Issuer)
	return number.String(), revocation.Issuer, crl, err
}

// Alarm is what is wrong with the status service.
func (n *Network) Alarm() error {
	var errs []error
	for _, alarm := range n.status.Alarms() {
		errs = append(errs, errors.New(alarm.Detail))
	}
	return errors.Join(errs...)
}

// SignAgain signs a token once more.
func (n *Network) SignAgain(t enroll.Token) (string, error) { return enroll.SignToken(t, n.tokenKey) }
