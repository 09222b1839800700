package ledger

import (
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/payca/payca/payment/money"
)

// A Rule says how far an account may be debited. The zero value is no rule and is refused.
type Rule int

// The rules of accounts.
const (
	Unrestricted Rule = iota + 1 // debits without limit, for accounts that face the outside
	NoOverdraft                  // debits, posted and pending, never exceed posted credits
	CreditLimit                  // the same, with Account.Limit on top of the credits
)

func (r Rule) String() string {
	switch r {
	case Unrestricted:
		return "unrestricted"
	case NoOverdraft:
		return "no-overdraft"
	case CreditLimit:
		return "credit-limit"
	}
	return "rule " + strconv.Itoa(int(r))
}

// The longest texts that are accepted, in octets.
const (
	maxAccountID = 128
	maxName      = 64 // a kind of account, a code
	maxRef       = 256
)

// maxTotal bounds posted plus pending on each side of an account: 512 times
// the largest amount, and two of them still fit into an int64.
const maxTotal = 1 << 62

// An Account has a side for debits and one for credits; what it is worth is
// the difference. Totals only ever grow, those of pending transfers excepted.
type Account struct {
	ID       string         // 1 to 128 octets of printable UTF-8
	Kind     string         // a label of the caller, at most 64 octets
	Currency money.Currency // of every transfer
	Rule     Rule
	Limit    int64 // minor units, for CreditLimit only

	DebitsPosted, CreditsPosted   int64 // moved
	DebitsPending, CreditsPending int64 // held
}

// Balance returns posted credits less posted debits.
func (a Account) Balance() int64 {
	return a.CreditsPosted - a.DebitsPosted
}

// Available returns how much can still be debited under the rule, at most [money.MaxMinor].
func (a Account) Available() int64 {
	available := a.CreditsPosted - a.DebitsPosted - a.DebitsPending // not less than -maxTotal
	switch a.Rule {
	case Unrestricted:
		return money.MaxMinor
	case CreditLimit:
		available += a.Limit
	case NoOverdraft:
	}
	return min(available, money.MaxMinor)
}

// Open opens an account, whose balances must be zero. Opening it again with
// the same content does nothing, with other content it is a [*ConflictError].
func (b *Book) Open(a Account) error {
	t, err := b.writable()
	if err != nil {
		return err
	}
	if err := a.check(); err != nil {
		return err
	}
	old, err := t.account(a.ID)
	if errors.Is(err, ErrNotFound) {
		return t.putAccount(a)
	}
	if err != nil {
		return err
	}
	if field := old.differs(a); field != "" {
		return &ConflictError{Record: "account", ID: strconv.Quote(a.ID), Field: field}
	}
	return nil
}

// Account returns an account as it is now, or [ErrNotFound].
func (b *Book) Account(id string) (Account, error) {
	t, err := b.tables()
	if err != nil {
		return Account{}, err
	}
	return t.account(id)
}

func (b *Book) writable() (tables, error) {
	if !b.tx.Writable() {
		return tables{}, bolterrors.ErrTxNotWritable
	}
	return b.tables()
}

func (t tables) putAccount(a Account) error {
	if err := t.accounts.Put([]byte(a.ID), encodeAccount(a)); err != nil {
		return fmt.Errorf("writing account %q: %w", a.ID, err)
	}
	return nil
}

func (a Account) check() error {
	if err := checkText("account", a.ID, 1, maxAccountID); err != nil {
		return err
	}
	if err := checkText("kind of account", a.Kind, 0, maxName); err != nil {
		return err
	}
	if _, err := money.ParseCurrency(string(a.Currency)); err != nil {
		return err
	}
	if a.Rule < Unrestricted || a.Rule > CreditLimit {
		return &Error{Field: "rule", Got: a.Rule.String(), Want: "unrestricted, no-overdraft or credit-limit"}
	}
	if a.Limit < 0 || a.Limit > money.MaxMinor || a.Rule != CreditLimit && a.Limit != 0 {
		return &Error{Field: "limit", Got: strconv.FormatInt(a.Limit, 10), Want: "0, or at most 1<<53 - 1 with the rule credit-limit"}
	}
	if a.DebitsPosted != 0 || a.CreditsPosted != 0 || a.DebitsPending != 0 || a.CreditsPending != 0 {
		return &Error{Field: "balance", Got: "set", Want: "an account that opens empty"}
	}
	return nil
}

// differs names the first field in which two accounts differ, balances aside.
func (a Account) differs(o Account) string {
	switch {
	case a.Kind != o.Kind:
		return "kind"
	case a.Currency != o.Currency:
		return "currency"
	case a.Rule != o.Rule:
		return "rule"
	case a.Limit != o.Limit:
		return "limit"
	}
	return ""
}

// checkText accepts printable UTF-8, so that a NUL can end an id in a key.
func checkText(field, s string, least, most int) error {
	if len(s) < least || len(s) > most {
		return &Error{Field: field, Got: fmt.Sprintf("%d octets long", len(s)), Want: fmt.Sprintf("%d to %d", least, most)}
	}
	if !utf8.ValidString(s) {
		return &Error{Field: field, Got: strconv.Quote(s), Want: "UTF-8"}
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return &Error{Field: field, Got: strconv.Quote(s), Want: "printable characters"}
		}
	}
	return nil
}
