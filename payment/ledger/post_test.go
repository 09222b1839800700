package ledger_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
)

func TestReplayReturnsTheFirst(t *testing.T) {
	t.Parallel()
	db := open(t)
	var firsts []ledger.Transfer
	h := hold("h", "card", "bank", 100)
	h.Expires, h.Ref = noon.Add(time.Hour).In(time.FixedZone("", 3600)), "order 7"
	list := []ledger.Transfer{direct("d", "bank", "wallet", 5), h, capture("c", "h", 10), final(capture("f", "h", 20)), void("v", "never")}
	in(t, db, func(b *ledger.Book) {
		for _, tr := range list {
			firsts = append(firsts, post(t, b, tr))
		}
	})
	in(t, db, func(b *ledger.Book) {
		for i, tr := range list {
			tr.Time = tr.Time.Add(time.Hour)
			got, replayed, err := b.Post(tr)
			if err != nil || !replayed || got != firsts[i] {
				t.Errorf("%v: got %+v, %t, %v, want %+v", tr.Kind, got, replayed, err, firsts[i])
			}
			if stored, err := b.Transfer(tr.ID); err != nil || stored != firsts[i] || !stored.Time.Equal(noon) {
				t.Errorf("%v: got %+v, %v, want %+v", tr.Kind, stored, err, firsts[i])
			}
		}
	})
}

func TestSameIDOtherContentIsAConflict(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		h := hold("h", "card", "bank", 100)
		post(t, b, h)
		c := post(t, b, capture("c", "h", 10))
		for field, change := range map[string]func(h, c *ledger.Transfer){
			"kind":    func(h, _ *ledger.Transfer) { h.Kind = ledger.KindDirect },
			"debit":   func(h, c *ledger.Transfer) { h.Debit, c.Debit = "wallet", "wallet" },
			"credit":  func(h, c *ledger.Transfer) { h.Credit, c.Credit = "wallet", "wallet" },
			"amount":  func(h, c *ledger.Transfer) { h.Amount.Minor++; c.Amount.Minor-- },
			"code":    func(h, c *ledger.Transfer) { h.Code, c.Code = "x", "x" },
			"ref":     func(h, c *ledger.Transfer) { h.Ref, c.Ref = "x", "x" },
			"expires": func(h, _ *ledger.Transfer) { h.Expires = noon },
			"final":   func(_, c *ledger.Transfer) { c.Final = true },
			"hold":    func(_, c *ledger.Transfer) { c.Hold = id("other") },
		} {
			hold2, capture2 := h, c
			change(&hold2, &capture2)
			for _, pair := range [][2]ledger.Transfer{{h, hold2}, {c, capture2}} {
				if pair[0] == pair[1] {
					continue
				}
				_, _, err := b.Post(pair[1])
				if e, ok := errors.AsType[*ledger.ConflictError](err); !ok || e.Field != field {
					t.Errorf("another %s: got %v, want a conflict", field, err)
				}
			}
		}
	})
}

func TestRulesOfAccounts(t *testing.T) {
	t.Parallel()
	in(t, open(t), func(b *ledger.Book) {
		post(t, b, direct("load", "bank", "wallet", 100))
		post(t, b, hold("h", "wallet", "bank", 60))
		for _, tt := range []struct {
			debit           string
			want, available int64
		}{{"wallet", 41, 40}, {"card", 501, 500}, {"wallet!", 1, 0}} {
			for _, tr := range []ledger.Transfer{direct("x", tt.debit, "bank", tt.want), hold("x", tt.debit, "bank", tt.want)} {
				_, _, err := b.Post(tr)
				e, ok := errors.AsType[*ledger.InsufficientError](err)
				if !ok || *e != (ledger.InsufficientError{Account: tt.debit, Available: cny(tt.available), Want: cny(tt.want)}) {
					t.Errorf("%v of %d from %s: got %v, want %d available", tr.Kind, tt.want, tt.debit, err, tt.available)
				}
			}
		}
		post(t, b, direct("x", "wallet", "bank", 40))
		post(t, b, direct("y", "card", "bank", 500))
		post(t, b, hold("in", "bank", "wallet", 5)) // what is pending in favour cannot be spent
		if a, _ := b.Account("wallet"); a.Available() != 0 {
			t.Errorf("got %d available, want 0", a.Available())
		}
		post(t, b, direct("big", "bank", "card", money.MaxMinor))
		post(t, b, direct("big2", "bank", "card", money.MaxMinor))
		if a, _ := b.Account("card"); a.Available() != money.MaxMinor {
			t.Errorf("got %d available, want no more than can be written", a.Available())
		}
	})
}

