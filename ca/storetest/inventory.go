package storetest

import (
	"cmp"
	"crypto/x509"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

var inventory = []sentence{
	{"a certificate that is not there is not found", func(t *testing.T, w *world) {
		in := w.mustReserve(t)
		for _, serial := range []ca.Serial{w.serial(), in.Serial} {
			_, err := w.BySerial(t.Context(), serial)
			wantError(t, err, ca.ErrNotFound)
		}
		_, err := w.ByThumbprint(t.Context(), [32]byte{1})
		wantError(t, err, ca.ErrNotFound)
		if got := all(t, w.Certificates(t.Context(), ca.Filter{})); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	}},
	{"a filter selects what it says, in the order of the log", testFilters},
	{"a cursor past the last certificate selects nothing", func(t *testing.T, w *world) {
		r := w.mustIssue(t, nil)
		for _, after := range []uint64{r.Index, r.Index + 1, 1<<63 - 1, 1<<64 - 1} {
			if got := all(t, w.Certificates(t.Context(), ca.Filter{From: true, After: after})); len(got) != 0 {
				t.Errorf("after %d: got %d certificates, want none", after, len(got))
			}
		}
	}},
	{"a caller may write while it iterates, and stop early", func(t *testing.T, w *world) {
		for range 3 {
			w.mustIssue(t, nil)
		}
		for r, err := range w.Certificates(t.Context(), ca.Filter{}) {
			must(t, err)
			must(t, w.Revoke(t.Context(), revocationOf(r, ca.Superseded), event(audit.CertificateRevoked, r.Serial)))
			if r.Index == 1 {
				break
			}
		}
		if got := all(t, w.Revocations(t.Context(), payment)); len(got) != 2 {
			t.Errorf("got %d revocations, want 2", len(got))
		}
	}},
}

// The values that records and filters are made of. Some begin like others, so that
// a store that looks only at a prefix is found out.
var (
	somePartyIDs = []string{"acme", "acme-2", "acm", "bravo", ""}
	someIssuers  = []string{payment, service, "pay"}
	someProfiles = []string{"merchant", "merchant-server", "gateway"}
	someRoles    = []policy.Role{policy.Merchant, policy.Consumer, policy.Gateway}
	someNames    = []string{"shop.example", "a.shop.example", "192.0.2.1", "2001:db8::1", "spiffe://merchant.pay.example/acme"}
	someUses     = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageOCSPSigning, x509.ExtKeyUsageAny}
	someKeys     = [][32]byte{{1}, {0: 1, 31: 1}, {0: 1, 8: 1}, {2}}
)

func pick[T any](random *rand.Rand, of []T) T { return of[random.IntN(len(of))] }

func day(n int) time.Time { return epoch.AddDate(0, 0, n) }

func testFilters(t *testing.T, w *world) {
	const n = 600                         // more than a store reads at a time
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // a test that can be repeated
	records := make([]ca.Record, n)
	for i := range records {
		r := issuanceOf(w.intent()).Record
		r.Party, r.Issuer, r.Profile = pick(random, somePartyIDs), pick(random, someIssuers), pick(random, someProfiles)
		r.Role, r.SPKI = pick(random, someRoles), pick(random, someKeys)
		r.NotBefore = day(random.IntN(20))
		r.NotAfter = r.NotBefore.AddDate(0, 0, random.IntN(20))
		r.DER = certificateFor(t, r.Serial, pick(random, someUses), pick(random, someNames), pick(random, someNames))
		if random.IntN(3) == 0 {
			rev := revocationOf(r, ca.Superseded)
			r.Revocation = &rev
		}
		records[i] = r
	}
	must(t, together(n, func(i int) error {
		issued, err := w.issue(t.Context(), func(is *ca.Issuance) {
			is.Record, is.Event = records[i], event(audit.CertificateIssued, records[i].Serial)
		})
		if err != nil {
			return err
		}
		records[i].Index = issued.Index
		if rev := records[i].Revocation; rev != nil {
			return w.Revoke(t.Context(), *rev, event(audit.CertificateRevoked, rev.Serial))
		}
		return nil
	}))
	slices.SortFunc(records, func(a, b ca.Record) int { return cmp.Compare(a.Index, b.Index) })
	if got := all(t, w.Certificates(t.Context(), ca.Filter{})); !reflect.DeepEqual(got, records) {
		t.Fatalf("no filter: got %d records, want all %d as they were given", len(got), n)
	}
	for range 300 {
		f := someFilter(random, records)
		if got, want := indexes(all(t, w.Certificates(t.Context(), f))), indexes(selected(f, records)); !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", f, got, want)
		}
	}
}

