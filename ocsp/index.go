package ocsp

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"iter"
	"sync"
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
	issuers map[string]uint8
	seed    maphash.Seed
	shards  [indexShards]indexShard
}

type indexShard struct {
	mu         sync.RWMutex
	generation uint64 // guarded by mu; counts drops
	table      table  // guarded by mu
	_          [56]byte
}

type indexKey struct {
	issuer, size uint8
	serial       [maxSerial]byte
}

// An indexEntry has no pointers, which spares the collector millions of them, and 32 octets, so that it lies in one line of
// the processor's cache.
type indexEntry struct {
	key              indexKey
	what             uint8 // 16 * reason + state; no status is remembered that is Unknown, so 0 marks what is free
	_                uint8
	revokedAt, since uint32 // seconds since 1970, 0 for none
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
	x := &Index{next: cfg.Source, limit: cfg.Limit / indexShards, issuers: map[string]uint8{}, seed: maphash.MakeSeed()}
	for i, name := range cfg.Issuers {
		x.issuers[name] = uint8(i)
	}
	return x, nil
}

// place finds the shard, key and hash of a serial; nil if it is remembered nowhere.
func (x *Index) place(issuer string, serial []byte) (shard *indexShard, k indexKey, hash uint64) {
	number, ok := x.issuers[issuer]
	if !ok || len(serial) > maxSerial {
		return nil, k, 0
	}
	k.issuer = number
	k.size = uint8(copy(k.serial[:], serial))
	hash = maphash.Bytes(x.seed, serial)
	return &x.shards[hash%indexShards], k, hash / indexShards
}

// Status implements [Source].
func (x *Index) Status(ctx context.Context, issuer string, serial []byte) (Status, error) {
	shard, k, hash := x.place(issuer, serial)
	if shard == nil {
		return x.next.Status(ctx, issuer, serial)
	}
	shard.mu.RLock()
	var entry indexEntry
	at, known := shard.table.find(&k, hash)
	if known {
		entry = shard.table.slots[at]
	}
	generation := shard.generation
	shard.mu.RUnlock()
	if known {
		return entry.status(), nil
	}
	st, err := x.next.Status(ctx, issuer, serial)
	if err == nil {
		x.put(shard, k, hash, st, generation)
	}
	return st, err
}

// put remembers a status unless something was dropped since it was read.
func (x *Index) put(shard *indexShard, k indexKey, hash uint64, st Status, generation uint64) {
	entry, ok := newIndexEntry(st)
	if !ok {
		return
	}
	entry.key = k
	shard.mu.Lock()
	defer shard.mu.Unlock()
	if shard.generation == generation && shard.table.used < max(1, x.limit) {
		shard.table.put(entry, hash, x.hash)
	}
}

// hash is that of a key which is remembered already.
func (x *Index) hash(k *indexKey) uint64 {
	return maphash.Bytes(x.seed, k.serial[:k.size]) / indexShards
}

// newIndexEntry packs a status; false for one that is not remembered.
func newIndexEntry(st Status) (e indexEntry, ok bool) {
	if st.State == Unknown || st.Reason < 0 || st.Reason > reasonLast || !st.Invalidity.IsZero() {
		return e, false // dates of invalidity are rare: the source tells them
	}
	e.what = uint8(st.Reason)<<4 | uint8(st.State)
	for _, part := range []struct {
		to   *uint32
		time time.Time
	}{{&e.revokedAt, st.RevokedAt}, {&e.since, st.Since}} {
		if part.time.IsZero() {
			continue
		}
		if *part.to, ok = seconds(part.time); !ok || *part.to == 0 || !time.Unix(int64(*part.to), 0).Equal(part.time) {
			return e, false
		}
	}
	return e, true
}

func (e indexEntry) status() Status {
	at := func(n uint32) time.Time {
		if n == 0 {
			return time.Time{}
		}
		return time.Unix(int64(n), 0).UTC()
	}
	return Status{State: State(e.what & 15), Reason: int(e.what >> 4), RevokedAt: at(e.revokedAt), Since: at(e.since)}
}

// Drop forgets a serial. The caller has made the new status visible in the Source that the index was made from: once
// Drop has returned, nothing that was read before is told.
func (x *Index) Drop(issuer string, serial []byte) {
	shard, k, hash := x.place(issuer, bytes.TrimLeft(serial, "\x00"))
	if shard == nil {
		return
	}
	shard.mu.Lock()
	defer shard.mu.Unlock()
	shard.generation++
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
			if shard, k, hash := x.place(e.Issuer, e.Serial); shard != nil {
				x.put(shard, k, hash, e.Status, before[shard])
			}
		}
		before = x.generations() // before the next page is read
	}
	return nil
}

func (x *Index) generations() map[*indexShard]uint64 {
	list := make(map[*indexShard]uint64, indexShards)
	for i := range x.shards {
		shard := &x.shards[i]
		shard.mu.RLock()
		list[shard] = shard.generation
		shard.mu.RUnlock()
	}
	return list
}

// Len returns how many certificates are remembered.
func (x *Index) Len() (n int) {
	for i := range x.shards {
		x.shards[i].mu.RLock()
		n += x.shards[i].table.used
		x.shards[i].mu.RUnlock()
	}
	return n
}
