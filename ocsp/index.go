package ocsp

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// indexShards is how many parts an index has, each with a lock of its own.
const indexShards = 256

// An Index is a [Source] that remembers what another one said of the certificates that exist, in about 55 octets for each.
// What it does not know it asks the other, so it may be used before it is filled; what the other does not know it does
// not remember. It is safe for concurrent use.
type Index struct {
	next    Source
	limit   int
	issuers []string
	seed    maphash.Seed
	shards  [indexShards]indexShard
}

type indexShard struct {
	mu         sync.Mutex    // of who writes
	generation atomic.Uint64 // counts drops; changed under mu
	table      table         // written under mu
	_          [64]byte
}

// IndexConfig is what an [Index] is made from.
type IndexConfig struct {
	Source  Source
	Issuers []string // names of the issuers, at most 255
	Limit   int      // certificates that are remembered at most, 0 for 20 million
}

// NewIndex makes an empty index.
func NewIndex(cfg IndexConfig) (*Index, error) {
	if cfg.Source == nil || len(cfg.Issuers) == 0 || len(cfg.Issuers) > 255 || cfg.Limit < 0 {
		return nil, fmt.Errorf("new OCSP index: %d issuers, limit %d: want a Source and 1 to 255 issuers", len(cfg.Issuers), cfg.Limit)
	}
	if cfg.Limit == 0 {
		cfg.Limit = 20_000_000
	}
	return &Index{next: cfg.Source, limit: cfg.Limit / indexShards, issuers: slices.Clone(cfg.Issuers), seed: maphash.MakeSeed()}, nil
}

// place finds the shard and hash of a serial, and makes its key; nil if it is remembered nowhere.
func (x *Index) place(issuer string, serial []byte, k *indexEntry) (shard *indexShard, hash uint64) {
	number := slices.Index(x.issuers, issuer) // they are few
	if number < 0 || len(serial) == 0 || len(serial) > maxSerial {
		return nil, 0
	}
	k.setKey(uint8(number), serial)
	hash = maphash.Bytes(x.seed, serial)
	return &x.shards[hash%indexShards], hash / indexShards
}

// Status implements [Source].
func (x *Index) Status(ctx context.Context, issuer string, serial []byte) (st Status, err error) {
	var k indexEntry
	shard, hash := x.place(issuer, serial, &k)
	if shard == nil {
		return x.next.Status(ctx, issuer, serial)
	}
	generation := shard.generation.Load() // before it is looked for: what is dropped from here on is not put back
	what, times, known, sure := shard.table.look(&k, hash)
	if !sure { // somebody writes
		shard.mu.Lock()
		what, times, known, _ = shard.table.look(&k, hash)
		shard.mu.Unlock()
	}
	if known {
		// Set where it is returned: a copy of what was just written waits until the memory has answered.
		st.State, st.Reason = State(what>>whatShift&15), int(what>>(whatShift+4))
		if times != 0 {
			st.RevokedAt, st.Since = unpackTime(times>>32), unpackTime(times&(1<<32-1))
		}
		return st, nil
	}
	st, err = x.next.Status(ctx, issuer, serial)
	if err == nil {
		x.put(shard, &k, hash, st, generation)
	}
	return st, err
}

// put remembers a status unless something was dropped since it was read.
func (x *Index) put(shard *indexShard, k *indexEntry, hash uint64, st Status, generation uint64) {
	entry, ok := newIndexEntry(st)
	if !ok {
		return
	}
	entry[0], entry[1], entry[2] = entry[0]|k[0], k[1], k[2]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.generation.Load() == generation && shard.table.used < max(1, x.limit) {
		shard.table.put(entry, hash, x.hash)
	}
}

// hash is that of a key which is remembered already.
func (x *Index) hash(k *indexEntry) uint64 {
	var text [maxSerial]byte
	return maphash.Bytes(x.seed, k.serial(&text)) / indexShards
}

// newIndexEntry packs a status; false for one that is not remembered.
func newIndexEntry(st Status) (e indexEntry, ok bool) {
	if st.State == Unknown || st.Reason < 0 || st.Reason > reasonLast || !st.Invalidity.IsZero() {
		return e, false // dates of invalidity are rare: the source tells them
	}
	e[0] = uint64(uint8(st.Reason)<<4|uint8(st.State)) << whatShift
	for i, at := range []time.Time{st.RevokedAt, st.Since} {
		if at.IsZero() {
			continue
		}
		n, ok := seconds(at)
		if !ok || n == 0 || !time.Unix(int64(n), 0).Equal(at) {
			return e, false
		}
		e[3] |= uint64(n) << (32 * (1 - i))
	}
	return e, true
}

// unpackTime reads seconds, 0 for none.
func unpackTime(seconds uint64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// Drop forgets a serial. The caller has made the new status visible in the Source that the index was made from: once
// Drop has returned, nothing that was read before is told.
func (x *Index) Drop(issuer string, serial []byte) {
	var k indexEntry
	shard, hash := x.place(issuer, bytes.TrimLeft(serial, "\x00"), &k)
	if shard == nil {
		return
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.generation.Add(1)
	shard.table.remove(&k, hash, x.hash)
}

// An IndexEntry is a certificate's status as [Index.Fill] takes it.
type IndexEntry struct {
	Issuer string
	Serial []byte // magnitude, big endian, without leading zeros
	Status Status
}

// Fill remembers a page of statuses after another. A page was read from the Source after the call for it; what was dropped
// meanwhile is not remembered from it. It ends with the first error, or after the last page.
func (x *Index) Fill(pages iter.Seq2[[]IndexEntry, error]) error {
	before := x.generations()
	for page, err := range pages {
		if err != nil {
			return err
		}
		for _, e := range page {
			var k indexEntry
			if shard, hash := x.place(e.Issuer, e.Serial, &k); shard != nil {
				x.put(shard, &k, hash, e.Status, before[shard])
			}
		}
		before = x.generations() // before the next page is read
	}
	return nil
}

func (x *Index) generations() map[*indexShard]uint64 {
	list := make(map[*indexShard]uint64, indexShards)
	for i := range x.shards {
		list[&x.shards[i]] = x.shards[i].generation.Load()
	}
	return list
}

// Len returns how many certificates are remembered.
func (x *Index) Len() (n int) {
	for i := range x.shards {
		x.shards[i].mu.Lock()
		n += x.shards[i].table.used
		x.shards[i].mu.Unlock()
	}
	return n
}
