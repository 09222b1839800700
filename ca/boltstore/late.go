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

// How many entries of the thumbprint index wait in memory before they are written, and how many one transaction writes.
const (
	lateThumbs  = 1 << 16
	settleThumb = 1024
)

// keyThumbs stands in bucketLate for the log index below which bucketThumbs has every certificate.
var keyThumbs = []byte("thumbprints")

// thumb starts the SHA-256 of a certificate.
type thumb [8]byte

// A lateThumb is an entry of the thumbprint index: where the certificate is.
type lateThumb struct {
	thumb thumb
	index uint64
}

// thumbs are the entries of the thumbprint index that are not in the file yet. In the file each has a place of its own at random,
// and costs a page of it; many at once, in order, share pages. Nothing is lost with them: they are made again from the
// certificates when the file is opened. An entry may be of a certificate that was not committed in the end, so who
// finds one looks whether the certificate is the one.
type thumbs struct {
	mu       sync.Mutex
	entries  map[thumb][]uint64 // owned by mu
	count    int                // owned by mu
	settling bool               // owned by mu
	closed   bool               // owned by mu
	running  sync.WaitGroup
}

func (t *thumbs) add(e lateThumb) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.entries == nil {
		t.entries = map[thumb][]uint64{}
	}
	if !slices.Contains(t.entries[e.thumb], e.index) {
		t.entries[e.thumb] = append(t.entries[e.thumb], e.index)
		t.count++
	}
}

// find returns where certificates of that thumb may be.
func (t *thumbs) find(th thumb) []uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.entries[th])
}

// list returns the entries in the order of the file.
func (t *thumbs) list() []lateThumb {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]lateThumb, 0, t.count)
	for th, indexes := range t.entries {
		for _, index := range indexes {
			list = append(list, lateThumb{th, index})
		}
	}
	slices.SortFunc(list, func(a, b lateThumb) int {
		return cmp.Or(bytes.Compare(a.thumb[:], b.thumb[:]), cmp.Compare(a.index, b.index))
	})
	return list
}

// forget drops the entries below an index.
func (t *thumbs) forget(below uint64) {
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
func (t *thumbs) begin() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.settling || t.closed || t.count < lateThumbs {
		return false
	}
	t.settling = true
	t.running.Add(1)
	return true
}

func (t *thumbs) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.settling = false
	t.running.Done()
}

// close ends what settles.
func (t *thumbs) close() {
	t.mu.Lock()
	t.closed = true
	t.mu.Unlock()
	t.running.Wait()
}

func (t *thumbs) isClosed() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.closed
}

// settleThumbs writes the waiting entries into the file, if they are many. What cannot be written waits on.
func (s *Store) settleThumbs() {
	if !s.thumbs.begin() {
		return
	}
	go func() {
		defer s.thumbs.end()
		if err := s.writeThumbs(context.Background()); err != nil && !s.thumbs.isClosed() {
			s.cfg.Logger.LogAttrs(context.Background(), slog.LevelWarn, "the thumbprint index waits on", slog.Any("err", err))
		}
	}()
}

func (s *Store) writeThumbs(ctx context.Context) error {
	var list []lateThumb
	var below uint64
	// In a transaction of the writer's, whose certificates up to now all have their entries.
	err := s.db.Write(ctx, func(tx *bbolt.Tx) (err error) {
		list = s.thumbs.list()
		below, err = nextIndex(tx)
		return err
	})
	if err != nil {
		return err
	}
	for part := range slices.Chunk(list, settleThumb) {
		if s.thumbs.isClosed() {
			return nil
		}
		if err := s.db.Write(ctx, func(tx *bbolt.Tx) error { return boltlog.Undo(putThumbs(tx, part)) }); err != nil {
			return err
		}
	}
	err = s.db.Write(ctx, func(tx *bbolt.Tx) error { return boltlog.Undo(tx.Bucket(bucketLate).Put(keyThumbs, number(below))) })
	if err != nil {
		return err
	}
	s.thumbs.forget(below) // who looked here before sees the file as it was or is; who looks from now on, as it is
	return nil
}

func putThumbs(tx *bbolt.Tx, list []lateThumb) error {
	bucket := tx.Bucket(bucketThumbs)
	for _, e := range list {
		if err := bucket.Put(append(e.thumb[:], number(e.index)...), nil); err != nil {
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

// loadThumbs makes the entries that the file has not got.
func (s *Store) loadThumbs() error {
	return s.db.View(func(tx *bbolt.Tx) error {
		cursor, below := tx.Bucket(bucketCerts).Cursor(), number(0)
		if stands := tx.Bucket(bucketLate).Get(keyThumbs); len(stands) == len(below) {
			below = stands
		}
		for index, value := cursor.Seek(below); index != nil; index, value = cursor.Next() {
			record, err := parseRecord(value)
			if err != nil {
				return err
			}
			sum := sha256.Sum256(record.DER)
			s.thumbs.add(lateThumb{thumb(sum[:8]), binary.BigEndian.Uint64(index)})
		}
		return nil
	})
}

// ByThumbprint implements ca.Store. It asks for the waiting entries before it looks at the file: in one of the two is each.
func (s *Store) ByThumbprint(_ context.Context, thumbprint [32]byte) (record ca.Record, err error) {
	waiting := s.thumbs.find(thumb(thumbprint[:8]))
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
