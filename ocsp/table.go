package ocsp

import (
	"encoding/binary"
	"sync/atomic"
)

// A table finds index entries by key: open addressing with linear probing, so that a look-up touches one or two lines of
// memory. It is at most four fifths full. The zero table is empty.
//
// One at a time may write. Who reads takes no lock: it reads again, if the table was written meanwhile.
type table struct {
	slots   atomic.Pointer[[]slot] // none, or a power of two
	used    int
	writing atomic.Uint64 // odd while somebody writes
}

// A slot holds an entry, or is free.
type slot [entryWords]atomic.Uint64

// entryWords are 32 octets, so that an entry lies in one line of the processor's cache.
const entryWords = 4

// An indexEntry has no pointers, which spares the collector millions of them. Its words are: status, issuer and size of the
// serial, an octet each, one that is zero, and the last 4 octets of a serial of 20; its first 8; 8 more; then when it was
// revoked and since when it is as it is, seconds since 1970, 0 for none.
//
// The octet of the status is 16 * reason + state; no status is remembered that is Unknown, so 0 marks what is free. A key is
// an entry with nothing but issuer and serial.
type indexEntry [entryWords]uint64

// The octets of the words, from the left.
const (
	whatShift   = 56 // the status
	issuerShift = 48
	sizeShift   = 40
	tailShift   = 24 // the first of the last octets of a serial of over 16
	fullWords   = 16 // octets of a serial in words of their own
)

func newIndexKey(issuer uint8, serial []byte) (k indexEntry) {
	k[0] = uint64(issuer)<<issuerShift | uint64(len(serial))<<sizeShift
	if len(serial) < fullWords {
		var text [fullWords]byte
		copy(text[:], serial)
		serial = text[:]
	}
	k[1], k[2] = binary.BigEndian.Uint64(serial), binary.BigEndian.Uint64(serial[8:])
	for i, b := range serial[fullWords:] {
		k[0] |= uint64(b) << (tailShift - 8*i)
	}
	return k
}

// serial returns the serial in a buffer.
func (e *indexEntry) serial(text *[maxSerial]byte) []byte {
	binary.BigEndian.PutUint64(text[:], e[1])
	binary.BigEndian.PutUint64(text[8:], e[2])
	binary.BigEndian.PutUint32(text[fullWords:], uint32(e[0]))
	return text[:uint8(e[0]>>sizeShift)]
}

func (e *indexEntry) what() uint8 { return uint8(e[0] >> whatShift) }

// setKey gives an entry without a key that one.
func (e *indexEntry) setKey(k *indexEntry) { e[0], e[1], e[2] = e[0]|k[0], k[1], k[2] }

func (s *slot) load() (e indexEntry) {
	for i := range s {
		e[i] = s[i].Load()
	}
	return e
}

func (s *slot) store(e indexEntry) {
	for i := range s {
		s[i].Store(e[i])
	}
}

// look finds the entry of a key without a lock; sure is false if somebody wrote meanwhile.
func (t *table) look(k *indexEntry, hash uint64) (e indexEntry, known, sure bool) {
	before := t.writing.Load()
	if before&1 != 0 {
		return e, false, false
	}
	slots := t.slots.Load()
	if slots == nil {
		return e, false, t.writing.Load() == before
	}
	at, known := find(*slots, k, hash)
	if known {
		e = (*slots)[at].load()
	}
	return e, known, t.writing.Load() == before
}

const firstSlots = 16

// find returns where a key is, or where it would be.
func find(slots []slot, k *indexEntry, hash uint64) (at int, known bool) {
	mask := len(slots) - 1
	at = int(hash) & mask
	for range slots {
		s := &slots[at]
		first := s[0].Load()
		if first>>whatShift == 0 {
			return at, false
		}
		if first&(1<<whatShift-1) == k[0] && s[1].Load() == k[1] && s[2].Load() == k[2] {
			return at, true
		}
		at = (at + 1) & mask
	}
	return at, false // there is always one that is free, but for who reads while others write
}

// put sets an entry; hashOf is needed to make room.
func (t *table) put(e indexEntry, hash uint64, hashOf func(*indexEntry) uint64) {
	t.writing.Add(1)
	defer t.writing.Add(1)
	slots := t.room(hashOf)
	key := e
	key[0] &= 1<<whatShift - 1
	at, known := find(slots, &key, hash)
	slots[at].store(e)
	if !known {
		t.used++
	}
}

// room returns the slots with room for one more.
func (t *table) room(hashOf func(*indexEntry) uint64) []slot {
	var old []slot
	if slots := t.slots.Load(); slots != nil {
		old = *slots
	}
	if (t.used+1)*5 <= len(old)*4 {
		return old
	}
	slots := make([]slot, max(firstSlots, 2*len(old)))
	for i := range old {
		if e := old[i].load(); e.what() != 0 {
			key := e
			key[0] &= 1<<whatShift - 1
			at, _ := find(slots, &key, hashOf(&e))
			slots[at].store(e)
		}
	}
	t.slots.Store(&slots)
	return slots
}

// remove takes an entry out and moves those up that could not be found behind the gap.
func (t *table) remove(k *indexEntry, hash uint64, hashOf func(*indexEntry) uint64) {
	if t.slots.Load() == nil {
		return
	}
	slots := *t.slots.Load()
	gap, known := find(slots, k, hash)
	if !known {
		return
	}
	t.writing.Add(1)
	defer t.writing.Add(1)
	t.used--
	mask := len(slots) - 1
	for at := (gap + 1) & mask; ; at = (at + 1) & mask {
		e := slots[at].load()
		if e.what() == 0 {
			break
		}
		home := int(hashOf(&e)) & mask
		if (at-home)&mask >= (at-gap)&mask {
			slots[gap].store(e)
			gap = at
		}
	}
	slots[gap].store(indexEntry{})
}