func someFilter(random *rand.Rand, records []ca.Record) (f ca.Filter) {
	maybe := func(set func()) {
		if random.IntN(4) == 0 {
			set()
		}
	}
	maybe(func() { f.Party = pick(random, somePartyIDs) })
	maybe(func() { f.Issuer = pick(random, someIssuers) })
	maybe(func() { f.Profile = pick(random, someProfiles) })
	maybe(func() { f.Role = pick(random, someRoles) })
	maybe(func() { f.Kind = pick(random, ca.Kinds()) })
	maybe(func() { key := pick(random, someKeys); f.SPKI = &key })
	maybe(func() { revoked := random.IntN(2) == 0; f.Revoked = &revoked })
	maybe(func() { f.SAN = pick(random, someNames) })
	maybe(func() { f.ExpiresFrom = day(random.IntN(40)) })
	maybe(func() { f.ExpiresBefore = day(random.IntN(40)) })
	maybe(func() { f.ValidAt = day(random.IntN(40)) })
	if len(records) > 0 {
		maybe(func() { f.From, f.After = true, random.Uint64N(records[len(records)-1].Index+2) })
		maybe(func() { f.ByExpiry, f.AfterExpiry = true, pick(random, records).NotAfter })
	}
	maybe(func() { f.Limit = 1 + random.IntN(50) })
	return f
}

// selected is what a filter means.
func selected(f ca.Filter, records []ca.Record) (out []ca.Record) {
	byExpiry := func(a, b ca.Record) int {
		return cmp.Or(a.NotAfter.Compare(b.NotAfter), cmp.Compare(a.Index, b.Index))
	}
	if f.ByExpiry {
		records = slices.SortedFunc(slices.Values(records), byExpiry)
	}
	for _, r := range records {
		switch {
		case f.Party != "" && r.Party != f.Party,
			f.Issuer != "" && r.Issuer != f.Issuer,
			f.Profile != "" && r.Profile != f.Profile,
			f.Role != "" && r.Role != f.Role,
			f.Kind != "" && ca.CertificateKind(r.DER) != f.Kind,
			f.SPKI != nil && r.SPKI != *f.SPKI,
			f.Revoked != nil && *f.Revoked != (r.Revocation != nil),
			f.SAN != "" && !slices.Contains(ca.AlternativeNames(r.DER), f.SAN),
			!f.ExpiresFrom.IsZero() && r.NotAfter.Before(f.ExpiresFrom),
			!f.ExpiresBefore.IsZero() && !r.NotAfter.Before(f.ExpiresBefore),
			!f.ValidAt.IsZero() && (f.ValidAt.Before(r.NotBefore) || r.NotAfter.Before(f.ValidAt)),
			f.From && !f.ByExpiry && r.Index <= f.After,
			f.From && f.ByExpiry && byExpiry(r, ca.Record{NotAfter: f.AfterExpiry, Index: f.After}) <= 0,
			f.Limit > 0 && len(out) == f.Limit:
		default:
			out = append(out, r)
		}
	}
	return out
}

func indexes(records []ca.Record) (out []uint64) {
	for _, r := range records {
		out = append(out, r.Index)
	}
	return out
}
