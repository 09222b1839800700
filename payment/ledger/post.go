package ledger

import (
	"errors"
	"fmt"

	"github.com/payca/payca/payment/money"
)

// A plan is a transfer that passed every check, and all that writing it takes.
type plan struct {
	transfer        Transfer
	debit, credit   Account     // as they will be; not for a tombstone
	posted, pending int64       // what is added to both accounts
	hold            *holdRecord // as it will be; nil for a direct transfer
}

// Post makes a transfer of any kind. It checks everything before it writes
// anything: after a refusal nothing has changed, and the transaction can go on.
//
// Posting a transfer again, with the same content whatever its Time, changes
// nothing and returns the first one, with replayed true. Another content under
// the same id is a [*ConflictError].
//
//   - A direct transfer or a hold needs what the rule of the debited account
//     leaves available, or it is an [*InsufficientError]. A hold whose void
//     came first is a [*HoldStateError].
//   - A capture takes at most what remains of an open hold, or it is an
//     [*ExceedsHoldError]. It closes the hold if it is final or nothing remains.
//     Debit, Credit and currency are those of the hold; they may be left out.
//   - A void releases what remains of an open hold: voided if nothing was
//     captured, closed otherwise. A hold that is not known is voided for ever.
//   - A capture or a void of a hold that is not open is a [*HoldStateError].
//     A capture of a hold that is not known is [ErrNotFound], as is an unknown account.
func (b *Book) Post(t Transfer) (first Transfer, replayed bool, err error) {
	tb, err := b.writable()
	if err != nil {
		return Transfer{}, false, err
	}
	if t.ID == (ID{}) {
		return Transfer{}, false, &Error{Field: "id", Got: "zero", Want: "an id that TransferID made"}
	}
	old, found, err := tb.transfer(t.ID)
	if err != nil {
		return Transfer{}, false, err
	}
	if found {
		if field := old.differs(t); field != "" {
			return Transfer{}, false, &ConflictError{Record: "transfer", ID: t.ID.String(), Field: field}
		}
		return old, true, nil
	}
	p, err := tb.plan(t)
	if err != nil {
		return Transfer{}, false, err
	}
	if err := tb.write(p); err != nil {
		return Transfer{}, false, err
	}
	return p.transfer, false, nil
}

// plan checks a transfer whose id is new.
func (t tables) plan(tr Transfer) (*plan, error) {
	tr, err := tr.check()
	if err != nil {
		return nil, err
	}
	if h, found, err := t.hold(tr.ID); err != nil {
		return nil, err
	} else if found {
		return nil, &HoldStateError{Hold: tr.ID, State: h.state} // the tombstone of a void that came first
	}
	p := &plan{transfer: tr}
	switch tr.Kind {
	case KindDirect:
		p.posted = tr.Amount.Minor
	case KindHold:
		p.pending = tr.Amount.Minor
		p.hold = &holdRecord{
			id: tr.ID, debit: tr.Debit, credit: tr.Credit, currency: tr.Amount.Currency,
			amount: tr.Amount.Minor, remaining: tr.Amount.Minor, state: HoldOpen, expires: tr.Expires,
		}
	case KindCapture:
		err = t.planCapture(p)
	case KindVoid:
		err = t.planVoid(p)
	}
	if err != nil || p.hold != nil && p.hold.tombstone() && tr.Kind == KindVoid {
		return p, err
	}
	return p, t.planAccounts(p)
}

func (t tables) planCapture(p *plan) error {
	if err := t.planHold(p); err != nil {
		return err
	}
	amount := p.transfer.Amount
	if err := amount.Check(); err != nil {
		return err
	}
	h := p.hold
	if amount.Minor > h.remaining {
		return &ExceedsHoldError{Hold: h.id, Remaining: money.New(h.remaining, h.currency), Want: amount}
	}
	released := amount.Minor
	if p.transfer.Final {
		released = h.remaining
	}
	p.posted, p.pending = amount.Minor, -released
	h.captured += amount.Minor
	h.remaining -= released
	if h.remaining == 0 {
		h.state = HoldClosed
	}
	return nil
}

func (t tables) planVoid(p *plan) error {
	if p.transfer.Amount.Minor != 0 {
		return &Error{Field: "amount", Got: p.transfer.Amount.String(), Want: "none: a void releases what remains"}
	}
	err := t.planHold(p)
	if errors.Is(err, ErrNotFound) {
		return t.planTombstone(p)
	}
	if err != nil {
		return err
	}
	h := p.hold
	p.pending = -h.remaining
	h.remaining, h.state = 0, HoldVoided
	if h.captured > 0 {
		h.state = HoldClosed
	}
	return nil
}

