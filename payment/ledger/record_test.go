package ledger_test

import (
	"fmt"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
)

func FuzzRecord(f *testing.F) {
	db := open(f)
	seed(f, db)
	_ = db.View(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			_ = tx.Bucket([]byte(name)).ForEach(func(_, v []byte) error { f.Add(v); return nil })
		}
		return nil
	})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, value []byte) {
		if _, changed := ledger.Recode(value); changed != "" {
			t.Errorf("%x: read as %s, and written otherwise", value, changed)
		}
	})
}

func TestEveryRecordComesBackTheSame(t *testing.T) {
	t.Parallel()
	db := open(t)
	seed(t, db)
	_ = db.View(func(tx *bbolt.Tx) error {
		for _, name := range []string{ledger.BucketAccounts, ledger.BucketTransfers, ledger.BucketHolds, ledger.BucketEntries} {
			if err := tx.Bucket([]byte(name)).ForEach(func(_, v []byte) error {
				if read, changed := ledger.Recode(v); read == 0 || changed != "" {
					t.Errorf("%s %x: read as %d kinds, changed as %q", name, v, read, changed)
				}
				return nil
			}); err != nil {
				t.Error(err)
			}
		}
		return nil
	})
}

// BenchmarkHoldAndCapture posts pairs in transactions of 100 that are rolled
// back: what it measures is the ledger, not the disk.
func BenchmarkHoldAndCapture(b *testing.B) {
	db := open(b)
	in(b, db, func(book *ledger.Book) {
		for i := range 1000 {
			h := hold(fmt.Sprint("before", i), "bank", "card", 5)
			h.Expires = noon.Add(time.Duration(i))
			post(b, book, h)
		}
	})
	ids := make([][2]string, 100)
	for i := range ids {
		ids[i] = [2]string{fmt.Sprint("h", i), fmt.Sprint("c", i)}
	}
	b.ReportAllocs()
	for n := 0; n < b.N; n += len(ids) {
		_ = db.Update(func(tx *bbolt.Tx) error {
			book := ledger.In(tx)
			for _, pair := range ids {
				h := hold(pair[0], "bank", "card", 100)
				h.Expires = noon
				post(b, book, h)
				post(b, book, final(capture(pair[1], pair[0], 90)))
			}
			return errRollBack
		})
	}
}

// BenchmarkRecord decodes and encodes a transfer as all four kinds of records.
func BenchmarkRecord(b *testing.B) {
	db := open(b)
	seed(b, db)
	var value []byte
	_ = db.View(func(tx *bbolt.Tx) error {
		tr := id("h")
		value = append(value, tx.Bucket([]byte(ledger.BucketTransfers)).Get(tr[:])...)
		return nil
	})
	b.ReportAllocs()
	for b.Loop() {
		ledger.Recode(value)
	}
}
