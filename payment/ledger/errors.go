package ledger

import (
	"errors"
	"fmt"

	"github.com/payca/payca/payment/money"
)

// ErrNotFound says that no account, transfer or hold has the id.
var ErrNotFound = errors.New("not found")

// errNoBuckets says that [Create] never ran in this database.
var errNoBuckets = errors.New("database without ledger buckets, want one that ledger.Create prepared")

// An Error says why an account or a transfer is refused whatever the book holds.
type Error struct {
	Field string // such as "debit"
	Got   string // what was found
	Want  string // what would be right
}

func (e *Error) Error() string {
	return fmt.Sprintf("bad ledger record: %s is %s, want %s", e.Field, e.Got, e.Want)
}

// A ConflictError says that the id of an account or a transfer is in use for another one.
type ConflictError struct {
	Record string // "account" or "transfer"
	ID     string // of both
	Field  string // the first field that differs
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s %s exists with another %s, want the same content or another id", e.Record, e.ID, e.Field)
}

// An InsufficientError says that a transfer would break the rule of the account it debits.
type InsufficientError struct {
	Account   string
	Available money.Money // what could be debited
	Want      money.Money // what the transfer asked for
}

func (e *InsufficientError) Error() string {
	return fmt.Sprintf("account %q: %v asked for, want at most the %v available", e.Account, e.Want, e.Available)
}

// An ExceedsHoldError says that a capture asked for more than its hold has left.
type ExceedsHoldError struct {
	Hold      ID
	Remaining money.Money // what could be captured
	Want      money.Money // what the capture asked for
}

func (e *ExceedsHoldError) Error() string {
	return fmt.Sprintf("hold %v: %v asked for, want at most the %v remaining", e.Hold, e.Want, e.Remaining)
}

// A HoldStateError says that a hold is no longer open, or was voided before it came.
type HoldStateError struct {
	Hold  ID
	State State
}

func (e *HoldStateError) Error() string {
	return fmt.Sprintf("hold %v is %s, want one that is open", e.Hold, e.State)
}

// An OverflowError says that the lifetime totals of an account have no room for a transfer.
type OverflowError struct {
	Account string
}

func (e *OverflowError) Error() string {
	return fmt.Sprintf("account %q: total beyond %d minor units, want a new account", e.Account, int64(maxTotal))
}

// A CorruptError says that a stored record cannot be what this package wrote,
// or that it contradicts another one.
type CorruptError struct {
	Record string // which record
	Field  string // which part of it
	Got    string // what was found
	Want   string // what would be right
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("corrupt ledger: %s: %s is %s, want %s", e.Record, e.Field, e.Got, e.Want)
}
