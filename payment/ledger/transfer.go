package ledger

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"time"

	"github.com/payca/payca/payment/money"
)

// An ID names a transfer, and a hold by the transfer that made it. The zero value names none.
type ID [32]byte

// TransferID returns the SHA-256 of the parts, each after its length in eight
// octets, so that no two lists of parts have the same id.
func TransferID(parts ...string) ID {
	var b []byte
	for _, p := range parts {
		b = binary.BigEndian.AppendUint64(b, uint64(len(p)))
		b = append(b, p...)
	}
	return sha256.Sum256(b)
}

// String returns the id in hexadecimal digits.
func (id ID) String() string {
	return hex.EncodeToString(id[:])
}

// A Kind says what a transfer does. The zero value is refused.
type Kind int

// The kinds of transfers.
const (
	KindDirect  Kind = iota + 1 // moves an amount at once
	KindHold                    // sets an amount aside
	KindCapture                 // moves a part of a hold
	KindVoid                    // releases what is left of a hold, or forbids one that has not come yet
)

func (k Kind) String() string {
	switch k {
	case KindDirect:
		return "direct"
	case KindHold:
		return "hold"
	case KindCapture:
		return "capture"
	case KindVoid:
		return "void"
	}
	return "kind " + strconv.Itoa(int(k))
}

// A Transfer moves an amount from the account it debits to the one it credits,
// or one of the two phases of that.
type Transfer struct {
	ID            ID          // see TransferID
	Debit, Credit string      // accounts; a capture or a void may leave them out
	Amount        money.Money // none for a void; a capture may leave the currency out
	Code          string      // what it is for, at most 64 octets
	Kind          Kind        // what it does
	Hold          ID          // the hold, for a capture or a void
	Final         bool        // for a capture: release the rest of the hold
	Expires       time.Time   // for a hold: see ExpiredHolds; zero for never
	Time          time.Time   // when, as the caller says; no part of the content
	Ref           string      // a reference of the caller, at most 256 octets
}

// Transfer returns a transfer as it was posted first, or [ErrNotFound].
func (b *Book) Transfer(id ID) (Transfer, error) {
	t, err := b.tables()
	if err != nil {
		return Transfer{}, err
	}
	tr, found, err := t.transfer(id)
	if err == nil && !found {
		err = fmt.Errorf("transfer %v: %w", id, ErrNotFound)
	}
	return tr, err
}

// differs names the first field in which a transfer posted again differs from
// the first one, what a capture or a void may leave out aside.
func (t Transfer) differs(again Transfer) string {
	again = again.completed(t.Debit, t.Credit, t.Amount.Currency)
	switch {
	case t.Kind != again.Kind:
		return "kind"
	case t.Hold != again.Hold:
		return "hold"
	case t.Debit != again.Debit:
		return "debit"
	case t.Credit != again.Credit:
		return "credit"
	case t.Amount != again.Amount:
		return "amount"
	case t.Final != again.Final:
		return "final"
	case !t.Expires.Equal(again.Expires):
		return "expires"
	case t.Code != again.Code:
		return "code"
	case t.Ref != again.Ref:
		return "ref"
	}
	return ""
}

// completed fills in what a capture or a void left to its hold.
func (t Transfer) completed(debit, credit string, c money.Currency) Transfer {
	if t.Kind != KindCapture && t.Kind != KindVoid {
		return t
	}
	if t.Debit == "" {
		t.Debit = debit
	}
	if t.Credit == "" {
		t.Credit = credit
	}
	if t.Amount.Currency == "" {
		t.Amount.Currency = c
	}
	return t
}

// check refuses what no state of the book would accept, and returns the
// transfer with times as they read from the record. Amounts are checked once
// their currency is known.
func (t Transfer) check() (Transfer, error) {
	if t.Kind < KindDirect || t.Kind > KindVoid {
		return t, &Error{Field: "kind", Got: t.Kind.String(), Want: "direct, hold, capture or void"}
	}
	second := t.Kind == KindCapture || t.Kind == KindVoid
	least := 1
	if second {
		least = 0
	}
	for _, text := range []struct {
		field, value string
		least, most  int
	}{
		{"debit", t.Debit, least, maxAccountID},
		{"credit", t.Credit, least, maxAccountID},
		{"code", t.Code, 0, maxName},
		{"ref", t.Ref, 0, maxRef},
	} {
		if err := checkText(text.field, text.value, text.least, text.most); err != nil {
			return t, err
		}
	}
	switch {
	case t.Debit == t.Credit && t.Debit != "":
		return t, &Error{Field: "credit", Got: "the account that is debited", Want: "another account"}
	case second && t.Hold == ID{}:
		return t, &Error{Field: "hold", Got: "missing", Want: "the id of a hold"}
	case second && t.Hold == t.ID:
		return t, &Error{Field: "hold", Got: "the id of this transfer", Want: "the id of a hold"}
	case !second && t.Hold != ID{}:
		return t, &Error{Field: "hold", Got: t.Hold.String(), Want: "none but for a capture or a void"}
	case t.Final && t.Kind != KindCapture:
		return t, &Error{Field: "final", Got: "set", Want: "a capture, or not set"}
	case !t.Expires.IsZero() && t.Kind != KindHold:
		return t, &Error{Field: "expires", Got: "set", Want: "a hold, or not set"}
	}
	var err error
	if t.Expires, err = storable("expires", t.Expires); err == nil {
		t.Time, err = storable("time", t.Time)
	}
	return t, err
}

// noTime stands for the zero time in records.
const noTime = math.MinInt64

// storable returns the time in UTC to the nanosecond, as records hold it.
func storable(field string, t time.Time) (time.Time, error) {
	if t.IsZero() {
		return time.Time{}, nil
	}
	u := timeOf(t.UnixNano())
	if !u.Equal(t) {
		return t, &Error{Field: field, Got: t.UTC().Format(time.RFC3339), Want: "a time from 1678 to 2262"}
	}
	return u, nil
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func timeOf(n int64) time.Time {
	if n == noTime {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
