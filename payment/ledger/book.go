package ledger

import (
	"fmt"

	"go.etcd.io/bbolt"
)

// The buckets, all at the top level. An account id followed by NUL and the
// number of the posting, big-endian, orders what belongs to one account.
const (
	bucketAccounts  = "ledger/accounts"  // account id: account
	bucketTransfers = "ledger/transfers" // transfer id: transfer
	bucketHolds     = "ledger/holds"     // transfer id: hold or tombstone
	bucketOpen      = "ledger/open"      // account id, NUL, number: id of an open hold
	bucketExpiry    = "ledger/expiry"    // time, id of an open hold: nothing
	bucketEntries   = "ledger/entries"   // account id, NUL, number: entry; its sequence numbers the postings
)

// Create makes the buckets in a writable transaction. Those that exist stay as they are.
func Create(tx *bbolt.Tx) error {
	for _, name := range []string{bucketAccounts, bucketTransfers, bucketHolds, bucketOpen, bucketExpiry, bucketEntries} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return fmt.Errorf("creating bucket %s: %w", name, err)
		}
	}
	return nil
}

// A Book is the ledger as one transaction sees it, and ends with it. Like the
// transaction it is not for use by several goroutines at once.
type Book struct {
	tx *bbolt.Tx
}

// In returns the book in the transaction. It is cheap, and checks nothing:
// where [Create] never ran, every method says so.
func In(tx *bbolt.Tx) *Book {
	return &Book{tx: tx}
}

// tables are the buckets within one transaction.
type tables struct {
	accounts, transfers, holds, open, expiry, entries *bbolt.Bucket
}

func (b *Book) tables() (tables, error) {
	t := tables{
		accounts: b.tx.Bucket([]byte(bucketAccounts)), transfers: b.tx.Bucket([]byte(bucketTransfers)),
		holds: b.tx.Bucket([]byte(bucketHolds)), open: b.tx.Bucket([]byte(bucketOpen)),
		expiry: b.tx.Bucket([]byte(bucketExpiry)), entries: b.tx.Bucket([]byte(bucketEntries)),
	}
	if t.accounts == nil || t.transfers == nil || t.holds == nil || t.open == nil || t.expiry == nil || t.entries == nil {
		return tables{}, errNoBuckets
	}
	return t, nil
}

// account returns ErrNotFound for an id that was never opened.
func (t tables) account(id string) (Account, error) {
	value := t.accounts.Get([]byte(id))
	if value == nil {
		return Account{}, fmt.Errorf("account %q: %w", id, ErrNotFound)
	}
	return decodeAccount(id, value)
}

func (t tables) transfer(id ID) (tr Transfer, found bool, err error) {
	value := t.transfers.Get(id[:])
	if value == nil {
		return Transfer{}, false, nil
	}
	tr, err = decodeTransfer(id, value)
	return tr, err == nil, err
}

func (t tables) hold(id ID) (h holdRecord, found bool, err error) {
	value := t.holds.Get(id[:])
	if value == nil {
		return holdRecord{}, false, nil
	}
	h, err = decodeHold(id, value)
	return h, err == nil, err
}
