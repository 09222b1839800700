package ledger

import "bytes"

// The buckets, for tests that corrupt or dump them.
const (
	BucketAccounts  = bucketAccounts
	BucketTransfers = bucketTransfers
	BucketHolds     = bucketHolds
	BucketOpen      = bucketOpen
	BucketExpiry    = bucketExpiry
	BucketEntries   = bucketEntries
)

// MaxTotal is the bound of an account's totals.
const MaxTotal = maxTotal

// Recode decodes a record of each kind and encodes what it read. It says
// which kinds could read it, and whether one came back otherwise.
func Recode(value []byte) (read int, changed string) {
	key := accountKey("a", 1)
	for _, kind := range []struct {
		name   string
		recode func() ([]byte, error)
	}{
		{"account", func() ([]byte, error) { a, err := decodeAccount("a", value); return encodeAccount(a), err }},
		{"transfer", func() ([]byte, error) { t, err := decodeTransfer(ID{1}, value); return encodeTransfer(t), err }},
		{"hold", func() ([]byte, error) {
			h, err := decodeHold(ID{1}, value)
			if err != nil {
				return nil, err
			}
			return encodeHold(h), nil
		}},
		{"entry", func() ([]byte, error) { e, err := decodeEntry(key, value); return encodeEntry(e), err }},
	} {
		again, err := kind.recode()
		if err != nil {
			continue
		}
		if read++; !bytes.Equal(again, value) {
			return read, kind.name
		}
	}
	return read, ""
}
