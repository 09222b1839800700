package boltstore

import (
	"bytes"
	"encoding/binary"
	"math"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
)

// A position is where a query goes on: the least index, and in the order of expiry the least time.
type position struct {
	expiry uint64 // seconds
	index  uint64
	ended  bool
}

// after is the next position.
func (p position) after(expiry, index uint64) position {
	p.expiry, p.index = expiry, index+1
	if p.index == 0 { // index was the greatest
		p.expiry++
	}
	return p
}

func startOf(f ca.Filter) position {
	switch {
	case !f.From:
		return position{}
	case f.ByExpiry:
		return position{}.after(seconds(f.AfterExpiry), f.After)
	}
	return position{index: f.After + 1, ended: f.After == math.MaxUint64}
}

// span is the range of expiry that the filter allows, in seconds, both ends included.
func span(f ca.Filter) (from, until uint64) {
	until = math.MaxUint64
	for _, t := range []time.Time{f.ExpiresFrom, f.ValidAt} {
		if !t.IsZero() {
			from = max(from, seconds(t))
		}
	}
	if t := f.ExpiresBefore; !t.IsZero() {
		until = seconds(t) // the second itself, for times with a fraction; matches knows
	}
	return from, until
}

// A query reads the records of a filter, a page in each transaction.
type query struct {
	filter ca.Filter
	left   int // of filter.Limit
	next   position
	// waiting is where more certificates of filter.SPKI may be than the file's index has; asked for before its transactions.
	waiting []uint64
}

// add reads the record and puts it into the page if it matches; done if that was the last one wanted.
func (q *query) add(tx *bbolt.Tx, index []byte, page *[]ca.Record) (done bool, err error) {
	record, err := recordAt(tx, index)
	if err != nil || !matches(q.filter, record) {
		return false, err
	}
	*page = append(*page, record)
	if q.filter.Limit <= 0 {
		return false, nil
	}
	q.left--
	return q.left == 0, nil
}

// byIndex reads a page in the order of the log.
func (q *query) byIndex(tx *bbolt.Tx) (page []ca.Record, more bool, err error) {
	rows, err := q.streams(tx)
	if err != nil {
		return nil, false, err
	}
	for range pageSize {
		index, ok := rows.seek(q.next.index)
		if !ok {
			return page, false, nil
		}
		if done, err := q.add(tx, number(index), &page); done || err != nil || index == math.MaxUint64 {
			return page, false, err
		}
		q.next.index = index + 1
	}
	return page, true, nil
}

// streams is what the indexes say of the filter: what is in all of them. The last one knows the
// end of validity if there is a range of it.
func (q *query) streams(tx *bbolt.Tx) (stream, error) {
	f, rows := q.filter, &every{}
	add := func(bucket, prefix []byte) {
		rows.streams = append(rows.streams, &run{cursor: tx.Bucket(bucket).Cursor(), prefix: prefix})
	}
	if f.SPKI != nil {
		late := &listed{}
		for _, index := range q.waiting {
			if tx.Bucket(bucketCerts).Get(number(index)) != nil { // it was committed, and before this transaction
				late.indexes = append(late.indexes, index)
			}
		}
		rows.streams = append(rows.streams, &either{streams: []stream{late, &run{cursor: tx.Bucket(bucketKeys).Cursor(), prefix: f.SPKI[:8]}}})
	}
	if f.SAN != "" {
		add(bucketNames, nameKey(f.SAN))
	}
	revoked := f.Revoked != nil && *f.Revoked
	if revoked {
		add(bucketRevoked, nil)
	}
	from, until := span(f)
	ranged := from > 0 || until < math.MaxUint64
	if f.Issuer != "" || f.Profile != "" || f.Role != "" || f.Kind != "" || ranged && f.Party == "" && !revoked {
		kinds, err := kindsOf(tx, f)
		if err != nil {
			return nil, err
		}
		some := &either{}
		for _, kind := range kinds {
			some.streams = append(some.streams, &run{cursor: tx.Bucket(bucketByKind).Cursor(), prefix: kind})
		}
		rows.streams = append(rows.streams, some)
	}
	if f.Party != "" {
		add(bucketByParty, partyPrefix(f.Party))
	}
	if len(rows.streams) == 0 {
		add(bucketCerts, nil)
	}
	if ranged {
		rows.pass = func(value []byte) bool {
			return len(value) != 8 || from <= binary.BigEndian.Uint64(value) && binary.BigEndian.Uint64(value) <= until
		}
	}
	return rows, nil
}

// byExpiry reads a page in the order of expiry: the least of all kinds, again and again.
func (q *query) byExpiry(tx *bbolt.Tx) (page []ca.Record, more bool, err error) {
	kinds, err := kindsOf(tx, q.filter)
	if err != nil {
		return nil, false, err
	}
	from, until := span(q.filter)
	if from > q.next.expiry {
		q.next = position{expiry: from}
	}
	rows := make([]struct {
		cursor *bbolt.Cursor
		rest   []byte // not after, index; nil at the end
	}, len(kinds))
	step := func(i int, key []byte) {
		rows[i].rest = nil
		if bytes.HasPrefix(key, kinds[i]) && len(key) == 18 && binary.BigEndian.Uint64(key[2:]) <= until {
			rows[i].rest = key[2:]
		}
	}
	for i, kind := range kinds {
		rows[i].cursor = tx.Bucket(bucketExpiry).Cursor()
		key, _ := rows[i].cursor.Seek(append(append(kind[:2:2], number(q.next.expiry)...), number(q.next.index)...))
		step(i, key)
	}
	for range pageSize {
		least := -1
		for i := range rows {
			if rows[i].rest != nil && (least < 0 || bytes.Compare(rows[i].rest, rows[least].rest) < 0) {
				least = i
			}
		}
		if least < 0 {
			return page, false, nil
		}
		at := rows[least].rest
		if done, err := q.add(tx, at[8:], &page); done || err != nil {
			return page, false, err
		}
		q.next = q.next.after(binary.BigEndian.Uint64(at), binary.BigEndian.Uint64(at[8:]))
		key, _ := rows[least].cursor.Next()
		step(least, key)
	}
	return page, true, nil
}
