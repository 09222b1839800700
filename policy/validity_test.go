package policy_test

import (
	"crypto/x509"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func TestDecideChoosesValidity(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	const days = 30 * 24 * time.Hour
	second := time.Second
	at := now.Add(300 * time.Millisecond)
	shortIssuer := caTemplate(policy.MerchantCA)
	shortIssuer.NotAfter = now.Add(24 * time.Hour)
	freshIssuer := caTemplate(policy.MerchantCA)
	freshIssuer.NotBefore = now.Add(-5 * time.Second)
	deadIssuer := caTemplate(policy.MerchantCA)
	deadIssuer.NotAfter = now.Add(-5 * time.Second)
	futureIssuer := caTemplate(policy.MerchantCA)
	futureIssuer.NotBefore = now.Add(time.Hour)
	for _, tt := range []struct {
		name                string
		issuer              *x509.Certificate
		notBefore, notAfter time.Time
		wantFrom, wantUntil time.Time
		rules               []string
	}{
		{name: "27 30 days are 30 x 86400 seconds, the last one included", wantFrom: now.Add(-60 * second), wantUntil: now.Add(-60*second + days - second)},
		{name: "what is asked for", notBefore: now, notAfter: now.Add(time.Hour), wantFrom: now, wantUntil: now.Add(time.Hour)},
		{name: "whole seconds in UTC", notBefore: at.In(time.FixedZone("east", 3600)), notAfter: at.Add(time.Hour), wantFrom: now, wantUntil: now.Add(time.Hour)},
		{name: "one second", notBefore: now, notAfter: now, wantFrom: now, wantUntil: now},
		{name: "the end of the issuer where the profile would go on", issuer: shortIssuer, wantFrom: now.Add(-60 * second), wantUntil: now.Add(24 * time.Hour)},
		{name: "the start of an issuer that is new", issuer: freshIssuer, wantFrom: now.Add(-5 * second), wantUntil: now.Add(-5*second + days - second)},
		{name: "a start in the future", notBefore: now.Add(time.Hour), wantFrom: now.Add(time.Hour), wantUntil: now.Add(time.Hour + days - second)},
		{name: "26 NotAfter before NotBefore", notBefore: now, notAfter: now.Add(-second), rules: []string{"not-after"}},
		{name: "26 NotAfter beyond the issuer's", issuer: shortIssuer, notAfter: now.Add(24*time.Hour + second), rules: []string{"not-after"}},
		{name: "27 one second more than the profile allows", notBefore: now, notAfter: now.Add(days), rules: []string{"not-after"}},
		{name: "27 all seconds that the profile allows", notBefore: now, notAfter: now.Add(days - second), wantFrom: now, wantUntil: now.Add(days - second)},
		{name: "30 backdating beyond the profile", notBefore: now.Add(-61 * second), rules: []string{"not-before"}},
		{name: "30 backdating as the profile allows", notBefore: now.Add(-60 * second), wantFrom: now.Add(-60 * second), wantUntil: now.Add(-60*second + days - second)},
		{name: "a start before the issuer's", issuer: freshIssuer, notBefore: now.Add(-6 * second), rules: []string{"not-before"}},
		{name: "a start too far ahead", notBefore: now.Add(days + second), rules: []string{"not-before"}},
		{name: "an expired issuer", issuer: deadIssuer, rules: []string{"issuer-validity"}},
		{name: "an issuer of tomorrow", issuer: futureIssuer, rules: []string{"issuer-validity"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			req := goodRequest(t, p, policy.Merchant, "merchant")
			req.NotBefore, req.NotAfter, req.Now = tt.notBefore, tt.notAfter, at
			if tt.issuer != nil {
				req.Issuer = sign(t, p.root, tt.issuer).cert
			}
			d, err := policy.Decide(req)
			if tt.rules != nil {
				wantRules(t, err, tt.rules...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if !d.NotBefore.Equal(tt.wantFrom) || !d.NotAfter.Equal(tt.wantUntil) || d.NotBefore.Location() != time.UTC || d.NotAfter.Location() != time.UTC {
				t.Errorf("got %v to %v, want %v to %v", d.NotBefore, d.NotAfter, tt.wantFrom, tt.wantUntil)
			}
		})
	}
}
