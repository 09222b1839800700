package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/payca/payca/payment/ledger"
)

func TestUnknownIDsAreNotFound(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		_, account := b.Account("nobody")
		_, transfer := b.Transfer(id("x"))
		_, hold := b.HoldOf(id("x"))
		_, _, capture := b.Post(capture("x", "y", 1))
		_, _, debit := b.Post(direct("x", "nobody", "bank", 1))
		errs := []error{account, transfer, hold, capture, debit}
		for _, err := range b.Entries("nobody", 0, 0) {
			errs = append(errs, err)
		}
		for _, err := range b.Holds("nobody") {
			errs = append(errs, err)
		}
		for i, err := range errs {
			if !errors.Is(err, ledger.ErrNotFound) {
				t.Errorf("%d: got %v, want ErrNotFound", i, err)
			}
		}
		if len(errs) != 7 {
			t.Errorf("got %d errors, want 7", len(errs))
		}
	})
}

func TestTransactionsThatCannotServe(t *testing.T) {
	t.Parallel()
	db := open(t)
	_ = db.View(func(tx *bbolt.Tx) error {
		if _, _, err := ledger.In(tx).Post(direct("d", "bank", "card", 1)); !errors.Is(err, bolterrors.ErrTxNotWritable) {
			t.Errorf("read-only: got %v, want ErrTxNotWritable", err)
		}
		return nil
	})
	update(t, db, func(tx *bbolt.Tx) {
		if err := tx.DeleteBucket([]byte(ledger.BucketExpiry)); err != nil {
			t.Fatal(err)
		}
		b := ledger.In(tx)
		_, account := b.Account("bank")
		_, expired := b.ExpiredHolds(noon, 0)
		for i, err := range []error{account, expired, b.Check(), b.Open(accounts()[0])} {
			if err == nil || !strings.Contains(err.Error(), "ledger.Create") {
				t.Errorf("%d: got %v, want one that names ledger.Create", i, err)
			}
		}
	})
}

func TestExpiredHoldsComeInOrder(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		for i, at := range []time.Time{noon.Add(3), noon.Add(1), noon.Add(-100 * 365 * 24 * time.Hour), {}, noon.Add(2), noon, noon} {
			h := hold(fmt.Sprint(i), "bank", "card", 10)
			h.Expires = at
			post(t, b, h)
		}
		post(t, b, void("v", "5"))
		post(t, b, capture("partial", "1", 1))
		post(t, b, capture("whole", "6", 10))
		names := func(now time.Time, limit int) (list []int) {
			t.Helper()
			holds, err := b.ExpiredHolds(now, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range holds {
				for i := range 7 {
					if h.ID == id(fmt.Sprint(i)) {
						list = append(list, i)
					}
				}
			}
			return list
		}
		for _, tt := range []struct {
			now   time.Time
			limit int
			want  []int
		}{
			{noon, 0, []int{2}},
			{noon.Add(1), 0, []int{2, 1}},
			{noon.Add(2), 0, []int{2, 1, 4}},
			{noon.Add(time.Hour), 3, []int{2, 1, 4}},
			{noon.Add(time.Hour), -1, []int{2, 1, 4, 0}},
			{noon.AddDate(5000, 0, 0), 0, []int{2, 1, 4, 0}},
			{time.Time{}, 0, nil},
		} {
			if got := names(tt.now, tt.limit); !slices.Equal(got, tt.want) {
				t.Errorf("at %v, %d: got %v, want %v", tt.now, tt.limit, got, tt.want)
			}
		}
	})
}

func TestEntriesAndHoldsOfAnAccount(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		post(t, b, direct("d", "bank", "wallet", 100))
		post(t, b, direct("other", "bank", "wallet!", 100))
		post(t, b, hold("h1", "wallet", "card", 50))
		post(t, b, hold("h2", "wallet", "card", 20))
		post(t, b, final(capture("c", "h1", 30)))
		var got []ledger.Entry
		for e, err := range b.Entries("wallet", 0, 0) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		want := []ledger.Entry{
			{Number: 1, Transfer: id("d"), Kind: ledger.KindDirect, Side: ledger.Credit, Posted: 100},
			{Number: 3, Transfer: id("h1"), Kind: ledger.KindHold, Side: ledger.Debit, Pending: 50},
			{Number: 4, Transfer: id("h2"), Kind: ledger.KindHold, Side: ledger.Debit, Pending: 20},
			{Number: 5, Transfer: id("c"), Kind: ledger.KindCapture, Side: ledger.Debit, Posted: 30, Pending: -50},
		}
		for i := range want {
			want[i].Account, want[i].Time = "wallet", noon
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		numbers := func(after uint64, limit int) (list []uint64) {
			for e := range b.Entries("wallet", after, limit) {
				list = append(list, e.Number)
			}
			return list
		}
		for _, tt := range []struct {
			after uint64
			limit int
			want  []uint64
		}{{1, 2, []uint64{3, 4}}, {2, 1, []uint64{3}}, {4, 9, []uint64{5}}, {5, 0, nil}, {math.MaxUint64, 0, nil}} {
			if got := numbers(tt.after, tt.limit); !slices.Equal(got, tt.want) {
				t.Errorf("after %d, limit %d: got %v, want %v", tt.after, tt.limit, got, tt.want)
			}
		}
		post(t, b, hold("h3", "card", "wallet", 5))
		var open []ledger.ID
		for h, err := range b.Holds("wallet") { // voiding them on the way
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, h.ID)
			post(t, b, ledger.Transfer{ID: id("v", h.ID.String()), Kind: ledger.KindVoid, Hold: h.ID})
		}
		if !slices.Equal(open, []ledger.ID{id("h2"), id("h3")}) {
			t.Errorf("got %v, want h2 and h3", open)
		}
		for h := range b.Holds("card") {
			t.Errorf("got %+v, want no open hold", h)
		}
	})
}
