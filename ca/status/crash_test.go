package status_test

import (
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// A process that is killed after the commit of a revocation, and before it told anybody, leaves the store as it is here. The next
// one answers revoked, in OCSP, the full list and the part, and the feed has the change.
func TestCase36ARevocationThatNobodyWasToldOfStandsAfterTheNextStart(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	leaf := n.Enroll(t, "shop1", policy.Merchant).Leaf
	issuer := n.Issuer(t, policy.MerchantCA).Certificate
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1})
	if err != nil {
		t.Fatal(err)
	}
	if v, err := checker.AskOCSP(t.Context(), leaf, issuer); err != nil || v.State != ocsp.Good { // which is cached now
		t.Fatalf("before: got %v, %v, want good", v.State, err)
	}
	serial, err := ca.SerialOf(leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	record, err := n.Store.BySerial(t.Context(), serial)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now().UTC().Truncate(time.Second)
	err = n.Store.Revoke(t.Context(),
		ca.Revocation{Serial: serial, Issuer: policy.MerchantCA, Reason: ca.KeyCompromise, At: now, NotAfter: leaf.NotAfter, By: "test", Shard: record.Shard},
		audit.Event{Time: now, Kind: audit.CertificateRevoked, Actor: "test", Issuer: policy.MerchantCA, Serial: serial.String(), Party: "shop1", Reason: "keyCompromise"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Restart(t, 0); err != nil {
		t.Fatal(err)
	}
	if v, err := checker.AskOCSP(t.Context(), leaf, issuer); err != nil || v.State != ocsp.Revoked || v.Reason != int(ca.KeyCompromise) {
		t.Errorf("OCSP after the start: got %v for %d, %v, want revoked for keyCompromise", v.State, v.Reason, err)
	}
	for _, p := range []string{"/crl/merchant.crl", path(n, leaf)} {
		if _, listed := fetch(t, n, p).Lookup(leaf.SerialNumber.Bytes()); !listed {
			t.Errorf("%s after the start: the certificate is not on it", p)
		}
	}
	changes, err := n.Store.Changes(t.Context(), 0, 10)
	if err != nil || len(changes) != 1 || changes[0].Serial != leaf.SerialNumber.Text(16) {
		t.Errorf("feed after the start: got %v, %v, want the change", changes, err)
	}
}
