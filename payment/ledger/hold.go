package ledger

import (
	"encoding/binary"
	"fmt"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/money"
)

// A State is the state of a hold.
type State string

// The states of holds.
const (
	HoldOpen   State = "open"   // something remains, to be captured or released
	HoldClosed State = "closed" // captured, at least in part; nothing remains
	HoldVoided State = "voided" // released without any capture, or forbidden before it came
)

// A Hold is an amount set aside by a transfer of [KindHold]. That of a
// tombstone, a void whose hold has not come, has neither accounts nor amounts.
type Hold struct {
	ID            ID          // of the transfer that made it
	Debit, Credit string      // accounts
	Amount        money.Money // what was set aside at first
	Remaining     money.Money // what still is
	Captured      money.Money // what was moved; the rest of Amount was released
	State         State
	Expires       time.Time // zero for never
}

// holdRecord is what is stored of a hold.
type holdRecord struct {
	id                          ID
	debit, credit               string
	currency                    money.Currency
	amount, remaining, captured int64
	state                       State
	expires                     time.Time
	number                      uint64 // of the posting
}

func (h holdRecord) public() Hold {
	return Hold{
		ID: h.id, Debit: h.debit, Credit: h.credit, State: h.state, Expires: h.expires,
		Amount: money.New(h.amount, h.currency), Remaining: money.New(h.remaining, h.currency), Captured: money.New(h.captured, h.currency),
	}
}

// tombstone says whether only a void came.
func (h holdRecord) tombstone() bool {
	return h.amount == 0
}

// HoldOf returns a hold by the id of the transfer that made it, or [ErrNotFound].
func (b *Book) HoldOf(id ID) (Hold, error) {
	t, err := b.tables()
	if err != nil {
		return Hold{}, err
	}
	h, found, err := t.hold(id)
	if err != nil {
		return Hold{}, err
	}
	if !found {
		return Hold{}, fmt.Errorf("hold %v: %w", id, ErrNotFound)
	}
	return h.public(), nil
}

// putHold writes a hold, and keeps the indexes of open holds in step.
func (t tables) putHold(h holdRecord) error {
	if err := t.holds.Put(h.id[:], encodeHold(h)); err != nil {
		return fmt.Errorf("writing hold %v: %w", h.id, err)
	}
	if h.tombstone() {
		return nil
	}
	for _, account := range []string{h.debit, h.credit} {
		if err := index(t.open, h.state, accountKey(account, h.number), h.id[:]); err != nil {
			return fmt.Errorf("indexing hold %v by account: %w", h.id, err)
		}
	}
	if h.expires.IsZero() {
		return nil
	}
	if err := index(t.expiry, h.state, expiryKey(h.expires, h.id), []byte{}); err != nil { // nil would look like no key until the commit
		return fmt.Errorf("indexing hold %v by expiry: %w", h.id, err)
	}
	return nil
}

// index keeps a key while the hold is open.
func index(b *bbolt.Bucket, s State, key, value []byte) error {
	if s == HoldOpen {
		return b.Put(key, value)
	}
	return b.Delete(key)
}

// accountKey orders what belongs to an account by posting.
func accountKey(account string, number uint64) []byte {
	key := make([]byte, 0, len(account)+9)
	key = append(key, account...)
	return binary.BigEndian.AppendUint64(append(key, 0), number)
}

// expiryKey orders holds by time, those before 1970 included.
func expiryKey(expires time.Time, id ID) []byte {
	return append(expiryPrefix(nanos(expires)), id[:]...)
}

func expiryPrefix(nanoseconds int64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(ID{})), uint64(nanoseconds)^1<<63)
}
