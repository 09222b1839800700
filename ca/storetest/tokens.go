package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
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
	{"tokens are listed by id, from a cursor on, whatever became of them", testListTokens},
	{"a token that was cancelled redeems nothing, and is not cancelled twice", testCancelToken},
	{"one of use and cancellation at once wins, and the other learns of it", testCancelAtOnce},
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

func testListTokens(t *testing.T, w *world) {
	for _, id := range []string{"b", "d", "a", "c"} {
		must(t, w.AddToken(t.Context(), token(id), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	}
	must(t, w.CancelToken(t.Context(), "c", ca.TokenCancellation{By: "local", At: epoch}, audit.Event{Time: epoch, Kind: audit.TokenCancelled}))
	w.mustIssue(t, func(is *ca.Issuance) {
		is.Token, is.Use = "d", ca.TokenUse{Party: "acme", At: epoch, Serial: is.Record.Serial}
	})
	for _, tt := range []struct{ after, want string }{
		{"", "a open, b open, c cancelled, d used, "},
		{"a", "b open, c cancelled, d used, "},
		{"bb", "c cancelled, d used, "},
		{"d", ""},
	} {
		var got strings.Builder
		for _, token := range all(t, w.Tokens(t.Context(), tt.after)) {
			got.WriteString(token.ID + " " + token.State(epoch) + ", ")
		}
		if got.String() != tt.want {
			t.Errorf("after %q: got %q, want %q", tt.after, got.String(), tt.want)
		}
	}
}

func testCancelToken(t *testing.T, w *world) {
	first := ca.TokenCancellation{By: "spiffe://operator.pay.example/ann", At: epoch}
	event := audit.Event{Time: epoch, Kind: audit.TokenCancelled}
	wantError(t, w.CancelToken(t.Context(), "a", first, event), ca.ErrNotFound)
	must(t, w.AddToken(t.Context(), token("a"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	must(t, w.CancelToken(t.Context(), "a", first, event))
	before := Dump(t, w.Store, "a")
	cancelled := (*ca.TokenCancelledError)(nil)
	for what, err := range map[string]error{
		"cancelling again": w.CancelToken(t.Context(), "a", ca.TokenCancellation{By: "bob", At: epoch.Add(time.Hour)}, event),
		"asking for approval": func() error {
			_, err := w.AddRequest(t.Context(), ca.ApprovalRequest{ID: "r", Token: "a", State: ca.RequestPending}, event)
			return err
		}(),
	} {
		if !errors.As(err, &cancelled) || cancelled.ID != "a" || cancelled.By != first {
			t.Errorf("%s: got %v, want *ca.TokenCancelledError naming the first", what, err)
		}
	}
	if after := Dump(t, w.Store, "a"); after != before {
		t.Errorf("got %s, want %s", after, before)
	}
	_, err := w.issue(t.Context(), func(is *ca.Issuance) { is.Token, is.Use = "a", ca.TokenUse{Party: "acme", At: epoch} })
	if !errors.As(err, &cancelled) {
		t.Errorf("got %v, want *ca.TokenCancelledError", err)
	}
	if records := all(t, w.Certificates(t.Context(), ca.Filter{})); len(records) != 0 {
		t.Errorf("got %d certificates, want none", len(records))
	}
}

func testCancelAtOnce(t *testing.T, w *world) {
	for i := range 20 {
		id := fmt.Sprint("t", i)
		must(t, w.AddToken(t.Context(), token(id), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
		var issuing, cancelling error
		_ = together(2, func(i int) error {
			if i == 0 {
				_, issuing = w.issue(t.Context(), func(is *ca.Issuance) { is.Token, is.Use = id, ca.TokenUse{Party: "acme", At: epoch} })
			} else {
				cancelling = w.CancelToken(t.Context(), id, ca.TokenCancellation{By: "local", At: epoch}, audit.Event{Time: epoch, Kind: audit.TokenCancelled})
			}
			return nil
		})
		switch {
		case issuing == nil && errors.As(cancelling, new(*ca.TokenUsedError)):
		case cancelling == nil && errors.As(issuing, new(*ca.TokenCancelledError)):
		default:
			t.Errorf("issuing: %v, cancelling: %v, want one of them to succeed and the other to say so", issuing, cancelling)
		}
	}
}
