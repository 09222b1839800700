package boltstore

import (
	"bytes"
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// A stream yields log indexes in ascending order, inside one transaction.
type stream interface {
	// seek returns the least index that is from or more; false if there is none. from never falls.
	seek(from uint64) (index uint64, ok bool)
}

// A run is the keys of a bucket that are a prefix and an index.
type run struct {
	cursor *bbolt.Cursor
	prefix []byte
	keep   func(value []byte) bool // nil keeps every key

	started bool
	index   uint64 // where the cursor stands
	ended   bool
}

func (r *run) seek(from uint64) (uint64, bool) {
	switch {
	case r.ended || r.started && r.index >= from:
		return r.index, !r.ended
	case r.started:
		if r.stand(r.cursor.Next()); r.ended || r.index >= from { // near by, more often than not
			return r.index, !r.ended
		}
	}
	r.started = true
	r.stand(r.cursor.Seek(append(r.prefix[:len(r.prefix):len(r.prefix)], number(from)...)))
	return r.index, !r.ended
}

// stand takes the key, or the next one that is to be kept.
func (r *run) stand(key, value []byte) {
	for ; bytes.HasPrefix(key, r.prefix) && key != nil; key, value = r.cursor.Next() {
		if len(key) == len(r.prefix)+8 && (r.keep == nil || r.keep(value)) {
			r.index = binary.BigEndian.Uint64(key[len(r.prefix):])
			return
		}
	}
	r.ended = true
}

// every yields what is in all of its streams.
type every []stream

func (e every) seek(from uint64) (uint64, bool) {
	for agreed := 0; agreed < len(e); {
		agreed = 0
		for _, s := range e {
			index, ok := s.seek(from)
			if !ok {
				return 0, false
			}
			if index == from {
				agreed++
			}
			from = index
		}
	}
	return from, true
}

// either yields what is in one of its streams.
type either []stream

func (e either) seek(from uint64) (least uint64, found bool) {
	for _, s := range e {
		if index, ok := s.seek(from); ok && (!found || index < least) {
			least, found = index, true
		}
	}
	return least, found
}
