package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/payment/ledger"
	"github.com/payca/payca/payment/money"
)

// A model is the ledger as one would first write it: it keeps everything in
// maps and adds up everything each time.
type model struct {
	done  map[ledger.ID]ledger.Transfer // completed
	holds map[ledger.ID]modelHold       // an empty one is a tombstone
}

type modelHold struct {
	debit, credit              string
	amount, captured, released int64
	over                       bool
}

func (h modelHold) remaining() int64 { return h.amount - h.captured - h.released }

func (m model) clone() model { return model{maps.Clone(m.done), maps.Clone(m.holds)} }

// balances adds up an account from all there is.
func (m model) balances(account string) (b [4]int64) {
	for _, tr := range m.done {
		if tr.Kind == ledger.KindDirect || tr.Kind == ledger.KindCapture {
			if tr.Debit == account {
				b[0] += tr.Amount.Minor
			}
			if tr.Credit == account {
				b[2] += tr.Amount.Minor
			}
		}
	}
	for _, h := range m.holds {
		if h.debit == account {
			b[1] += h.remaining()
		}
		if h.credit == account {
			b[3] += h.remaining()
		}
	}
	return b
}

func (m model) post(tr ledger.Transfer) string {
	if old, ok := m.done[tr.ID]; ok {
		if tr.Kind == ledger.KindCapture || tr.Kind == ledger.KindVoid {
			tr.Debit, tr.Credit, tr.Amount.Currency = old.Debit, old.Credit, old.Amount.Currency
		}
		tr.Time = old.Time
		if tr == old {
			return "replayed"
		}
		return "conflict"
	}
	if tr.Debit == tr.Credit && tr.Debit != "" || tr.Hold == tr.ID {
		return "error"
	}
	if _, ok := m.holds[tr.ID]; ok {
		return "state"
	}
	switch tr.Kind {
	case ledger.KindDirect, ledger.KindHold:
		b := m.balances(tr.Debit)
		room, limited := map[string]int64{"wallet": 0, "wallet!": 0, "card": 500}[tr.Debit]
		if limited && b[2]-b[0]-b[1]+room < tr.Amount.Minor {
			return "insufficient"
		}
		if tr.Kind == ledger.KindHold {
			m.holds[tr.ID] = modelHold{debit: tr.Debit, credit: tr.Credit, amount: tr.Amount.Minor}
		}
		m.done[tr.ID] = tr
		return "made"
	}
	return m.second(tr)
}

// second is the second phase.
func (m model) second(tr ledger.Transfer) string {
	h, ok := m.holds[tr.Hold]
	switch {
	case !ok && tr.Kind == ledger.KindCapture:
		return "not found"
	case !ok:
		if _, other := m.done[tr.Hold]; other {
			return "error"
		}
		m.holds[tr.Hold] = modelHold{over: true}
		m.done[tr.ID] = tr
		return "made"
	case h.over || h.remaining() == 0:
		return "state"
	case tr.Amount.Minor > h.remaining():
		return "exceeds"
	}
	h.captured += tr.Amount.Minor
	if tr.Final || tr.Kind == ledger.KindVoid {
		h.released, h.over = h.remaining(), true
	}
	m.holds[tr.Hold] = h
	tr.Debit, tr.Credit, tr.Amount.Currency = h.debit, h.credit, "CNY"
	m.done[tr.ID] = tr
	return "made"
}

// outcome names what Post answered.
func outcome(replayed bool, err error) string {
	if err == nil {
		return map[bool]string{true: "replayed", false: "made"}[replayed]
	}
	for name, is := range map[string]func() bool{
		"conflict":     func() bool { _, ok := errors.AsType[*ledger.ConflictError](err); return ok },
		"insufficient": func() bool { _, ok := errors.AsType[*ledger.InsufficientError](err); return ok },
		"exceeds":      func() bool { _, ok := errors.AsType[*ledger.ExceedsHoldError](err); return ok },
		"state":        func() bool { _, ok := errors.AsType[*ledger.HoldStateError](err); return ok },
		"error":        func() bool { _, ok := errors.AsType[*ledger.Error](err); return ok },
		"not found":    func() bool { return errors.Is(err, ledger.ErrNotFound) },
	} {
		if is() {
			return name
		}
	}
	return err.Error()
}

