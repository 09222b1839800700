package network

import (
	"context"
	"fmt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/policy"
)

// stepVersion is the version of step-ca whose API is served: its clients look at it.
const stepVersion = "0.30.2"

// revokeOwn revokes a certificate of the caller's, or any if that is an operator. When it returns nil, OCSP and the CRL say so.
func (n *Network) revokeOwn(ctx context.Context, peer *policy.Peer, serial, reason, from string) error {
	number, err := ca.ParseSerial(serial)
	if err != nil {
		return fmt.Errorf("serial %s: %w", serial, ca.ErrNotFound)
	}
	why, err := ca.ParseReason(reason)
	if err != nil {
		return err
	}
	record, err := n.store.BySerial(ctx, number)
	if err == nil && peer.Identity.Role != policy.Operator && record.Party != peer.Identity.Party {
		err = fmt.Errorf("serial %s: %w", serial, ca.ErrNotFound) // who asks learns nothing about others
	}
	if err != nil {
		return err
	}
	revoked, err := n.authority.RevokeAll(ctx, ca.RevokeRequest{Serial: number, Reason: why, By: peer.Identity.String(), From: from})
	if err != nil {
		return err
	}
	for _, r := range revoked {
		if _, err := n.status.Publish(ctx, r.Issuer); err != nil {
			return err
		}
	}
	return nil
}
