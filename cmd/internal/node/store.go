package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/ocsp/feed"
)

var (
	certificates = []byte("certificates") // issuer, 0, serial -> entry
	meta         = []byte("meta")

	keyPosition    = []byte("position")    // up to where the list of issued certificates was read
	keyComplete    = []byte("complete")    // there once its end was reached
	keyCheckpoint  = []byte("checkpoint")  // signed note: up to where the changes were read
	keyVerifier    = []byte("verifier")    // key of pages and checkpoints
	keyDescription = []byte("description") // of the CA, as it answered last
)

// A store keeps what the node knows.
type store struct{ db *bbolt.DB }

func openStore(path string) (*store, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(certificates)
		_, err2 := tx.CreateBucketIfNotExists(meta)
		return errors.Join(err, err2)
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &store{db}, nil
}

// read returns what stands under a key of meta, nil for nothing.
func (s *store) read(key []byte) (value []byte) {
	_ = s.db.View(func(tx *bbolt.Tx) error { // which fails only when the store is closed
		value = bytes.Clone(tx.Bucket(meta).Get(key))
		return nil
	})
	return value
}

func (s *store) write(key, value []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(meta).Put(key, value) })
}

func (s *store) position() uint64 {
	if raw := s.read(keyPosition); len(raw) == 8 {
		return binary.BigEndian.Uint64(raw)
	}
	return 0
}

// addPage keeps the certificates of a page. Of those that are known already, changes have told more.
func (s *store) addPage(page feed.Page) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(certificates)
		for _, c := range page.Certificates {
			k := key(c.Issuer, c.Serial)
			if bucket.Get(k) != nil {
				continue
			}
			if err := bucket.Put(k, entry{state: c.State, reason: c.Reason, at: c.At, invalidity: c.Invalidity}.encode()); err != nil {
				return err
			}
		}
		if page.End {
			if err := tx.Bucket(meta).Put(keyComplete, []byte{1}); err != nil {
				return err
			}
		}
		return tx.Bucket(meta).Put(keyPosition, binary.BigEndian.AppendUint64(nil, page.Next))
	})
}

// apply keeps changes and the checkpoint that proves them. What is revoked for good stays revoked: a page may have
// told of it before the changes that led there.
func (s *store) apply(changes []feed.Change, signed []byte) error {
	return s.db.Update(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket(certificates)
		for _, c := range changes {
			serial, err := serialOf(c)
			if err != nil {
				return err
			}
			k := key(c.Issuer, serial)
			if before, ok := decodeEntry(bucket.Get(k)); ok && before.state == feed.Revoked && c.State != feed.Revoked {
				continue
			}
			e := entry{state: c.State, reason: c.Reason, at: c.At, invalidity: c.Invalidity}
			if c.State == feed.Released {
				e = entry{state: feed.Good, at: c.At}
			}
			if err := bucket.Put(k, e.encode()); err != nil {
				return err
			}
		}
		return tx.Bucket(meta).Put(keyCheckpoint, signed)
	})
}

// status is what is known of a serial.
func (s *store) status(issuer string, serial []byte) (st ocsp.Status, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		raw := tx.Bucket(certificates).Get(key(issuer, serial))
		if raw == nil {
			return nil
		}
		e, ok := decodeEntry(raw)
		if !ok {
			return fmt.Errorf("entry of %s %x: %x is none, want the store as it was written", issuer, serial, raw)
		}
		st = ocsp.Status{State: ocsp.Good, Since: e.at}
		if e.state != feed.Good {
			st = ocsp.Status{State: ocsp.Revoked, Reason: e.reason, RevokedAt: e.at, Since: e.at, Invalidity: e.invalidity}
		}
		return nil
	})
	return st, err
}

// serialOf reads the serial of a change.
func serialOf(c feed.Change) ([]byte, error) {
	n, ok := new(big.Int).SetString(c.Serial, 16)
	if !ok || n.Sign() <= 0 || n.BitLen() > 160 {
		return nil, fmt.Errorf("status change %d has serial %q, want 1 to 20 octets in hexadecimal", c.Epoch, c.Serial)
	}
	return n.Bytes(), nil
}

func key(issuer string, serial []byte) []byte {
	return append(append(append(make([]byte, 0, len(issuer)+1+len(serial)), issuer...), 0), serial...)
}

// An entry is what is kept of a certificate.
type entry struct {
	state          feed.State // Good, Revoked or Held
	reason         int
	at, invalidity time.Time
}

func (e entry) encode() []byte {
	state := map[feed.State]byte{feed.Good: 0, feed.Revoked: 1, feed.Held: 2}[e.state]
	if e.at.IsZero() && e.invalidity.IsZero() {
		return []byte{byte(e.reason)<<4 | state}
	}
	raw := []byte{byte(e.reason)<<4 | state}
	for _, t := range []time.Time{e.at, e.invalidity} {
		var seconds int64
		if !t.IsZero() {
			seconds = t.Unix()
		}
		raw = binary.AppendVarint(raw, seconds)
	}
	return raw
}

func decodeEntry(raw []byte) (e entry, ok bool) {
	if len(raw) == 0 || raw[0]&15 > 2 {
		return e, false
	}
	e = entry{state: [...]feed.State{feed.Good, feed.Revoked, feed.Held}[raw[0]&15], reason: int(raw[0] >> 4)}
	if raw = raw[1:]; len(raw) == 0 {
		return e, true
	}
	for _, t := range []*time.Time{&e.at, &e.invalidity} {
		seconds, n := binary.Varint(raw)
		if n <= 0 {
			return e, false
		}
		if raw = raw[n:]; seconds != 0 {
			*t = time.Unix(seconds, 0).UTC()
		}
	}
	return e, len(raw) == 0
}
