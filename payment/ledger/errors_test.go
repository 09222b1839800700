package ledger_test

import (
	"strings"
	"testing"

	"github.com/payca/payca/payment/ledger"
)

func TestErrorsSayWhatWouldBeValid(t *testing.T) {
	t.Parallel()
	digits := strings.Repeat("00", 32)
	for _, tt := range []struct {
		err  error
		want string
	}{
		{&ledger.Error{Field: "kind", Got: ledger.Kind(7).String(), Want: "direct"}, "bad ledger record: kind is kind 7, want direct"},
		{
			&ledger.ConflictError{Record: "account", ID: `"a"`, Field: ledger.Debit.String()},
			`account "a" exists with another debit, want the same content or another id`,
		},
		{
			&ledger.InsufficientError{Account: "a", Available: cny(5), Want: cny(6)},
			`account "a": 0.06 CNY asked for, want at most the 0.05 CNY available`,
		},
		{
			&ledger.ExceedsHoldError{Remaining: cny(5), Want: cny(6)},
			"hold " + digits + ": 0.06 CNY asked for, want at most the 0.05 CNY remaining",
		},
		{&ledger.HoldStateError{State: ledger.HoldVoided}, "hold " + digits + " is voided, want one that is open"},
		{&ledger.OverflowError{Account: "a"}, `account "a": total beyond 4611686018427387904 minor units, want a new account`},
		{&ledger.CorruptError{Record: "r", Field: "f", Got: "1", Want: "2"}, "corrupt ledger: r: f is 1, want 2"},
	} {
		if got := tt.err.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}
