package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

var tokens = []sentence{
	{"a token is recorded once and found", func(t *testing.T, w *world) {
		want := token("a")
		must(t, w.AddToken(t.Context(), want, audit.Event{Time: epoch, Kind: audit.TokenCreated}))
		other := want
		other.Party = "bravo"
		wantError(t, w.AddToken(t.Context(), other, audit.Event{Time: epoch, Kind: audit.TokenCreated}), ca.ErrExists)
		if got, err := w.Token(t.Context(), "a"); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
		_, err := w.Token(t.Context(), "b")
		wantError(t, err, ca.ErrNotFound)
	}},
	{"an unknown token issues nothing", func(t *testing.T, w *world) {
		in := w.mustReserve(t)
		before := Dump(t, w.Store, "gone")
		is := issuanceOf(in)
		is.Token = "gone"
		_, err := w.Issue(t.Context(), is)
		wantError(t, err, ca.ErrNotFound)
		if after := Dump(t, w.Store, "gone"); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	}},
	{"a certificate without an intent leaves its token unused", func(t *testing.T, w *world) {
		must(t, w.AddToken(t.Context(), token("a"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
		is := issuanceOf(w.intent())
		is.Token = "a"
		_, err := w.Issue(t.Context(), is)
		wantError(t, err, ca.ErrNoIntent)
		if got, err := w.Token(t.Context(), "a"); err != nil || got.Used != nil {
			t.Errorf("got %+v, %v, want it unused", got, err)
		}
	}},
	{"tokens that ended are collected, oldest first, and nothing else", testCollect},
	{"collecting and adding at once loses no token that still counts", testCollectAtOnce},
	{"one of a hundred that redeem a token gets the certificate, the others learn who", testRedeem},
}

func token(id string) ca.Token {
	return ca.Token{ID: id, Party: "acme", Profile: "merchant", NotAfter: epoch.Add(time.Hour), By: "local"}
}

func testRedeem(t *testing.T, w *world) {
	const callers = 100
	must(t, w.AddToken(t.Context(), token("a"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	uses, refused := make([]ca.TokenUse, callers), make([]error, callers)
	_ = together(callers, func(i int) error {
		_, refused[i] = w.issue(t.Context(), func(is *ca.Issuance) {
			uses[i] = ca.TokenUse{Party: "acme", From: fmt.Sprintf("192.0.2.%d:443", i), At: epoch, Serial: is.Record.Serial}
			is.Token, is.Use = "a", uses[i]
		})
		return nil
	})
	records := all(t, w.Certificates(t.Context(), ca.Filter{}))
	if len(records) != 1 {
		t.Fatalf("got %d certificates, want 1", len(records))
	}
	got, err := w.Token(t.Context(), "a")
	must(t, err)
	if got.Used == nil || got.Used.Serial != records[0].Serial {
		t.Fatalf("got token use %+v, want that of certificate %s", got.Used, records[0].Serial)
	}
	won := 0
	for i, err := range refused {
		used := (*ca.TokenUsedError)(nil)
		switch {
		case err == nil:
			if won++; uses[i] != *got.Used {
				t.Errorf("got winner %+v, token says %+v", uses[i], *got.Used)
			}
		case !errors.As(err, &used):
			t.Errorf("got %v, want *ca.TokenUsedError", err)
		case used.ID != "a" || used.By != *got.Used:
			t.Errorf("got %+v, want it to name %+v", used, *got.Used)
		}
	}
	if won != 1 {
		t.Errorf("got %d winners, want 1", won)
	}
	if intents, err := w.Intents(t.Context()); err != nil || len(intents) != callers-1 {
		t.Errorf("got %d open intents, %v, want %d", len(intents), err, callers-1)
	}
}