func TestTotalsDoNotOverflow(t *testing.T) {
	t.Parallel()
	db := open(t)
	in(t, db, func(b *ledger.Book) {
		var err error
		n := 0
		for ; err == nil && n < 1000; n++ {
			tr := direct(fmt.Sprint(n), "bank", []string{"wallet", "wallet!"}[n%2], money.MaxMinor)
			tr.Kind = []ledger.Kind{ledger.KindDirect, ledger.KindHold}[n/2%2]
			_, _, err = b.Post(tr)
		}
		if e, ok := errors.AsType[*ledger.OverflowError](err); !ok || e.Account != "bank" {
			t.Errorf("got %v, want an overflow of bank", err)
		}
		if a, _ := b.Account("bank"); a.DebitsPosted+a.DebitsPending > ledger.MaxTotal || n < 512 {
			t.Errorf("got %d after %d transfers, want at most %d", a.DebitsPosted+a.DebitsPending, n, int64(ledger.MaxTotal))
		}
	})
}

// refusals are transfers that the book of TestRefusalsChangeNothing has to refuse.
func refusals() map[string]ledger.Transfer {
	change := func(tr ledger.Transfer, f func(tr *ledger.Transfer)) ledger.Transfer { f(&tr); return tr }
	d, h, c, v := direct("x", "wallet", "bank", 1), hold("x", "wallet", "bank", 1), capture("x", "h", 1), void("x", "h")
	return map[string]ledger.Transfer{
		"no id":               change(d, func(tr *ledger.Transfer) { tr.ID = ledger.ID{} }),
		"no kind":             change(d, func(tr *ledger.Transfer) { tr.Kind = 0 }),
		"strange kind":        change(d, func(tr *ledger.Transfer) { tr.Kind = 5 }),
		"no debit":            change(d, func(tr *ledger.Transfer) { tr.Debit = "" }),
		"no credit":           change(h, func(tr *ledger.Transfer) { tr.Credit = "" }),
		"itself":              change(d, func(tr *ledger.Transfer) { tr.Credit = tr.Debit }),
		"unknown account":     change(d, func(tr *ledger.Transfer) { tr.Credit = "nobody" }),
		"unknown debit":       change(h, func(tr *ledger.Transfer) { tr.Debit = "nobody" }),
		"zero":                change(d, func(tr *ledger.Transfer) { tr.Amount.Minor = 0 }),
		"zero hold":           change(h, func(tr *ledger.Transfer) { tr.Amount.Minor = 0 }),
		"negative":            change(h, func(tr *ledger.Transfer) { tr.Amount.Minor = -1 }),
		"least":               change(c, func(tr *ledger.Transfer) { tr.Amount.Minor = math.MinInt64 }),
		"too much":            change(d, func(tr *ledger.Transfer) { tr.Amount.Minor = math.MaxInt64 }),
		"no currency":         change(d, func(tr *ledger.Transfer) { tr.Amount.Currency = "" }),
		"other currency":      change(d, func(tr *ledger.Transfer) { tr.Amount.Currency = "JPY" }),
		"foreign account":     change(d, func(tr *ledger.Transfer) { tr.Credit = "tokyo" }),
		"hold in direct":      change(d, func(tr *ledger.Transfer) { tr.Hold = id("h") }),
		"final hold":          change(h, func(tr *ledger.Transfer) { tr.Final = true }),
		"final void":          change(v, func(tr *ledger.Transfer) { tr.Final = true }),
		"expiring capture":    change(c, func(tr *ledger.Transfer) { tr.Expires = noon }),
		"year 3000":           change(h, func(tr *ledger.Transfer) { tr.Expires = noon.AddDate(974, 0, 0) }),
		"time in year 3000":   change(d, func(tr *ledger.Transfer) { tr.Time = noon.AddDate(974, 0, 0) }),
		"long code":           change(d, func(tr *ledger.Transfer) { tr.Code = strings.Repeat("x", 65) }),
		"long ref":            change(d, func(tr *ledger.Transfer) { tr.Ref = strings.Repeat("x", 257) }),
		"line in ref":         change(d, func(tr *ledger.Transfer) { tr.Ref = "a\nb" }),
		"capture of nothing":  change(c, func(tr *ledger.Transfer) { tr.Hold = ledger.ID{} }),
		"capture of itself":   change(c, func(tr *ledger.Transfer) { tr.Hold = tr.ID }),
		"void of itself":      change(v, func(tr *ledger.Transfer) { tr.Hold = tr.ID }),
		"capture unknown":     change(c, func(tr *ledger.Transfer) { tr.Hold = id("unknown") }),
		"capture of a direct": change(c, func(tr *ledger.Transfer) { tr.Hold = id("d") }),
		"void of a direct":    change(v, func(tr *ledger.Transfer) { tr.Hold = id("d") }),
		"capture of zero":     change(c, func(tr *ledger.Transfer) { tr.Amount.Minor = 0 }),
		"capture elsewhere":   change(c, func(tr *ledger.Transfer) { tr.Credit = "wallet" }),
		"capture from other":  change(c, func(tr *ledger.Transfer) { tr.Debit = "wallet" }),
		"capture in yen":      change(c, func(tr *ledger.Transfer) { tr.Amount.Currency = "JPY" }),
		"capture beyond":      change(c, func(tr *ledger.Transfer) { tr.Amount.Minor = 101 }),
		"void from other":     change(v, func(tr *ledger.Transfer) { tr.Debit = "wallet" }),
		"void with amount":    change(v, func(tr *ledger.Transfer) { tr.Amount.Minor = 100 }),
		"void of XXX":         change(v, func(tr *ledger.Transfer) { tr.Hold, tr.Amount.Currency = id("unknown"), "XXX" }),
		"conflict":            change(d, func(tr *ledger.Transfer) { tr.ID = id("d") }),
		"insufficient":        change(d, func(tr *ledger.Transfer) { tr.Amount.Minor = 101 }),
	}
}

