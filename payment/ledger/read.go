package ledger

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"iter"
	"strconv"
	"time"

	"go.etcd.io/bbolt"
)

// A Side is one of the two sides of an account.
type Side int

// The sides of an account.
const (
	Debit  Side = iota + 1 // what it gives
	Credit                 // what it gets
)

func (s Side) String() string {
	switch s {
	case Debit:
		return "debit"
	case Credit:
		return "credit"
	}
	return "side " + strconv.Itoa(int(s))
}

// An Entry is what one transfer did to one account. Its currency is that of the account.
type Entry struct {
	Number   uint64 // of the posting; both entries of a transfer have the same
	Account  string
	Transfer ID
	Kind     Kind
	Side     Side
	Posted   int64     // minor units added to what was posted on the side
	Pending  int64     // minor units added to what is pending on the side; negative when a hold shrinks
	Time     time.Time // of the transfer
}

func (t tables) putEntry(e Entry) error {
	if err := t.entries.Put(accountKey(e.Account, e.Number), encodeEntry(e)); err != nil {
		return fmt.Errorf("writing entry %d of account %q: %w", e.Number, e.Account, err)
	}
	return nil
}

// Entries yields the entries of an account in the order of posting: those with
// a Number greater than after, at most limit of them, or all if limit is not
// positive. An error comes last. Posting while ranging is allowed.
func (b *Book) Entries(account string, after uint64, limit int) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		t, err := b.tables()
		if err == nil {
			_, err = t.account(account)
		}
		if err != nil {
			yield(Entry{}, err)
			return
		}
		left := limit
		for key, value := range scan(t.entries, accountKey(account, 0)[:len(account)+1], accountKey(account, after)) {
			e, err := decodeEntry(key, value)
			if !yield(e, err) || err != nil {
				return
			}
			if left--; left == 0 {
				return
			}
		}
	}
}

// Holds yields the open holds on an account, on either side, in the order of
// posting. An error comes last. Posting while ranging is allowed.
func (b *Book) Holds(account string) iter.Seq2[Hold, error] {
	return func(yield func(Hold, error) bool) {
		t, err := b.tables()
		if err == nil {
			_, err = t.account(account)
		}
		if err != nil {
			yield(Hold{}, err)
			return
		}
		for _, value := range scan(t.open, accountKey(account, 0)[:len(account)+1], accountKey(account, 0)) {
			h, err := t.indexed(value)
			if !yield(h.public(), err) || err != nil {
				return
			}
		}
	}
}

// ExpiredHolds returns open holds that expire at now or before, the earliest
// first: at most limit of them, or all if limit is not positive. The time it
// takes depends on their number, not on that of all holds.
func (b *Book) ExpiredHolds(now time.Time, limit int) ([]Hold, error) {
	t, err := b.tables()
	if err != nil {
		return nil, err
	}
	var list []Hold
	c := t.expiry.Cursor()
	for key, _ := c.First(); key != nil; key, _ = c.Next() {
		if len(key) != 8+len(ID{}) {
			return nil, &CorruptError{Record: fmt.Sprintf("expiry %x", key), Field: "key", Got: "something else", Want: "a time and an id"}
		}
		if timeOf(int64(binary.BigEndian.Uint64(key) ^ 1<<63)).After(now) {
			break
		}
		h, err := t.indexed(key[8:])
		if err != nil {
			return nil, err
		}
		if list = append(list, h.public()); len(list) == limit {
			break
		}
	}
	return list, nil
}

// indexed returns the hold that an index says is open.
func (t tables) indexed(id []byte) (holdRecord, error) {
	if len(id) != len(ID{}) {
		return holdRecord{}, &CorruptError{Record: "index of holds", Field: "id", Got: fmt.Sprintf("%x", id), Want: "32 octets"}
	}
	h, found, err := t.hold(ID(id))
	if err != nil {
		return holdRecord{}, err
	}
	if !found || h.state != HoldOpen {
		return holdRecord{}, &CorruptError{Record: "hold " + ID(id).String(), Field: "index", Got: "one that says open", Want: "an open hold"}
	}
	return h, nil
}

// scan yields what lies after a key, under a prefix. It seeks anew for each
// step, since a bbolt cursor does not survive a write.
func scan(b *bbolt.Bucket, prefix, after []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		c := b.Cursor()
		for {
			after = append(bytes.Clone(after), 0) // the next key there can be
			key, value := c.Seek(after)
			if !bytes.HasPrefix(key, prefix) || !yield(key, value) {
				return
			}
			after = key
		}
	}
}
