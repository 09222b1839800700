package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

var registry = []sentence{
	{"a party is registered once and found", func(t *testing.T, w *world) {
		want := party("acme")
		must(t, w.AddParty(t.Context(), want, audit.Event{Time: epoch, Kind: audit.PartyAdded}))
		other := want
		other.Name = "Other"
		wantError(t, w.AddParty(t.Context(), other, audit.Event{Time: epoch, Kind: audit.PartyAdded}), ca.ErrExists)
		if got, err := w.Party(t.Context(), "acme"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		_, err := w.Party(t.Context(), "acm")
		wantError(t, err, ca.ErrNotFound)
	}},
	{"only a registered party is changed", func(t *testing.T, w *world) {
		want := party("acme")
		wantError(t, w.UpdateParty(t.Context(), want, audit.Event{Time: epoch, Kind: audit.PartyChanged}), ca.ErrNotFound)
		_, err := w.Party(t.Context(), "acme")
		wantError(t, err, ca.ErrNotFound)
		must(t, w.AddParty(t.Context(), want, audit.Event{Time: epoch, Kind: audit.PartyAdded}))
		want.State, want.Addresses, want.Name = policy.Suspended, nil, "Acme & Söhne"
		must(t, w.UpdateParty(t.Context(), want, audit.Event{Time: epoch, Kind: audit.PartyChanged}))
		if got, err := w.Party(t.Context(), "acme"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		if got := len(leavesOf(t, w.Store)); got != 2 {
			t.Errorf("got %d events, want 2", got)
		}
	}},
	{"parties ascend by id after the cursor", func(t *testing.T, w *world) {
		const n = 300 // more than a store reads at a time
		want := make([]policy.Party, n)
		must(t, together(n, func(i int) error {
			want[i] = party(fmt.Sprintf("p%04d", i*2))
			return w.AddParty(t.Context(), want[i], audit.Event{Time: epoch, Kind: audit.PartyAdded})
		}))
		for after, skipped := range map[string]int{"": 0, "a": 0, "p0000": 1, "p0001": 1, "p0100": 51, "p0597": 299, "p0598": 300, "z": 300} {
			got := all(t, w.Parties(t.Context(), after))
			if len(got) != n-skipped || len(got) > 0 && !reflect.DeepEqual(got, want[skipped:]) {
				t.Errorf("after %q: got %d parties, want %d in order", after, len(got), n-skipped)
			}
		}
	}},
}

func party(id string) policy.Party {
	return policy.Party{
		ID: id, Role: policy.Merchant, Name: "Acme", DNSNames: []string{"shop.example"},
		Addresses: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, State: policy.Active, Created: epoch,
	}
}
