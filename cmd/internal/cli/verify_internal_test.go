package cli

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/catest"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// What was revoked was good before, unless its key was not its owner's any more.
func TestVerifyOfThePast(t *testing.T) {
	t.Parallel()
	begun := time.Now().Add(-2 * time.Hour)
	var late atomic.Bool
	n := catest.Make(t, catest.Config{Now: func() time.Time {
		if late.Load() {
			return time.Now()
		}
		return begun
	}})
	good := n.Enroll(t, "shop1", policy.Merchant)
	revoked, stolen := n.Issue(t, "shop1"), n.Issue(t, "shop1")
	late.Store(true)
	n.Revoke(t, revoked.Leaf, ca.Superseded)
	serial, err := ca.SerialOf(stolen.Leaf.SerialNumber)
	if err != nil {
		t.Fatal(err)
	}
	hour := time.Now().Add(-time.Hour).UTC().Truncate(time.Second)
	if _, err := n.Authority.Revoke(t.Context(), ca.RevokeRequest{Serial: serial, Reason: ca.KeyCompromise, By: "test", Invalidity: hour}); err != nil {
		t.Fatal(err)
	}
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for _, tt := range []struct {
		name    string
		cert    tls.Certificate
		role    policy.Role
		at      time.Time
		refusal string // "" where it is valid
		says    string
	}{
		{"good now", good, policy.Merchant, now, "", "  status  good; says ocsp, "},
		{"good then", good, "", now.Add(-time.Minute), "", "was a merchant of pay.example at "},
		{"in another role", good, policy.Gateway, now, "authorized-role", "! role "},
		{"revoked now", revoked, "", now, "is revoked since", "! status  certificate "},
		{"good before it was revoked", revoked, "", now.Add(-30 * time.Minute), "", "  status  good then; revoked since "},
		{"good before its key was suspected", stolen, "", hour.Add(-time.Minute), "", "good then; revoked since "},
		{"suspected, and not revoked yet", stolen, "", now.Add(-30 * time.Minute), "its key is suspected since " + hour.Format(time.RFC3339), "! status  "},
		{"before it was issued", good, "", begun.Add(-time.Hour), "validity: certificate", "! path    validity"},
		{"after its end", good, "", good.Leaf.NotAfter.Add(time.Second), "validity: certificate", "not valid   it"},
	} {
		var chain []*x509.Certificate
		for _, der := range tt.cert.Certificate {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, c)
		}
		v := &verification{presented: presented{chain: chain, use: policy.AnyUse}, trust: n.Trust(), checker: checker, role: tt.role, at: tt.at, now: now}
		v.run(t.Context())
		err := v.refusal()
		if (err == nil) != (tt.refusal == "") || err != nil && (!strings.Contains(err.Error(), tt.refusal) || Code(err) != ExitInvalid) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.refusal)
		}
		var out strings.Builder
		v.print(&out, "it")
		if !strings.Contains(out.String(), tt.says) {
			t.Errorf("%s: got\n%s\nwant it to say %q", tt.name, out.String(), tt.says)
		}
		if valid := v.view("it")["valid"]; valid != (err == nil) {
			t.Errorf("%s: got valid %v in JSON", tt.name, valid)
		}
	}
}

func TestVerifyLooksAtWhatAHostStaples(t *testing.T) {
	t.Parallel()
	n := catest.New(t)
	cert := n.Enroll(t, "shop1", policy.Merchant)
	issuer := n.Issuer(t, policy.MerchantCA).Certificate
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	stapler, err := ocsp.NewStapler(ocsp.StaplerConfig{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	good, _, err := stapler.Fetch(t.Context(), cert.Leaf, issuer)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, staple, says string }{
		{"a good one", string(good), "  staple  good; says staple, "},
		{"junk", "junk", "! staple  the host stapled what cannot be believed"},
		{"none", "", "  staple  none, and none is demanded"},
	} {
		v := &verification{
			presented: presented{chain: []*x509.Certificate{cert.Leaf, issuer}, use: policy.ServerUse, host: true, staple: []byte(tt.staple)},
			trust:     n.Trust(), checker: checker, at: time.Now(), now: time.Now(),
		}
		v.run(t.Context())
		var out strings.Builder
		v.print(&out, "it")
		if !strings.Contains(out.String(), tt.says) || (v.refusal() == nil) != strings.HasPrefix(tt.says, "  ") {
			t.Errorf("%s: got %v and\n%s\nwant it to say %q", tt.name, v.refusal(), out.String(), tt.says)
		}
	}
}
