package ocsp

import (
	"math/rand/v2"
	"testing"
)

// A table must find what is in it, and nothing else, however few places the keys begin their search at.
func TestATableFindsKeysThatBeginAtOnePlace(t *testing.T) {
	t.Parallel()
	for _, places := range []uint64{1, 2, 3, 7, 1 << 40} {
		hashOf := func(e *indexEntry) uint64 { return e[2] % places * pairSlots }
		random := rand.New(rand.NewPCG(places, 1))
		var full table
		model := map[byte]uint64{}
		for range 20_000 {
			serial := byte(random.IntN(100) + 1)
			var k indexEntry
			k.setKey(1, append(make([]byte, 15), serial))
			if random.IntN(3) == 0 {
				full.remove(&k, hashOf(&k), hashOf)
				delete(model, serial)
			} else {
				e := k
				e[0] |= 1 << whatShift
				e[3] = random.Uint64()
				full.put(e, hashOf(&k), hashOf)
				model[serial] = e[3]
			}
			asked := byte(random.IntN(100) + 1)
			k = indexEntry{}
			k.setKey(1, append(make([]byte, 15), asked))
			first, last, known, sure := full.look(&k, hashOf(&k))
			if want, there := model[asked]; !sure || known != there || last != want || known && first>>whatShift != 1 {
				t.Fatalf("%d places: key %d: got %x, %x, %v, %v, want %x, %v", places, asked, first, last, known, sure, want, there)
			}
		}
		if full.used != len(model) {
			t.Errorf("%d places: %d are used, want %d", places, full.used, len(model))
		}
	}
}