func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	db := open(t)
	in(t, db, func(b *ledger.Book) {
		post(t, b, hold("h", "card", "bank", 100))
		post(t, b, direct("d", "bank", "wallet", 100))
	})
	update(t, db, func(tx *bbolt.Tx) {
		before := dump(t, tx)
		for name, tr := range refusals() {
			first, replayed, err := ledger.In(tx).Post(tr)
			if err == nil || replayed || first != (ledger.Transfer{}) {
				t.Errorf("%s: got %+v, %t, %v, want a refusal", name, first, replayed, err)
			}
			if _, ok := errors.AsType[*ledger.CorruptError](err); ok {
				t.Errorf("%s: got %v, which is none", name, err)
			}
			if dump(t, tx) != before {
				t.Fatalf("%s: the refusal changed the book", name)
			}
		}
	})
}

func TestLastCentIsSpentOnce(t *testing.T) {
	t.Parallel()
	db := open(t)
	in(t, db, func(b *ledger.Book) { post(t, b, direct("load", "bank", "wallet", 1)) })
	var spent, refused atomic.Int32
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			err := db.Update(func(tx *bbolt.Tx) error {
				tr := direct(fmt.Sprint("spend", i), "wallet", "card", 1)
				if i%2 == 0 {
					tr.Kind = ledger.KindHold
				}
				_, _, err := ledger.In(tx).Post(tr)
				return err
			})
			if _, ok := errors.AsType[*ledger.InsufficientError](err); ok {
				refused.Add(1)
			} else if err == nil {
				spent.Add(1)
			}
		})
	}
	wg.Wait()
	if spent.Load() != 1 || refused.Load() != 63 {
		t.Errorf("got %d made and %d refused, want 1 and 63", spent.Load(), refused.Load())
	}
	in(t, db, func(*ledger.Book) {})
}
