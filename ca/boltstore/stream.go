package boltstore

import (
	"bytes"
	"encoding/binary"
	"math"

	"go.etcd.io/bbolt"
)

// A stream yields log indexes in ascending order, inside one transaction.
type stream interface {
	// seek returns the least index that is from or more; false if there is none. from never falls.
	seek(from uint64) (index uint64, ok bool)
	// value is what stands at the index that seek returned last.
	value() []byte
}

// A run is the keys of a bucket that are a prefix and an index.
type run struct {
	cursor *bbolt.Cursor
	prefix []byte

	started bool
	index   uint64 // where the cursor stands
	at      []byte // and what stands there
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

func (r *run) value() []byte { return r.at }

// stand takes the key, or the next one that is of this run.
func (r *run) stand(key, value []byte) {
	for ; bytes.HasPrefix(key, r.prefix) && key != nil; key, value = r.cursor.Next() {
		if len(key) == len(r.prefix)+8 {
			r.at, r.index = value, binary.BigEndian.Uint64(key[len(r.prefix):])
			return
		}
	}
	r.ended = true
}

// A listed is indexes, ascending.
type listed struct{ indexes []uint64 }

func (l *listed) value() []byte { return nil }

func (l *listed) seek(from uint64) (uint64, bool) {
	for len(l.indexes) > 0 && l.indexes[0] < from {
		l.indexes = l.indexes[1:]
	}
	if len(l.indexes) == 0 {
		return 0, false
	}
	return l.indexes[0], true
}

// every yields what is in all of its streams and passes.
type every struct {
	streams []stream
	pass    func(value []byte) bool // judges the value of the last stream, nil for none
}

func (e *every) value() []byte { return e.streams[len(e.streams)-1].value() }

func (e *every) seek(from uint64) (index uint64, ok bool) {
	for index, ok = e.agree(from); ok && e.pass != nil && !e.pass(e.value()); index, ok = e.agree(index + 1) {
		if index == math.MaxUint64 {
			return 0, false
		}
	}
	return index, ok
}

// agree is the least index that all streams have.
func (e *every) agree(from uint64) (uint64, bool) {
	for agreed := 0; agreed < len(e.streams); {
		agreed = 0
		for _, s := range e.streams {
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
type either struct {
	streams []stream
	least   stream // that had it
}

func (e *either) value() []byte { return e.least.value() }

func (e *either) seek(from uint64) (least uint64, found bool) {
	for _, s := range e.streams {
		if index, ok := s.seek(from); ok && (!found || index < least) {
			least, found, e.least = index, true, s
		}
	}
	return least, found
}
