package ledger_test

import (
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
)

var (
	buckets = []string{
		ledger.BucketAccounts, ledger.BucketTransfers, ledger.BucketHolds,
		ledger.BucketOpen, ledger.BucketExpiry, ledger.BucketEntries,
	}
	noon = time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)
)

func cny(minor int64) money.Money { return money.New(minor, "CNY") }

func id(parts ...string) ledger.ID { return ledger.TransferID(parts...) }

// open makes a database with a bank (unrestricted), two wallets that cannot be
// overdrawn, a card with a limit of 500 and a foreign account, all in CNY but the last.
func open(t testing.TB) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	update(t, db, func(tx *bbolt.Tx) {
		for range 2 {
			if err := ledger.Create(tx); err != nil {
				t.Fatal(err)
			}
		}
		for _, a := range accounts() {
			if err := ledger.In(tx).Open(a); err != nil {
				t.Fatal(err)
			}
		}
	})
	return db
}

func accounts() []ledger.Account {
	return []ledger.Account{
		{ID: "bank", Kind: "outside", Currency: "CNY", Rule: ledger.Unrestricted},
		{ID: "wallet", Kind: "wallet", Currency: "CNY", Rule: ledger.NoOverdraft},
		{ID: "wallet!", Kind: "wallet", Currency: "CNY", Rule: ledger.NoOverdraft}, // its id begins like the one before
		{ID: "card", Kind: "card", Currency: "CNY", Rule: ledger.CreditLimit, Limit: 500},
		{ID: "tokyo", Kind: "outside", Currency: "JPY", Rule: ledger.Unrestricted},
	}
}

func update(t testing.TB, db *bbolt.DB, f func(tx *bbolt.Tx)) {
	t.Helper()
	if err := db.Update(func(tx *bbolt.Tx) error { f(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

// in runs f on the book in one transaction, and checks the book before and after the commit.
func in(t testing.TB, db *bbolt.DB, f func(b *ledger.Book)) {
	t.Helper()
	update(t, db, func(tx *bbolt.Tx) {
		f(ledger.In(tx))
		if err := ledger.In(tx).Check(); err != nil {
			t.Errorf("before the commit: %v", err)
		}
	})
	if err := db.View(func(tx *bbolt.Tx) error { return ledger.In(tx).Check() }); err != nil {
		t.Errorf("after the commit: %v", err)
	}
}

// post is a transfer that must be made.
func post(t testing.TB, b *ledger.Book, tr ledger.Transfer) ledger.Transfer {
	t.Helper()
	first, replayed, err := b.Post(tr)
	if err != nil || replayed {
		t.Fatalf("%v %v: got replayed %t, %v, want it made", tr.Kind, tr.ID, replayed, err)
	}
	return first
}

func direct(name, debit, credit string, minor int64) ledger.Transfer {
	return ledger.Transfer{ID: id(name), Debit: debit, Credit: credit, Amount: cny(minor), Kind: ledger.KindDirect, Code: "test", Time: noon}
}

func hold(name, debit, credit string, minor int64) ledger.Transfer {
	tr := direct(name, debit, credit, minor)
	tr.Kind = ledger.KindHold
	return tr
}

func capture(name, of string, minor int64) ledger.Transfer {
	return ledger.Transfer{ID: id(name), Hold: id(of), Amount: money.Money{Minor: minor}, Kind: ledger.KindCapture, Time: noon}
}

func final(tr ledger.Transfer) ledger.Transfer {
	tr.Final = true
	return tr
}

func void(name, of string) ledger.Transfer {
	return ledger.Transfer{ID: id(name), Hold: id(of), Kind: ledger.KindVoid, Time: noon}
}

// balances are debits posted and pending, credits posted and pending.
func balances(t testing.TB, b *ledger.Book, account string) [4]int64 {
	t.Helper()
	a, err := b.Account(account)
	if err != nil {
		t.Fatal(err)
	}
	return [4]int64{a.DebitsPosted, a.DebitsPending, a.CreditsPosted, a.CreditsPending}
}

// dump writes down all that is stored.
func dump(t testing.TB, tx *bbolt.Tx) string {
	t.Helper()
	var s strings.Builder
	for _, name := range buckets {
		b := tx.Bucket([]byte(name))
		if err := b.ForEach(func(k, v []byte) error {
			_, err := s.WriteString(name + " " + hex.EncodeToString(k) + " " + hex.EncodeToString(v) + "\n")
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	return s.String()
}

func wantHoldState(t testing.TB, err error, want ledger.State) {
	t.Helper()
	if e, ok := errors.AsType[*ledger.HoldStateError](err); !ok || e.State != want {
		t.Errorf("got %v, want a hold that is %s", err, want)
	}
}