// planHold finds the open hold of a capture or a void, and completes the transfer from it.
func (t tables) planHold(p *plan) error {
	h, found, err := t.hold(p.transfer.Hold)
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("hold %v: %w", p.transfer.Hold, ErrNotFound)
	}
	if h.state != HoldOpen {
		return &HoldStateError{Hold: h.id, State: h.state}
	}
	tr := p.transfer.completed(h.debit, h.credit, h.currency)
	for _, f := range []struct{ field, got, want string }{
		{"debit", tr.Debit, h.debit},
		{"credit", tr.Credit, h.credit},
		{"currency", string(tr.Amount.Currency), string(h.currency)},
	} {
		if f.got != f.want {
			return &Error{Field: f.field, Got: fmt.Sprintf("%q", f.got), Want: fmt.Sprintf("%q as in the hold", f.want)}
		}
	}
	p.transfer, p.hold = tr, &h
	return nil
}

// planTombstone forbids a hold that has not come.
func (t tables) planTombstone(p *plan) error {
	tr := p.transfer
	if other, found, err := t.transfer(tr.Hold); err != nil {
		return err
	} else if found {
		return &Error{Field: "hold", Got: "the id of a " + other.Kind.String() + " transfer", Want: "the id of a hold"}
	}
	if c := tr.Amount.Currency; c != "" && !c.Known() {
		_, err := money.ParseCurrency(string(c))
		return err
	}
	p.hold = &holdRecord{id: tr.Hold, state: HoldVoided}
	return nil
}

// planAccounts checks both accounts and computes what they will be.
func (t tables) planAccounts(p *plan) error {
	amount := p.transfer.Amount
	if p.transfer.Kind != KindVoid {
		if err := amount.Check(); err != nil {
			return err
		}
	}
	var err error
	if p.debit, err = t.account(p.transfer.Debit); err != nil {
		return err
	}
	if p.credit, err = t.account(p.transfer.Credit); err != nil {
		return err
	}
	for _, a := range []Account{p.debit, p.credit} {
		if a.Currency != amount.Currency {
			return &Error{Field: "currency", Got: string(amount.Currency), Want: fmt.Sprintf("%s as in account %q", a.Currency, a.ID)}
		}
	}
	if needed := p.posted + p.pending; needed > p.debit.Available() && needed > 0 { // no capture and no void needs anything
		return &InsufficientError{Account: p.debit.ID, Available: money.New(p.debit.Available(), amount.Currency), Want: amount}
	}
	d, c := &p.debit, &p.credit
	d.DebitsPosted, d.DebitsPending = d.DebitsPosted+p.posted, d.DebitsPending+p.pending
	c.CreditsPosted, c.CreditsPending = c.CreditsPosted+p.posted, c.CreditsPending+p.pending
	if d.DebitsPosted+d.DebitsPending > maxTotal {
		return &OverflowError{Account: d.ID}
	}
	if c.CreditsPosted+c.CreditsPending > maxTotal {
		return &OverflowError{Account: c.ID}
	}
	return nil
}

// write cannot be refused: what it returns are errors of the database.
func (t tables) write(p *plan) error {
	tr := p.transfer
	if err := t.transfers.Put(tr.ID[:], encodeTransfer(tr)); err != nil {
		return fmt.Errorf("writing transfer %v: %w", tr.ID, err)
	}
	if p.hold != nil && p.hold.tombstone() {
		return t.putHold(*p.hold)
	}
	number, err := t.entries.NextSequence()
	if err != nil {
		return fmt.Errorf("numbering transfer %v: %w", tr.ID, err)
	}
	if p.hold != nil {
		if tr.Kind == KindHold {
			p.hold.number = number
		}
		if err := t.putHold(*p.hold); err != nil {
			return err
		}
	}
	if err := t.putAccount(p.debit); err != nil {
		return err
	}
	if err := t.putAccount(p.credit); err != nil {
		return err
	}
	entry := Entry{Number: number, Account: tr.Debit, Transfer: tr.ID, Kind: tr.Kind, Side: Debit, Posted: p.posted, Pending: p.pending, Time: tr.Time}
	if err := t.putEntry(entry); err != nil {
		return err
	}
	entry.Account, entry.Side = tr.Credit, Credit
	return t.putEntry(entry)
}
