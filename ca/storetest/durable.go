package storetest

import (
	"errors"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// A durableSentence is a promise about a store that is closed and opened again.
type durableSentence struct {
	name string
	test func(t *testing.T, path string, open func(*testing.T, string) ca.Store)
}

var durable = []durableSentence{
	{"everything is there after the store was closed and opened again", testReopen},
	{"a closed store refuses writes", func(t *testing.T, path string, open func(*testing.T, string) ca.Store) {
		w := newWorld(t, open(t, path))
		w.mustIssue(t, nil)
		must(t, w.Close())
		if err := w.Reserve(t.Context(), w.intent()); err == nil {
			t.Error("got nil from Reserve after Close, want an error")
		}
		if _, err := w.BySerial(t.Context(), w.serial()); err == nil || errors.Is(err, ca.ErrNotFound) {
			t.Errorf("got %v from BySerial after Close, want an error that is not %v", err, ca.ErrNotFound)
		}
	}},
	{"an empty store is empty when it is opened again", func(t *testing.T, path string, open func(*testing.T, string) ca.Store) {
		store := open(t, path)
		want := Dump(t, store)
		must(t, store.Close())
		store = open(t, path)
		if got := Dump(t, store); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
		must(t, store.Close())
	}},
}

func testReopen(t *testing.T, path string, open func(*testing.T, string) ca.Store) {
	w := newWorld(t, open(t, path))
	for _, id := range []string{"one", "two"} {
		must(t, w.one(t.Context(), id))
	}
	must(t, w.AddToken(t.Context(), token("unused"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	reserved, closed := w.mustReserve(t), w.mustReserve(t)
	must(t, w.CloseIntent(t.Context(), closing(closed), event(audit.IntentClosed, closed.Serial)))
	issued := w.mustIssue(t, func(is *ca.Issuance) { is.Record.Issuer = service })
	number, err := w.NextCRLNumber(t.Context(), payment, audit.Event{Time: epoch, Kind: audit.CRLSigned})
	must(t, err)
	tokenIDs := []string{"one", "two", "unused", "gone"}
	want := Dump(t, w.Store, tokenIDs...)

	for range 2 {
		must(t, w.Close())
		w.Store = open(t, path)
		if got := Dump(t, w.Store, tokenIDs...); got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	}
	w.wantSound(t)
	for _, serial := range []ca.Serial{reserved.Serial, closed.Serial, issued.Serial} {
		in := w.intent()
		in.Serial = serial
		wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
	}
	_, err = w.issue(t.Context(), func(is *ca.Issuance) { is.Token = "one" })
	if used := (*ca.TokenUsedError)(nil); !errors.As(err, &used) || used.By.Party != "one" {
		t.Errorf("got %v, want *ca.TokenUsedError naming one", err)
	}
	if next, err := w.NextCRLNumber(t.Context(), payment, audit.Event{Time: epoch, Kind: audit.CRLSigned}); err != nil || next <= number {
		t.Errorf("got CRL number %d, %v, want more than %d", next, err, number)
	}
	_, err = w.Issue(t.Context(), issuanceOf(reserved))
	must(t, err)
	w.wantSound(t)
	must(t, w.Close())
}
