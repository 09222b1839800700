package ledger

import (
	"fmt"
	"math/big"
	"strconv"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/money"
)

// totals are the four balances of an account, as something else than its record says.
type totals struct {
	debitsPosted, creditsPosted, debitsPending, creditsPending int64
}

// Check reads the whole book and returns the first thing that does not add up,
// as a [*CorruptError]: an account whose balances are not what its entries and
// its open holds say, or break its rule; an entry without its transfer; an
// index out of step; a hold that is not what its transfers say; a currency whose debits, posted or pending, are not its
// credits. It takes memory for all accounts and captured holds.
func (b *Book) Check() error {
	t, err := b.tables()
	if err != nil {
		return err
	}
	captured, err := t.sumCaptures()
	if err != nil {
		return err
	}
	entries, err := t.sumEntries()
	if err != nil {
		return err
	}
	holds, err := t.sumHolds(captured)
	if err != nil {
		return err
	}
	return t.checkAccounts(entries, holds)
}

// sumCaptures adds up what was captured of each hold, and counts the entries that there must be.
func (t tables) sumCaptures() (map[ID]int64, error) {
	sums := map[ID]int64{}
	var entries int64
	c := t.transfers.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if len(key) != len(ID{}) {
			return nil, &CorruptError{Record: fmt.Sprintf("transfer %x", key), Field: "key", Got: "something else", Want: "32 octets"}
		}
		tr, err := decodeTransfer(ID(key), value)
		if err != nil {
			return nil, err
		}
		id := tr.Hold
		switch tr.Kind {
		case KindDirect:
			entries += 2
			continue
		case KindHold:
			id = tr.ID
		case KindCapture:
			sums[id] += tr.Amount.Minor
		case KindVoid:
			sums[id] += 0 // so that a tombstone is known to have its void
		}
		h, found, err := t.hold(id)
		if err != nil {
			return nil, err
		}
		if !found {
			return nil, &CorruptError{Record: "hold " + id.String(), Field: "record", Got: "missing", Want: fmt.Sprintf("a hold, as transfer %v says", tr.ID)}
		}
		if !h.tombstone() {
			entries += 2
		}
	}
	if n := count(t.entries); n != entries {
		return nil, differs("entries", "number", n, entries)
	}
	return sums, nil
}

func (t tables) sumEntries() (map[string]totals, error) {
	sums := map[string]totals{}
	c := t.entries.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		e, err := decodeEntry(key, value)
		if err != nil {
			return nil, err
		}
		if err := t.checkEntry(e); err != nil {
			return nil, err
		}
		s := sums[e.Account]
		if e.Side == Debit {
			s.debitsPosted, s.debitsPending = s.debitsPosted+e.Posted, s.debitsPending+e.Pending
		} else {
			s.creditsPosted, s.creditsPending = s.creditsPosted+e.Posted, s.creditsPending+e.Pending
		}
		sums[e.Account] = s
	}
	return sums, nil
}

// checkEntry compares an entry with its transfer, and with the entry on the other side.
func (t tables) checkEntry(e Entry) error {
	name := fmt.Sprintf("entry %q %d", e.Account, e.Number)
	tr, found, err := t.transfer(e.Transfer)
	if err != nil {
		return err
	}
	if !found {
		return &CorruptError{Record: name, Field: "transfer", Got: "missing", Want: e.Transfer.String()}
	}
	account, other := tr.Debit, tr.Credit
	if e.Side == Credit {
		account, other = other, account
	}
	if e.Account != account || e.Kind != tr.Kind {
		return &CorruptError{Record: name, Field: "transfer", Got: "a " + e.Kind.String() + " of another account", Want: fmt.Sprintf("a %v of %q", tr.Kind, account)}
	}
	posted, pending, exact := tr.Amount.Minor, int64(0), true
	switch tr.Kind {
	case KindHold:
		posted, pending = 0, posted
	case KindCapture:
		pending, exact = -posted, !tr.Final
	case KindVoid:
		exact = false
	case KindDirect:
	}
	if e.Posted != posted {
		return differs(name, "posted", e.Posted, posted)
	}
	if e.Pending != pending && (exact || e.Pending > pending) {
		return differs(name, "pending", e.Pending, pending)
	}
	value := t.entries.Get(accountKey(other, e.Number))
	if value == nil {
		return &CorruptError{Record: name, Field: "other side", Got: "missing", Want: "an entry of " + strconv.Quote(other)}
	}
	o, err := decodeEntry(accountKey(other, e.Number), value)
	if err != nil {
		return err
	}
	if o.Transfer != e.Transfer || o.Side == e.Side || o.Pending != e.Pending {
		return &CorruptError{Record: name, Field: "other side", Got: "another entry", Want: "the same amounts of the same transfer"}
	}
	return nil
}

// sumHolds adds up what is pending, and compares the indexes with the holds.
func (t tables) sumHolds(captured map[ID]int64) (map[string]totals, error) {
	sums := map[string]totals{}
	var open, expiring int64
	c := t.holds.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		if len(key) != len(ID{}) {
			return nil, &CorruptError{Record: fmt.Sprintf("hold %x", key), Field: "key", Got: "something else", Want: "32 octets"}
		}
		h, err := decodeHold(ID(key), value)
		if err != nil {
			return nil, err
		}
		if _, known := captured[h.id]; h.tombstone() && !known {
			return nil, &CorruptError{Record: "hold " + h.id.String(), Field: "void", Got: "missing", Want: "one for a tombstone"}
		}
		if err := t.checkHold(h, captured[h.id]); err != nil {
			return nil, err
		}
		if h.state != HoldOpen {
			continue
		}
		open += 2
		if !h.expires.IsZero() {
			expiring++
		}
		s := sums[h.debit]
		s.debitsPending += h.remaining
		sums[h.debit] = s
		s = sums[h.credit]
		s.creditsPending += h.remaining
		sums[h.credit] = s
	}
	if n := count(t.open); n != open {
		return nil, differs("index of holds by account", "size", n, open)
	}
	if n := count(t.expiry); n != expiring {
		return nil, differs("index of holds by expiry", "size", n, expiring)
	}
	return sums, nil
}

