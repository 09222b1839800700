package boltstore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
)

// recordKeys is what the indexes need of a record beyond what it says itself.
type recordKeys struct {
	kind  []byte   // key in bucketKinds
	names [][]byte // 8 octets of the hash of each alternative name
	thumb short
}

// keysOf is made before the writer's turn, for it reads the certificate.
func keysOf(r ca.Record) (recordKeys, error) {
	for _, name := range []string{r.Issuer, r.Profile, string(r.Role), r.Party} {
		if strings.Contains(name, "\x00") {
			return recordKeys{}, fmt.Errorf("certificate record with the name %q, want one without NUL", name)
		}
	}
	keys := recordKeys{kind: []byte(r.Issuer + "\x00" + r.Profile + "\x00" + string(r.Role) + "\x00" + ca.CertificateKind(r.DER))}
	sum := sha256.Sum256(r.DER)
	keys.thumb = short(sum[:8])
	for _, name := range ca.AlternativeNames(r.DER) {
		keys.names = append(keys.names, nameKey(name))
	}
	return keys, nil
}

func nameKey(name string) []byte {
	sum := sha256.Sum256([]byte(name))
	return sum[:8:8]
}

func partyPrefix(party string) []byte { return append([]byte(party), 0) }

// seconds is the key form of a time, whole seconds in the order of the calendar.
func seconds(t time.Time) uint64 { return uint64(t.Unix()) ^ 1<<63 }

// putIndexes writes the keys under which a record is found. All but the serial's and the names' are
// appended, or nearly, to one place for each party or kind: a commit touches few pages for them.
func putIndexes(tx *bbolt.Tx, r ca.Record, keys recordKeys) error {
	index, expiry := number(r.Index), number(seconds(r.NotAfter))
	kind, err := kindOf(tx, keys.kind)
	if err != nil {
		return err
	}
	byKind := tx.Bucket(bucketByKind)
	errs := []error{
		tx.Bucket(bucketSerials).Put(r.Serial[:], append(index[:8:8], r.Issuer...)),
		tx.Bucket(bucketByParty).Put(append(partyPrefix(r.Party), index...), expiry),
		byKind.Put(append(kind[:2:2], index...), expiry),
		tx.Bucket(bucketExpiry).Put(append(append(kind[:2:2], expiry...), index...), nil),
	}
	for _, name := range keys.names {
		errs = append(errs, tx.Bucket(bucketNames).Put(append(name, index...), nil))
	}
	return errors.Join(errs...)
}

// kindOf returns the number of an issuer, profile, role and use of the key together, a new one if need be.
func kindOf(tx *bbolt.Tx, key []byte) ([]byte, error) {
	bucket := tx.Bucket(bucketKinds)
	if kind := bucket.Get(key); len(kind) == 2 {
		return bytes.Clone(kind), nil
	}
	n, err := bucket.NextSequence()
	if err != nil {
		return nil, err
	}
	if n > math.MaxUint16 {
		return nil, fmt.Errorf("issuer, profile, role and use %q: every number is taken, want at most %d kinds of certificate", key, math.MaxUint16)
	}
	kind := binary.BigEndian.AppendUint16(nil, uint16(n))
	return kind, bucket.Put(key, kind)
}

// kindsOf lists the kinds that the filter allows; there are few.
func kindsOf(tx *bbolt.Tx, f ca.Filter) (kinds [][]byte, err error) {
	err = tx.Bucket(bucketKinds).ForEach(func(key, kind []byte) error {
		part := strings.Split(string(key), "\x00")
		if len(part) == 3 { // of an older layout, which did not tell uses apart
			part = append(part, f.Kind)
		}
		if len(part) != 4 || len(kind) != 2 {
			return fmt.Errorf("kind of certificate %q -> %x, want issuer, profile, role, use and two octets", key, kind)
		}
		if (f.Issuer == "" || f.Issuer == part[0]) && (f.Profile == "" || f.Profile == part[1]) && (f.Role == "" || string(f.Role) == part[2]) &&
			(f.Kind == "" || f.Kind == part[3]) {
			kinds = append(kinds, kind)
		}
		return nil
	})
	return kinds, err
}
