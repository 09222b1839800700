package ledger_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
)

// seed makes a book with something in every bucket.
func seed(t testing.TB, db *bbolt.DB) {
	t.Helper()
	in(t, db, func(b *ledger.Book) {
		post(t, b, direct("d", "bank", "wallet", 100))
		h := hold("h", "wallet", "card", 60)
		h.Expires = noon.Add(time.Hour)
		post(t, b, h)
		post(t, b, capture("c", "h", 20))
		post(t, b, hold("closed", "card", "bank", 10))
		post(t, b, final(capture("f", "closed", 5)))
		post(t, b, hold("voided", "card", "bank", 10))
		post(t, b, void("v", "voided"))
		post(t, b, void("early", "never"))
	})
}

func TestCheckFindsEveryMissingRecord(t *testing.T) {
	t.Parallel()
	db := open(t)
	seed(t, db)
	everyRecord(t, db, func(tx *bbolt.Tx, name string, key, _ []byte) {
		if name == ledger.BucketAccounts && string(key) == "tokyo" || name == ledger.BucketAccounts && string(key) == "wallet!" {
			return // never used: nothing misses them
		}
		if err := tx.Bucket([]byte(name)).Delete(key); err != nil {
			t.Fatal(err)
		}
		wantCorrupt(t, ledger.In(tx), fmt.Sprintf("without %s %x", name, key))
	})
}

func TestCheckFindsForeignRecords(t *testing.T) {
	t.Parallel()
	db := open(t)
	seed(t, db)
	everyRecord(t, db, func(tx *bbolt.Tx, name string, key, value []byte) {
		b := tx.Bucket([]byte(name))
		if err := b.Put(append(bytes.Clone(key), 'x'), value); err != nil {
			t.Fatal(err)
		}
		if name == ledger.BucketAccounts && bytes.Count(value, []byte{0}) > len(value)-25 {
			return // another account, empty
		}
		wantCorrupt(t, ledger.In(tx), fmt.Sprintf("with a second %s %x", name, key))
	})
}

func TestCheckFindsChangedAmounts(t *testing.T) {
	t.Parallel()
	db := open(t)
	seed(t, db)
	minor := func(n byte) []byte { return []byte{0, 0, 0, 0, 0, 0, 0, n} }
	found := 0
	everyRecord(t, db, func(tx *bbolt.Tx, name string, key, value []byte) {
		for _, n := range []byte{100, 60, 40, 20, 10, 5} {
			at := bytes.Index(value, minor(n))
			if at < 0 || name == ledger.BucketExpiry {
				continue
			}
			changed := bytes.Clone(value)
			changed[at+7]++
			if err := tx.Bucket([]byte(name)).Put(key, changed); err != nil {
				t.Fatal(err)
			}
			found++
			wantCorrupt(t, ledger.In(tx), fmt.Sprintf("%s %x with %d changed", name, key, n))
			return
		}
	})
	if found < 15 {
		t.Errorf("got %d amounts, want at least 15", found)
	}
}

func TestRecordsCutShortAreCorrupt(t *testing.T) {
	t.Parallel()
	db := open(t)
	seed(t, db)
	everyRecord(t, db, func(tx *bbolt.Tx, name string, key, value []byte) {
		if len(value) == 0 {
			return
		}
		for _, broken := range [][]byte{value[:len(value)-1], value[:1], {}, append(bytes.Clone(value), 0), append([]byte{2}, value[1:]...)} {
			if err := tx.Bucket([]byte(name)).Put(key, broken); err != nil {
				t.Fatal(err)
			}
			wantCorrupt(t, ledger.In(tx), fmt.Sprintf("%s %x as %x", name, key, broken))
		}
	})
}

// everyRecord calls f for each record, in a transaction that is rolled back.
func everyRecord(t *testing.T, db *bbolt.DB, f func(tx *bbolt.Tx, name string, key, value []byte)) {
	t.Helper()
	type record struct {
		name       string
		key, value []byte
	}
	var list []record
	_ = db.View(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			c := tx.Bucket([]byte(name)).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				list = append(list, record{name, bytes.Clone(k), bytes.Clone(v)})
			}
		}
		return nil
	})
	for _, r := range list {
		if err := db.Update(func(tx *bbolt.Tx) error {
			f(tx, r.name, r.key, r.value)
			return errRollBack
		}); !errors.Is(err, errRollBack) {
			t.Fatal(err)
		}
	}
}

func wantCorrupt(t *testing.T, b *ledger.Book, name string) {
	t.Helper()
	if _, ok := errors.AsType[*ledger.CorruptError](b.Check()); !ok {
		t.Errorf("%s: got %v, want a corrupt ledger", name, b.Check())
	}
}