// count counts keys. Bucket.Stats would not see what this transaction wrote.
func count(b *bbolt.Bucket) (n int64) {
	c := b.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		n++
	}
	return n
}

// checkHold compares a hold with the transfer that made it, with what was captured of it, and with the indexes.
func (t tables) checkHold(h holdRecord, captured int64) error {
	name := "hold " + h.id.String()
	tr, found, err := t.transfer(h.id)
	switch {
	case err != nil:
		return err
	case found == h.tombstone() || found && tr.Kind != KindHold:
		return &CorruptError{Record: name, Field: "transfer", Got: "missing, or another", Want: "one that made it, but none for a tombstone"}
	case h.debit != tr.Debit || h.credit != tr.Credit || h.currency != tr.Amount.Currency || !h.expires.Equal(tr.Expires):
		return &CorruptError{Record: name, Field: "content", Got: "another", Want: "that of the transfer that made it"}
	case h.amount != tr.Amount.Minor:
		return differs(name, "amount", h.amount, tr.Amount.Minor)
	case h.captured != captured:
		return differs(name, "captured", h.captured, captured)
	}
	state, remaining := h.state, int64(0)
	if h.state == HoldOpen {
		remaining = h.amount - captured
	} else if state = HoldVoided; captured > 0 {
		state = HoldClosed
	}
	if h.remaining != remaining || h.state == HoldOpen && remaining <= 0 {
		return differs(name, "remaining", h.remaining, remaining)
	}
	if h.state != state {
		return &CorruptError{Record: name, Field: "state", Got: string(h.state), Want: string(state)}
	}
	if h.state != HoldOpen {
		return nil
	}
	if string(t.open.Get(accountKey(h.debit, h.number))) != string(h.id[:]) || string(t.open.Get(accountKey(h.credit, h.number))) != string(h.id[:]) {
		return &CorruptError{Record: name, Field: "index by account", Got: "without it", Want: "an open hold on both accounts"}
	}
	if !h.expires.IsZero() && t.expiry.Get(expiryKey(h.expires, h.id)) == nil {
		return &CorruptError{Record: name, Field: "index by expiry", Got: "without it", Want: h.expires.String()}
	}
	return nil
}

// checkAccounts compares every account with both sums, and strikes the trial balance.
func (t tables) checkAccounts(entries, holds map[string]totals) error {
	posted, pending := map[money.Currency]*big.Int{}, map[money.Currency]*big.Int{} // credits less debits
	c := t.accounts.Cursor()
	for key, value := c.First(); key != nil; key, value = c.Next() {
		a, err := decodeAccount(string(key), value)
		if err != nil {
			return err
		}
		if err := checkBalances(a, entries[a.ID], holds[a.ID]); err != nil {
			return err
		}
		delete(entries, a.ID)
		delete(holds, a.ID)
		if posted[a.Currency] == nil {
			posted[a.Currency], pending[a.Currency] = new(big.Int), new(big.Int)
		}
		posted[a.Currency].Add(posted[a.Currency], big.NewInt(a.CreditsPosted-a.DebitsPosted))
		pending[a.Currency].Add(pending[a.Currency], big.NewInt(a.CreditsPending-a.DebitsPending))
	}
	for _, orphans := range []map[string]totals{entries, holds} {
		for id := range orphans {
			return &CorruptError{Record: "account " + strconv.Quote(id), Field: "record", Got: "missing", Want: "an account, since something was posted to it"}
		}
	}
	for currency := range posted {
		if posted[currency].Sign() != 0 || pending[currency].Sign() != 0 {
			return &CorruptError{Record: "trial balance in " + string(currency), Field: "credits less debits", Got: fmt.Sprintf("%v posted, %v pending", posted[currency], pending[currency]), Want: "0"}
		}
	}
	return nil
}

func checkBalances(a Account, entries, holds totals) error {
	name := "account " + strconv.Quote(a.ID)
	for _, f := range []struct {
		field     string
		got, want int64
	}{
		{"debits posted", a.DebitsPosted, entries.debitsPosted},
		{"credits posted", a.CreditsPosted, entries.creditsPosted},
		{"debits pending", a.DebitsPending, entries.debitsPending},
		{"credits pending", a.CreditsPending, entries.creditsPending},
		{"debits pending in holds", a.DebitsPending, holds.debitsPending},
		{"credits pending in holds", a.CreditsPending, holds.creditsPending},
	} {
		if f.got != f.want {
			return differs(name, f.field, f.got, f.want)
		}
	}
	if a.Available() < 0 {
		return &CorruptError{Record: name, Field: "available", Got: strconv.FormatInt(a.Available(), 10), Want: "0 or more under the rule " + a.Rule.String()}
	}
	return nil
}

func differs(record, field string, got, want int64) error {
	return &CorruptError{Record: record, Field: field, Got: strconv.FormatInt(got, 10), Want: strconv.FormatInt(want, 10)}
}
