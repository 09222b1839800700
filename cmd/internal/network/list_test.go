package network_test

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/policy"
)

func TestPagesOfOneHoldWhatOnePageHolds(t *testing.T) {
	t.Parallel()
	r := start(t)
	_, err := r.operator.AddParty(t.Context(), policy.Party{ID: "shop1", Name: "Acme", Role: policy.Merchant, DNSNames: []string{"shop.example.test"}})
	must(t, err)
	soon := time.Now().AddDate(0, 6, 0).UTC().Format(time.RFC3339)
	for _, query := range []url.Values{
		{},
		{"status": {"valid"}},
		{"expires_before": {soon}},
		{"role": {"service"}, "status": {"valid"}},
		{"party": {policy.NetworkParty}, "status": {"valid"}},
		{"profile": {"ocsp-signer"}},
		{"expires_from": {soon}},
		{"status": {"expired"}},
		{"san": {"localhost"}},
	} {
		text := query.Encode()
		var all, one []string
		page, err := r.operator.CertificatePage(t.Context(), query)
		must(t, err)
		for _, c := range page.Items {
			all = append(all, c.Serial.String())
		}
		query.Set("limit", "1")
		for c, err := range r.operator.Certificates(t.Context(), query) {
			must(t, err)
			one = append(one, c.Serial.String())
		}
		if page.Next != "" || !slices.Equal(one, all) {
			t.Errorf("%s: got %d certificates in pages of one, want the same %d", text, len(one), len(all))
		}
		if len(all) == 0 && !slices.Contains([]string{"status=expired", "expires_from=" + url.QueryEscape(soon)}, text) {
			t.Errorf("%s: got nothing, want the CA's own certificates", text)
		}
	}
}
