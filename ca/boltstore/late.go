package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"log/slog"
	"slices"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/boltlog"
)

// How many entries of an index wait in memory before they are written, and how many one transaction writes.
const (
	lateEntries = 1 << 16
	settleRows  = 1024
)

// A short starts the SHA-256 of what an index is by.
type short [8]byte

// A lateEntry is an entry of an index that is written late: where the certificate is.
type lateEntry struct {
	short short
	index uint64
}

// A late is the entries of an index that are not in the file yet. In the file each has a place of its own at random, and costs
// a page of it; many at once, in order, share pages. Nothing is lost with them: they are made again from the certificates
// when the file is opened. An entry may be of a certificate that was not committed in the end, so who finds one looks
// whether the certificate is the one.
//
// In the bucket, or here, is each. So who reads asks here first, and then begins its transaction; the writer asks in its own.
type late struct {
	bucket []byte
	name   []byte // in bucketLate, of the log index below which the bucket has every certificate
	of     func(r *ca.Record) short

	mu       sync.Mutex
	entries  map[short][]uint64 // owned by mu
	count    int                // owned by mu
	settling bool               // owned by mu
	closed   bool               // owned by mu
	running  sync.WaitGroup
}

// lates makes the indexes that are written late.
func (s *Store) lates() []*late {
	s.thumbs.bucket, s.thumbs.name, s.thumbs.of = bucketThumbs, []byte("thumbprints"), func(r *ca.Record) short { sum := sha256.Sum256(r.DER); return short(sum[:8]) }
	s.keys.bucket, s.keys.name, s.keys.of = bucketKeys, []byte("keys"), func(r *ca.Record) short { return short(r.SPKI[:8]) }
	return []*late{&s.thumbs, &s.keys}
}

func (t *late) add(e lateEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil {
		t.entries = map[short][]uint64{}
	}
	if !slices.Contains(t.entries[e.short], e.index) {
		t.entries[e.short] = append(t.entries[e.short], e.index)
		t.count++
	}
}

// find returns where certificates of that hash may be, ascending.
func (t *late) find(hash [32]byte) []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Sorted(slices.Values(t.entries[short(hash[:8])]))
}

// list returns the entries in the order of the file.
func (t *late) list() []lateEntry {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]lateEntry, 0, t.count)
	for th, indexes := range t.entries {
		for _, index := range indexes {
			list = append(list, lateEntry{th, index})
		}
	}
	slices.SortFunc(list, func(a, b lateEntry) int {
		return cmp.Or(bytes.Compare(a.short[:], b.short[:]), cmp.Compare(a.index, b.index))
	})
	return list
}

// forget drops the entries below an index.
func (t *late) forget(below uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for th, indexes := range t.entries {
		left := slices.DeleteFunc(indexes, func(index uint64) bool { return index < below })
		t.count -= len(indexes) - len(left)
		if t.entries[th] = left; len(left) == 0 {
			delete(t.entries, th)
		}
	}
}

// begin reports whether there is enough to settle, and nobody at it.
func (t *late) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settling || t.closed || t.count < lateEntries {
		return false
	}
	t.settling = true
	t.running.Add(1)
	return true
}

func (t *late) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settling = false
	t.running.Done()
}

// close ends what settles.
func (t *late) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}

func (t *late) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// settle writes the waiting entries of an index into the file, if they are many. What cannot be written waits on.
func (s *Store) settle(t *late) {
	if !t.begin() {
		return
	}
	go func() {
		defer t.end()
		if err := s.write(context.Background(), t); err != nil && !t.isClosed() {
			s.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "an index waits on", slog.String("index", string(t.name)), slog.Any("err", err))
		}
	}()
}

func (s *Store) write(ctx context.Context, t *late) error {
	var list []lateEntry
	var below uint64
	// In a transaction of the writer's, whose certificates up to now all have their entries.
	err := s.db.Write(ctx, func(tx *bbolt.Tx) (err error) {
		list = t.list()
		below, err = nextIndex(tx)
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, settleRows) {
		if t.isClosed() {
			return nil
		}
		if err := s.db.Write(ctx, func(tx *bbolt.Tx) error { return boltlog.Undo(t.put(tx, part)) }); err != nil {
			return err
		}
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error { return boltlog.Undo(tx.Bucket(bucketLate).Put(t.name, number(below))) })
	if err != nil {
		return err
	}
	t.forget(below) // who looked here before sees the file as it was or is; who looks from now on, as it is
	return nil
}

func (t *late) put(tx *bbolt.Tx, list []lateEntry) error {
	bucket, certificates := tx.Bucket(t.bucket), tx.Bucket(bucketCerts)
	for _, e := range list {
		if certificates.Get(number(e.index)) == nil {
			continue // it was not committed
		}
		if err := bucket.Put(append(e.short[:], number(e.index)...), nil); err != nil {
			return err
		}
	}
	return nil
}

// nextIndex returns an index above that of every certificate.
func nextIndex(tx *bbolt.Tx) (uint64, error) {
	last, _ := tx.Bucket(bucketCerts).Cursor().Last()
	switch len(last) {
	case 0:
		return 0, nil
	case 8:
		return binary.BigEndian.Uint64(last) + 1, nil
	}
	return 0, errShortRecord
}

// load makes the entries that the file has not got.
func (s *Store) load(t *late) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		cursor, below := tx.Bucket(bucketCerts).Cursor(), number(0)
		if stands := tx.Bucket(bucketLate).Get(t.name); len(stands) == len(below) {
			below = stands
		}
		for index, value := cursor.Seek(below); index != nil; index, value = cursor.Next() {
			record, err := parseRecord(value)
			if err != nil {
				return err
			}
			t.add(lateEntry{t.of(&record), binary.BigEndian.Uint64(index)})
		}
		return nil
	})
}

// loadAll is load of all indexes that are written late.
func (s *Store) loadAll() error {
	for _, t := range s.lates() {
		if err := s.load(t); err != nil {
			return err
		}
	}
	return nil
}

// ByThumbprint implements ca.Store.
func (s *Store) ByThumbprint(_ context.Context, thumbprint [32]byte) (record ca.Record, err error) {
	waiting := s.thumbs.find(thumbprint)
	err = s.db.View(func(tx *bbolt.Tx) error {
		for _, index := range waiting {
			record, err = recordAt(tx, number(index))
			if err == nil && sha256.Sum256(record.DER) == thumbprint {
				return nil
			}
			if err != nil && !errors.Is(err, ca.ErrNotFound) {
				return err
			}
		}
		record, err = recordByThumb(tx, thumbprint)
		return err
	})
	if err != nil {
		return ca.Record{}, err
	}
	return record, nil
}
