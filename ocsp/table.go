package ocsp

import (
	"encoding/binary"
	"sync/atomic"
)

// A table finds index entries by key: open addressing with linear probing by pairs of slots, each pair in one line of the
// processor's cache. It is at most four fifths full. The zero table is empty.
//
// A look-up waits for memory, so it is written to wait once: it reads a whole pair and decides then, for a decision that the
// processor guesses wrong makes it begin again only when the line is there, and keeps it from fetching what is asked for next.
//
// One at a time may write. Who reads takes no lock: it reads again, if the table was written meanwhile.
type table struct {
	slots   atomic.Pointer[[]slot] // none, or a power of two, pairSlots at least
	used    int
	writing atomic.Uint64 // odd while somebody writes
}

// A slot holds an entry, or is free.
type slot [entryWords]atomic.Uint64

const (
	entryWords = 4 // 32 octets, so that a pair is a line
	pairSlots  = 2
	firstSlots = 16
)

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
	fullWords   = 16 // octets of a serial in words of their own
)

// keyMask is what of the first word belongs to the key.
const keyMask = 1<<whatShift - 1

// setKey gives an entry without a key that of a serial.
func (e *indexEntry) setKey(issuer uint8, serial []byte) {
	e[0] |= uint64(issuer)<<issuerShift | uint64(len(serial))<<sizeShift
	if len(serial) != fullWords && len(serial) != maxSerial {
		var text [maxSerial]byte
		copy(text[:], serial)
		serial = text[:]
	}
	e[1], e[2] = binary.BigEndian.Uint64(serial), binary.BigEndian.Uint64(serial[8:])
	if len(serial) == maxSerial {
		e[0] |= uint64(binary.BigEndian.Uint32(serial[fullWords:]))
	}
}

// serial returns the serial in a buffer.
func (e *indexEntry) serial(text *[maxSerial]byte) []byte {
	binary.BigEndian.PutUint64(text[:], e[1])
	binary.BigEndian.PutUint64(text[8:], e[2])
	binary.BigEndian.PutUint32(text[fullWords:], uint32(e[0]))
	return text[:uint8(e[0]>>sizeShift)]
}

func (e *indexEntry) what() uint8 { return uint8(e[0] >> whatShift) }

func (s *slot) load() (e indexEntry) {
	for i := range s {
		e[i] = s[i].Load()
	}
	return e
}

func (s *slot) free() bool { return s[0].Load()>>whatShift == 0 }

func (s *slot) store(e indexEntry) {
	for i := range s {
		s[i].Store(e[i])
	}
}

// look finds the entry of a key without a lock: its first and its last word. sure is false if somebody wrote meanwhile.
func (t *table) look(k *indexEntry, hash uint64) (first, last uint64, known, sure bool) {
	before := t.writing.Load()
	if before&1 != 0 {
		return 0, 0, false, false
	}
	if all := t.slots.Load(); all != nil {
		slots := *all
		mask := len(slots) - 1
		at := home(hash, mask)
		for range len(slots) / pairSlots {
			pair := (*[pairSlots]slot)(slots[at:])
			inA, offA := pair[0].differs(k)
			inB, offB := pair[1].differs(k)
			if notA, notB := ones(offA), ones(offB); notA&notB == 0 { // one question, whose answer is nearly always yes
				first, last, known = inA&^notA|inB&^notB, pair[0][3].Load()&^notA|pair[1][3].Load()&^notB, true
				break
			}
			if inA == 0 || inB == 0 {
				break
			}
			at = (at + pairSlots) & mask
		}
	}
	return first, last, known, t.writing.Load() == before
}

// differs returns the first word of a slot, and zero if its key is that one.
func (s *slot) differs(k *indexEntry) (first, off uint64) {
	first = s[0].Load()
	return first, first&keyMask ^ k[0] | s[1].Load() ^ k[1] | s[2].Load() ^ k[2]
}

// ones has every bit set, unless n is zero.
func ones(n uint64) uint64 { return uint64(int64(n|-n) >> 63) }

// find returns where a key is, or where it would be, for who writes. A key is in the pair where its search begins, or in the
// first one from there on that had room: a pair with a free slot ends every search. No key is all zeros, as a free slot is.
func find(slots []slot, k *indexEntry, hash uint64) (at int, known bool) {
	mask := len(slots) - 1
	at = home(hash, mask)
	for {
		inA, offA := slots[at].differs(k)
		inB, offB := slots[at+1].differs(k)
		switch {
		case offA == 0 || inA == 0 && offB != 0:
			return at, offA == 0
		case offB == 0 || inB == 0:
			return at + 1, offB == 0
		}
		at = (at + pairSlots) & mask
	}
}

// home is the first slot of the pair where a search begins.
func home(hash uint64, mask int) int { return int(hash) & mask &^ (pairSlots - 1) }

// put sets an entry; hashOf is needed to make room.
func (t *table) put(e indexEntry, hash uint64, hashOf func(*indexEntry) uint64) {
	t.writing.Add(1)
	defer t.writing.Add(1)
	slots := t.room(hashOf)
	key := e
	key[0] &= keyMask
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
			key[0] &= keyMask
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
	for at, full := gap&^1, !slots[gap^1].free(); full; {
		at = (at + pairSlots) & mask
		full = !slots[at].free() && !slots[at+1].free()
		for i := at; i < at+pairSlots; i++ {
			e := slots[i].load()
			if e.what() != 0 && (at-home(hashOf(&e), mask))&mask >= (at-gap&^1)&mask {
				slots[gap].store(e)
				gap = i
				break
			}
		}
	}
	slots[gap].store(indexEntry{})
}
