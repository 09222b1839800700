package ledger

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/payca/payca/payment/money"
)

// Records begin with their version. Integers have eight octets, big-endian;
// texts follow their length in two octets. One content has one encoding.
const version = 1

var states = []State{HoldOpen, HoldClosed, HoldVoided}

func appendInt(b []byte, n int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(n))
}

// appendText takes what checkText or the table of currencies bounded.
func appendText[T ~string](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// A reader takes a record apart. After the first thing that is missing all is zero, and bad.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.rest) < n {
		r.bad = true
		return make([]byte, min(n, 8)) // enough for integers
	}
	b := r.rest[:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) int() int64 {
	return int64(binary.BigEndian.Uint64(r.take(8)))
}

// count reads an integer that is never negative.
func (r *reader) count() int64 {
	n := r.int()
	r.bad = r.bad || n < 0
	return n
}

// octet reads one octet from low to high.
func (r *reader) octet(low, high byte) byte {
	b := r.take(1)[0]
	if b < low || b > high {
		r.bad = true
		return low
	}
	return b
}

func (r *reader) text() string {
	n := int(binary.BigEndian.Uint16(r.take(2)))
	b := r.take(n)
	if r.bad {
		return ""
	}
	return string(b)
}

func (r *reader) id() (id ID) {
	if b := r.take(len(id)); !r.bad {
		copy(id[:], b)
	}
	return id
}

// done says whether the whole record was read, and it was what it should be.
func (r *reader) done(record string, key any) error {
	if !r.bad && len(r.rest) == 0 {
		return nil
	}
	return &CorruptError{Record: fmt.Sprintf("%s %v", record, key), Field: "encoding", Got: "something else", Want: fmt.Sprintf("a record of version %d", version)}
}

func encodeAccount(a Account) []byte {
	b := make([]byte, 0, 64+len(a.Kind))
	b = append(b, version, byte(a.Rule))
	b = appendText(b, a.Kind)
	b = appendText(b, a.Currency)
	for _, n := range []int64{a.Limit, a.DebitsPosted, a.CreditsPosted, a.DebitsPending, a.CreditsPending} {
		b = appendInt(b, n)
	}
	return b
}

func decodeAccount(id string, value []byte) (Account, error) {
	r := reader{rest: value}
	r.octet(version, version)
	a := Account{ID: id, Rule: Rule(r.octet(byte(Unrestricted), byte(CreditLimit)))}
	a.Kind, a.Currency = r.text(), money.Currency(r.text())
	a.Limit = r.count()
	a.DebitsPosted, a.CreditsPosted = r.count(), r.count()
	a.DebitsPending, a.CreditsPending = r.count(), r.count()
	if err := r.done("account", id); err != nil {
		return Account{}, err
	}
	return a, nil
}

func encodeTransfer(t Transfer) []byte {
	b := make([]byte, 0, 80+len(t.Debit)+len(t.Credit)+len(t.Code)+len(t.Ref))
	b = append(b, version, byte(t.Kind))
	b = appendText(b, t.Debit)
	b = appendText(b, t.Credit)
	b = appendInt(b, t.Amount.Minor)
	b = appendText(b, t.Amount.Currency)
	b = appendText(b, t.Code)
	b = appendText(b, t.Ref)
	b = appendInt(b, nanos(t.Time))
	switch t.Kind {
	case KindHold:
		b = appendInt(b, nanos(t.Expires))
	case KindCapture, KindVoid:
		final := byte(0)
		if t.Final {
			final = 1
		}
		b = append(append(b, t.Hold[:]...), final)
	case KindDirect:
	}
	return b
}

func decodeTransfer(id ID, value []byte) (Transfer, error) {
	r := reader{rest: value}
	r.octet(version, version)
	t := Transfer{ID: id, Kind: Kind(r.octet(byte(KindDirect), byte(KindVoid)))}
	t.Debit, t.Credit = r.text(), r.text()
	t.Amount.Minor = r.count()
	t.Amount.Currency = money.Currency(r.text())
	t.Code, t.Ref = r.text(), r.text()
	t.Time = timeOf(r.int())
	switch t.Kind {
	case KindHold:
		t.Expires = timeOf(r.int())
	case KindCapture:
		t.Hold = r.id()
		t.Final = r.octet(0, 1) == 1
	case KindVoid:
		t.Hold = r.id()
		r.octet(0, 0)
	case KindDirect:
	}
	if err := r.done("transfer", id); err != nil {
		return Transfer{}, err
	}
	return t, nil
}

func encodeHold(h holdRecord) []byte {
	b := make([]byte, 0, 64+len(h.debit)+len(h.credit))
	b = append(b, version, byte(slices.Index(states, h.state)))
	b = appendText(b, h.debit)
	b = appendText(b, h.credit)
	b = appendText(b, h.currency)
	for _, n := range []int64{h.amount, h.remaining, h.captured, nanos(h.expires), int64(h.number)} {
		b = appendInt(b, n)
	}
	return b
}

func decodeHold(id ID, value []byte) (holdRecord, error) {
	r := reader{rest: value}
	r.octet(version, version)
	h := holdRecord{id: id, state: states[r.octet(0, byte(len(states)-1))]}
	h.debit, h.credit, h.currency = r.text(), r.text(), money.Currency(r.text())
	h.amount, h.remaining, h.captured = r.count(), r.count(), r.count()
	h.expires = timeOf(r.int())
	h.number = uint64(r.int())
	if err := r.done("hold", id); err != nil {
		return holdRecord{}, err
	}
	return h, nil
}

func encodeEntry(e Entry) []byte {
	b := make([]byte, 0, 3+len(e.Transfer)+24)
	b = append(b, version, byte(e.Kind), byte(e.Side))
	b = append(b, e.Transfer[:]...)
	b = appendInt(b, e.Posted)
	b = appendInt(b, e.Pending)
	return appendInt(b, nanos(e.Time))
}

// decodeEntry needs the key, too: it ends with a NUL and the number.
func decodeEntry(key, value []byte) (Entry, error) {
	n := len(key) - 9
	if n < 1 || key[n] != 0 {
		return Entry{}, &CorruptError{Record: fmt.Sprintf("entry %x", key), Field: "key", Got: "something else", Want: "an account and a number"}
	}
	r := reader{rest: value}
	r.octet(version, version)
	e := Entry{Account: string(key[:n]), Number: binary.BigEndian.Uint64(key[n+1:])}
	e.Kind = Kind(r.octet(byte(KindDirect), byte(KindVoid)))
	e.Side = Side(r.octet(byte(Debit), byte(Credit)))
	e.Transfer = r.id()
	e.Posted, e.Pending = r.count(), r.int()
	e.Time = timeOf(r.int())
	if err := r.done("entry", fmt.Sprintf("%q %d", e.Account, e.Number)); err != nil {
		return Entry{}, err
	}
	return e, nil
}
