package ocsp

// A table finds index entries by key: open addressing with linear probing, so that a look-up touches one or two lines of
// memory. It is at most four fifths full. The zero table is empty.
type table struct {
	slots []indexEntry // none, or a power of two; a what of 0 is free
	used  int
}

const firstSlots = 16

// find returns where a key is, or where it would be.
func (t *table) find(k *indexKey, hash uint64) (at int, known bool) {
	if len(t.slots) == 0 {
		return 0, false
	}
	mask := len(t.slots) - 1
	for at = int(hash) & mask; t.slots[at].what != 0; at = (at + 1) & mask {
		if t.slots[at].key == *k {
			return at, true
		}
	}
	return at, false
}

// put sets an entry; hashOf is needed to make room.
func (t *table) put(e indexEntry, hash uint64, hashOf func(*indexKey) uint64) {
	if (t.used+1)*5 > len(t.slots)*4 {
		t.grow(hashOf)
	}
	at, known := t.find(&e.key, hash)
	t.slots[at] = e
	if !known {
		t.used++
	}
}

func (t *table) grow(hashOf func(*indexKey) uint64) {
	old := t.slots
	t.slots = make([]indexEntry, max(firstSlots, 2*len(old)))
	for i := range old {
		if old[i].what != 0 {
			at, _ := t.find(&old[i].key, hashOf(&old[i].key))
			t.slots[at] = old[i]
		}
	}
}

// remove takes an entry out and moves those up that could not be found behind the gap.
func (t *table) remove(k *indexKey, hash uint64, hashOf func(*indexKey) uint64) {
	gap, known := t.find(k, hash)
	if !known {
		return
	}
	t.used--
	mask := len(t.slots) - 1
	for at := (gap + 1) & mask; t.slots[at].what != 0; at = (at + 1) & mask {
		home := int(hashOf(&t.slots[at].key)) & mask
		if (at-home)&mask >= (at-gap)&mask {
			t.slots[gap] = t.slots[at]
			gap = at
		}
	}
	t.slots[gap] = indexEntry{}
}
