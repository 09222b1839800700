package network_test

import (
	"crypto/x509"
	"errors"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/cmd/internal/api"
	"github.com/payca/payca/cmd/internal/network"
	"github.com/payca/payca/enroll"
	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// verdicts asks OCSP and the CRL for a certificate, nothing cached.
func verdicts(t testing.TB, leaf, issuer *x509.Certificate) (byOCSP, byCRL ocsp.State) {
	t.Helper()
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1})
	must(t, err)
	first, err := checker.AskOCSP(t.Context(), leaf, issuer)
	must(t, err)
	second, err := checker.AskCRL(t.Context(), leaf, issuer)
	must(t, err)
	return first.State, second.State
}

func TestWithoutALogNothingIsIssuedOrRevokedAndStatusGoesOn(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	r := startWith(t, network.Config{BeforeCommit: func() error {
		if full.Load() {
			return syscall.ENOSPC
		}
		return nil
	}})
	shop, err := enroll.Open(r.enroll(t, "shop1", policy.Merchant))
	must(t, err)
	leaf, issuer := shop.Leaf(), shop.Chain[1]
	token := r.register(t, "shop2", policy.Merchant)
	key, err := network.LogKey(r.dir)
	must(t, err)
	before, err := audit.Verify(t.Context(), r.operator, key)
	must(t, err)

	full.Store(true)
	dir := filepath.Join(t.TempDir(), "shop2")
	revocation := api.RevocationRequest{Selection: api.Selection{Party: "shop1", All: true}, Reason: "keyCompromise"}
	for what, try := range map[string]func() error{
		"enrolling": func() error {
			_, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token, Dir: dir})
			return err
		},
		"revoking": func() error { _, err := r.operator.Revoke(t.Context(), revocation); return err },
		"adding a party": func() error {
			_, err := r.operator.AddParty(t.Context(), policy.Party{ID: "shop3", Role: policy.Merchant, Name: "Shop"})
			return err
		},
		"making a token": func() error {
			_, err := r.operator.CreateToken(t.Context(), api.TokenRequest{Party: "shop1"})
			return err
		},
	} {
		refusal := (*problem.Problem)(nil)
		if err := try(); !errors.As(err, &refusal) || refusal.Status != 500 {
			t.Errorf("%s without a log: got %v, want status 500", what, err)
		}
	}
	if _, err := enroll.Open(dir); err == nil {
		t.Error("got a certificate that is not in the log")
	}
	if byOCSP, byCRL := verdicts(t, leaf, issuer); byOCSP != ocsp.Good || byCRL != ocsp.Good {
		t.Errorf("status without a log: got %s by OCSP and %s by CRL, want good", byOCSP, byCRL)
	}
	if after, err := audit.Verify(t.Context(), r.operator, key); err != nil || after != before {
		t.Errorf("the log: got %+v, %v, want it as before, %+v", after, err, before)
	}

	full.Store(false)
	if _, err := enroll.Enroll(t.Context(), enroll.EnrollConfig{Token: token, Dir: dir}); err != nil {
		t.Errorf("enrolling with room again: %v", err)
	}
	if _, err := r.operator.Revoke(t.Context(), revocation); err != nil {
		t.Errorf("revoking with room again: %v", err)
	}
	if byOCSP, byCRL := verdicts(t, leaf, issuer); byOCSP != ocsp.Revoked || byCRL != ocsp.Revoked {
		t.Errorf("status after the revocation: got %s by OCSP and %s by CRL, want revoked", byOCSP, byCRL)
	}
	if after, err := audit.Verify(t.Context(), r.operator, key); err != nil || after.Size <= before.Size {
		t.Errorf("the log: got %+v, %v, want more than %d entries", after, err, before.Size)
	}
}
