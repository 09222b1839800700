package network_test

import (
	"path/filepath"
	"testing"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/policy"
)

func TestTheServerProvesItsLog(t *testing.T) {
	t.Parallel()
	r := start(t)
	key, err := network.LogKey(r.dir)
	must(t, err)
	signed, err := r.operator.Head(t.Context())
	must(t, err)
	before, err := audit.ParseHead(signed, key)
	must(t, err)
	leaf, err := enroll.Open(r.enroll(t, "shop1", policy.Merchant))
	must(t, err)
	record, err := r.operator.Certificate(t.Context(), leaf.Leaf().SerialNumber.Text(16))
	must(t, err)
	proof, err := r.operator.Proof(t.Context(), record.Index)
	must(t, err)
	event, _, err := proof.Verify(key)
	if err != nil || event.Kind != audit.CertificateIssued || event.Thumbprint != record.Thumbprint {
		t.Errorf("got %+v, %v, want the issuance of %s", event, err, record.Thumbprint)
	}
	consistency, err := r.operator.Consistency(t.Context(), before.Size)
	must(t, err)
	if after, err := consistency.Verify(key, before); err != nil || after.Size <= before.Size {
		t.Errorf("got %+v, %v, want it to continue %+v", after, err, before)
	}
}

func TestProofsOfWhatIsNotThereAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t)
	op, err := enroll.Open(filepath.Join(r.dir, network.Operator))
	must(t, err)
	for _, path := range []string{
		"/v1/audit/proof/99999", "/v1/audit/proof/x", "/v1/audit/proof/-1", "/v1/audit/consistency", "/v1/audit/consistency?old=0",
		"/v1/audit/consistency?old=99999", "/v1/audit/consistency?old=x",
	} {
		if status, name := r.request(t, op.TLS(), "GET", path, "", nil); status != 400 || name != "bad-parameter" {
			t.Errorf("%s: got %d %q, want 400 bad-parameter", path, status, name)
		}
	}
}
