package ledger_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
)

func TestTransferIDTellsListsOfPartsApart(t *testing.T) {
	t.Parallel()
	seen := map[ledger.ID][]string{}
	for _, parts := range [][]string{nil, {""}, {"", ""}, {"ab"}, {"a", "b"}, {"b", "a"}, {"", "ab"}, {"ab", ""}} {
		got := ledger.TransferID(parts...)
		if got == (ledger.ID{}) || seen[got] != nil || got != ledger.TransferID(parts...) {
			t.Errorf("%q: got %v, which is zero, unstable or that of %q", parts, got, seen[got])
		}
		seen[got] = append([]string{}, parts...)
	}
	// printf '\0\0\0\0\0\0\0\001a' | sha256sum
	if got, want := ledger.TransferID("a").String(), "3b196fd4907bedf51c3090e9835f2f7cb61e7ee1b2299ea3b8fed9b4183a822a"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestOpen(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		post(t, b, direct("load", "bank", "wallet", 100))
		for _, a := range accounts() {
			if err := b.Open(a); err != nil {
				t.Errorf("opening %q again: got %v, want nil", a.ID, err)
			}
		}
		if got := balances(t, b, "wallet"); got != [4]int64{0, 0, 100, 0} {
			t.Errorf("got %v, want the balances as they were", got)
		}
		good := accounts()[3]
		for field, change := range map[string]func(a *ledger.Account){
			"kind":     func(a *ledger.Account) { a.Kind = "other" },
			"currency": func(a *ledger.Account) { a.Currency = "EUR" },
			"rule":     func(a *ledger.Account) { a.Rule, a.Limit = ledger.NoOverdraft, 0 },
			"limit":    func(a *ledger.Account) { a.Limit++ },
		} {
			a := good
			change(&a)
			if e, ok := errors.AsType[*ledger.ConflictError](b.Open(a)); !ok || e.Field != field {
				t.Errorf("another %s: got %v, want a conflict", field, e)
			}
		}
		for name, a := range map[string]ledger.Account{
			"no id":           {Currency: "CNY", Rule: ledger.NoOverdraft},
			"long id":         {ID: strings.Repeat("x", 129), Currency: "CNY", Rule: ledger.NoOverdraft},
			"NUL in id":       {ID: "a\x00b", Currency: "CNY", Rule: ledger.NoOverdraft},
			"not UTF-8":       {ID: "a\xff", Currency: "CNY", Rule: ledger.NoOverdraft},
			"no rule":         {ID: "x", Currency: "CNY"},
			"strange rule":    {ID: "x", Currency: "CNY", Rule: 4},
			"needless limit":  {ID: "x", Currency: "CNY", Rule: ledger.NoOverdraft, Limit: 1},
			"negative limit":  {ID: "x", Currency: "CNY", Rule: ledger.CreditLimit, Limit: -1},
			"limit too large": {ID: "x", Currency: "CNY", Rule: ledger.CreditLimit, Limit: money.MaxMinor + 1},
			"not empty":       {ID: "x", Currency: "CNY", Rule: ledger.NoOverdraft, CreditsPosted: 1},
		} {
			if _, ok := errors.AsType[*ledger.Error](b.Open(a)); !ok {
				t.Errorf("%s: got %v, want a refusal", name, b.Open(a))
			}
		}
		if _, ok := errors.AsType[*money.Error](b.Open(ledger.Account{ID: "x", Currency: "XXX", Rule: ledger.NoOverdraft})); !ok {
			t.Error("unknown currency was not refused")
		}
	})
}
