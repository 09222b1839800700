package ca_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

func TestRenewTakesPartyAndProfileFromTheInventory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	req := request(t, "gateway", newKey(t))
	req.Profile = "gateway-encryption"
	old, err := w.ca.Issue(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	w.advance(20 * 24 * time.Hour)
	key := newKey(t)
	other := ca.Request{Profile: "merchant", CSR: csr(t, key), Requester: "spiffe://gateway.pay.example/gateway", Protocol: "est"}
	if _, err := w.ca.Renew(t.Context(), old.Leaf, other); err == nil {
		t.Error("renewed under another profile")
	} else {
		wantRule(t, err, "renew-profile")
	}
	again := ca.Request{Party: "shop1", Token: "t", CSR: csr(t, key), Requester: "spiffe://gateway.pay.example/gateway", Protocol: "renew"}
	c, err := w.ca.Renew(t.Context(), old.Leaf, again)
	if err != nil {
		t.Fatal(err)
	}
	if c.Record.Party != "gateway" || c.Record.Profile != "gateway-encryption" || !key.PublicKey.Equal(c.Leaf.PublicKey) {
		t.Errorf("record %+v, want gateway's encryption certificate for the new key", c.Record)
	}
	if !c.Leaf.NotAfter.After(old.Leaf.NotAfter) {
		t.Errorf("valid until %v, want later than %v", c.Leaf.NotAfter, old.Leaf.NotAfter)
	}
	issued := w.events(audit.CertificateIssued)
	if got := issued[len(issued)-1].Attrs["renews"]; got != old.Record.Serial.String() {
		t.Errorf("renews %q, want %s", got, old.Record.Serial)
	}
}

func TestRenewRefuses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, rule string
		old        func(t *testing.T, w *world, c *ca.Certificate) *x509.Certificate
	}{
		{"no certificate", "renew-known", func(*testing.T, *world, *ca.Certificate) *x509.Certificate { return nil }},
		{"self-signed certificate with a victim's serial and names", "renew-known", forged},
		{"certificate of another network", "renew-known", func(t *testing.T, _ *world, _ *ca.Certificate) *x509.Certificate {
			return newWorld(t).issue("shop1", newKey(t)).Leaf
		}},
		{"certificate of an issuing CA", "renew-known", func(_ *testing.T, _ *world, c *ca.Certificate) *x509.Certificate { return c.Chain[1] }},
		{"OCSP signer", "renew-known", func(t *testing.T, w *world, _ *ca.Certificate) *x509.Certificate {
			leaf, err := w.ca.IssueResponder(t.Context(), policy.MerchantCA, newKey(t))
			if err != nil {
				t.Fatal(err)
			}
			return leaf
		}},
		{"expired certificate", "renew-expired", func(_ *testing.T, w *world, c *ca.Certificate) *x509.Certificate {
			w.clock.Store(c.Leaf.NotAfter.Unix() + 1)
			return c.Leaf
		}},
		{"revoked certificate", "renew-revoked", func(t *testing.T, w *world, c *ca.Certificate) *x509.Certificate {
			if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.Superseded, By: "local"}); err != nil {
				t.Fatal(err)
			}
			return c.Leaf
		}},
		{"certificate on hold", "renew-revoked", func(t *testing.T, w *world, c *ca.Certificate) *x509.Certificate {
			if _, err := w.ca.Revoke(t.Context(), ca.RevokeRequest{Serial: c.Record.Serial, Reason: ca.CertificateHold, By: "local"}); err != nil {
				t.Fatal(err)
			}
			return c.Leaf
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			c := w.issue("shop1", newKey(t))
			old := tt.old(t, w, c)
			before := len(w.store.records)
			got, err := w.ca.Renew(t.Context(), old, request(t, "shop1", newKey(t)))
			if got != nil || len(w.store.records) != before {
				t.Error("it was renewed")
			}
			wantRule(t, err, tt.rule)
			if n := len(w.events(audit.CertificateRefused)); n != 1 {
				t.Errorf("%d refusals recorded, want 1", n)
			}
		})
	}
}