// draw makes a transfer of ids that often meet others.
func draw(r *rand.Rand, step int, old []ledger.Transfer) ledger.Transfer {
	if len(old) > 0 && r.IntN(12) == 0 {
		return old[r.IntN(len(old))]
	}
	near := func() string { return fmt.Sprint(max(0, step/2-r.IntN(40)+r.IntN(20))) }
	names := []string{"bank", "wallet", "wallet!", "card"}
	debit, credit, minor := names[r.IntN(4)], names[r.IntN(4)], 1+r.Int64N(200)
	switch r.IntN(7) {
	case 0, 1:
		return direct(near(), debit, credit, minor)
	case 2, 3:
		return hold(near(), debit, credit, minor)
	case 4:
		return capture(near(), near(), minor)
	case 5:
		return final(capture(near(), near(), minor/2+1))
	}
	return void(near(), near())
}

var errRollBack = errors.New("roll back")

func TestLedgerIsTheModel(t *testing.T) {
	t.Parallel()
	db := open(t)
	r := rand.New(rand.NewPCG(3, 4))
	m := model{done: map[ledger.ID]ledger.Transfer{}, holds: map[ledger.ID]modelHold{}}
	seen := map[string]int{}
	var old []ledger.Transfer
	steps := 10_000
	if testing.Short() {
		steps = 2000
	}
	for step := 0; step < steps && !t.Failed(); {
		next := m.clone()
		err := db.Update(func(tx *bbolt.Tx) error {
			b := ledger.In(tx)
			for range 1 + r.IntN(40) {
				tr := draw(r, step, old)
				step++
				_, replayed, err := b.Post(tr)
				got, want := outcome(replayed, err), next.post(tr)
				if got != want {
					t.Fatalf("step %d: %+v: got %s (%v), want %s", step, tr, got, err, want)
				}
				seen[got]++
				if got == "made" {
					old = append(old, tr) // if rolled back, it is tried again: as good as any
				}
			}
			compare(t, b, next)
			if r.IntN(8) == 0 {
				return errRollBack
			}
			return nil
		})
		if err == nil {
			m = next
		} else if !errors.Is(err, errRollBack) {
			t.Fatal(err)
		}
	}
	if err := db.View(func(tx *bbolt.Tx) error {
		compare(t, ledger.In(tx), m)
		return ledger.In(tx).Check()
	}); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"made", "replayed", "conflict", "insufficient", "exceeds", "state", "error", "not found"} {
		if seen[name] < 5 {
			t.Errorf("got %d times %q in %v", seen[name], name, seen)
		}
	}
}

func compare(t *testing.T, b *ledger.Book, m model) {
	t.Helper()
	for _, account := range []string{"bank", "wallet", "wallet!", "card"} {
		if got, want := balances(t, b, account), m.balances(account); got != want {
			t.Errorf("%s: got %v, want %v", account, got, want)
		}
		open := 0
		for h, err := range b.Holds(account) {
			if want := m.holds[h.ID]; err != nil || h.Remaining != cny(want.remaining()) || h.Captured != cny(want.captured) || h.Amount != cny(want.amount) {
				t.Errorf("got %+v, %v, want %+v", h, err, want)
			}
			open++
		}
		for _, h := range m.holds {
			if h.remaining() > 0 && (h.debit == account || h.credit == account) {
				open--
			}
		}
		if open != 0 {
			t.Errorf("%s: got %d open holds too many", account, open)
		}
	}
	total := int64(0)
	for _, account := range []string{"bank", "wallet", "wallet!", "card"} {
		a, err := b.Account(account)
		if err != nil || a.Available() < 0 || a.Available() > money.MaxMinor {
			t.Errorf("%s: got %+v, %v", account, a, err)
		}
		total += a.Balance()
	}
	if total != 0 {
		t.Errorf("got balances that add up to %d, want 0", total)
	}
}