// forged returns a self-signed certificate that says what c says.
func forged(t *testing.T, _ *world, c *ca.Certificate) *x509.Certificate {
	template := *c.Leaf
	key := newKey(t)
	template.SignatureAlgorithm, template.PublicKey = 0, key.Public()
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestRenewAsksPolicyAfresh(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.issue("shop1", newKey(t))
	shop := w.store.parties["shop1"]
	shop.State = policy.Suspended
	w.addParty(shop)
	if _, err := w.ca.Renew(t.Context(), c.Leaf, request(t, "shop1", newKey(t))); policy.ViolationsOf(err) == nil {
		t.Errorf("error %v, want violations: the party is suspended", err)
	}
	shop.State, shop.Role = policy.Active, policy.Gateway
	w.addParty(shop)
	if _, err := w.ca.Renew(t.Context(), c.Leaf, request(t, "shop1", newKey(t))); policy.ViolationsOf(err) == nil {
		t.Errorf("error %v, want violations: the role is another", err)
	}
}

func TestResponderCertificate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	leaf, err := w.ca.IssueResponder(t.Context(), policy.BankCA, key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := w.ca.Issuer(policy.BankCA)
	if err != nil {
		t.Fatal(err)
	}
	if err := leaf.CheckSignatureFrom(issuer); err != nil {
		t.Error(err)
	}
	if len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageOCSPSigning || len(leaf.URIs)+len(leaf.OCSPServer)+len(leaf.CRLDistributionPoints) != 0 {
		t.Errorf("extended key usage %v, URIs %v, OCSP %v, CRL %v, want only OCSPSigning", leaf.ExtKeyUsage, leaf.URIs, leaf.OCSPServer, leaf.CRLDistributionPoints)
	}
	noCheck := false
	for _, e := range leaf.Extensions {
		noCheck = noCheck || e.Id.String() == "1.3.6.1.5.5.7.48.1.5" && bytes.Equal(e.Value, []byte{5, 0}) && !e.Critical
	}
	if !noCheck {
		t.Error("id-pkix-ocsp-nocheck with NULL is missing")
	}
	if issued := w.events(audit.CertificateIssued); len(issued) != 1 || issued[0].Profile != "ocsp-signer" || issued[0].Actor != "payca" {
		t.Errorf("events %+v, want one by payca", issued)
	}
	if _, err := w.ca.IssueResponder(t.Context(), "root", key); !errors.Is(err, ca.ErrNotFound) {
		t.Errorf("error %v, want %v", err, ca.ErrNotFound)
	}
	_, err = w.ca.IssueResponder(t.Context(), policy.BankCA, w.ceremony.Issuers[0].Signer)
	wantRule(t, err, "key-own")
}

func TestRenewalWithoutARequestKeepsTheKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := newKey(t)
	old := w.issue("shop1", key)
	again := ca.Request{Requester: "spiffe://merchant.pay.example/shop1", Protocol: "step"}
	c, err := w.ca.Renew(t.Context(), old.Leaf, again)
	if err != nil {
		t.Fatal(err)
	}
	if !key.PublicKey.Equal(c.Leaf.PublicKey) || c.Record.Serial == old.Record.Serial || c.Leaf.Subject.String() != old.Leaf.Subject.String() || len(c.Leaf.DNSNames) != len(old.Leaf.DNSNames) {
		t.Errorf("got %v for %v, want the same again", c.Leaf.Subject, c.Leaf.DNSNames)
	}
	if _, err := w.ca.BlockKey(t.Context(), ca.KeyBlock{Key: old.Record.SPKI, Reason: "leaked", By: "local"}); err != nil {
		t.Fatal(err)
	}
	_, err = w.ca.Renew(t.Context(), old.Leaf, again)
	wantRule(t, err, "key-blocked")
}

func TestAGraceIsThatOfTheProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cfg := w.cfg.Profiles[slices.IndexFunc(w.cfg.Profiles, func(p *policy.Profile) bool { return p.Name() == "merchant" })].Config()
	cfg.RenewGrace = policy.Duration(time.Hour)
	p, err := policy.NewProfile(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.cfg.Profiles = append(slices.DeleteFunc(slices.Clone(w.cfg.Profiles), func(p *policy.Profile) bool { return p.Name() == "merchant" }), p)
	w.open()
	c := w.issue("shop1", newKey(t))
	if got := w.ca.RenewGrace(t.Context(), c.Leaf); got != time.Hour {
		t.Errorf("grace %v, want an hour", got)
	}
	w.clock.Store(c.Leaf.NotAfter.Unix() + 3600)
	if _, err := w.ca.Renew(t.Context(), c.Leaf, request(t, "shop1", newKey(t))); err != nil {
		t.Error(err)
	}
	w.clock.Store(c.Leaf.NotAfter.Unix() + 3601)
	_, err = w.ca.Renew(t.Context(), c.Leaf, request(t, "shop1", newKey(t)))
	wantRule(t, err, "renew-expired")
}
