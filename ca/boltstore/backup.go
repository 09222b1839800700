package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
)

// A Snapshot is what a copy of the store holds.
type Snapshot struct {
	boltlog.Snapshot
	CRLNumbers   map[string]uint64 // by issuer: the number used last
	Certificates uint64            // in the inventory
	Serials      uint64            // used up: those of the certificates, and of intents that came to nothing
}

// Copy writes the file as it is at one moment, as [boltlog.DB.Copy] does.
func (s *Store) Copy(begin func(Snapshot) (io.Writer, error)) error {
	return s.db.Copy(func(tx *bbolt.Tx, file boltlog.Snapshot) (io.Writer, error) {
		snapshot, err := snapshotOf(tx, file)
		if err != nil {
			return nil, err
		}
		return begin(snapshot)
	})
}

func snapshotOf(tx *bbolt.Tx, file boltlog.Snapshot) (Snapshot, error) {
	snapshot := Snapshot{
		Snapshot: file, CRLNumbers: map[string]uint64{},
		Certificates: uint64(tx.Bucket(bucketCerts).Stats().KeyN), Serials: uint64(tx.Bucket(bucketSerials).Stats().KeyN),
	}
	return snapshot, tx.Bucket(bucketCRL).ForEach(func(issuer, raw []byte) error {
		if len(raw) != 8 {
			return fmt.Errorf("CRL number of the %s CA has %d octets, want 8", issuer, len(raw))
		}
		snapshot.CRLNumbers[string(issuer)] = binary.BigEndian.Uint64(raw)
		return nil
	})
}

// Newest returns what a copy of the store would hold now.
func (s *Store) Newest() (newest Snapshot, err error) {
	err = s.db.Newest(func(tx *bbolt.Tx, file boltlog.Snapshot) error {
		newest, err = snapshotOf(tx, file)
		return err
	})
	return newest, err
}

// Raise implements ca.Store.
func (s *Store) Raise(ctx context.Context, floors ca.Floors, event audit.Event) error {
	for issuer, floor := range floors.CRLNumbers {
		if floor == math.MaxUint64 {
			return fmt.Errorf("raising the CRL number of the %s CA to %d: no number would be left", issuer, floor)
		}
	}
	return s.db.Write(ctx, func(tx *bbolt.Tx) error {
		over, err := unused(tx, floors)
		if err != nil {
			return err
		}
		return boltlog.Writing(
			func() error { return raiseNumbers(tx.Bucket(bucketCRL), floors.CRLNumbers) },
			func() error {
				for _, token := range over {
					token.NotAfter = floors.Tokens
					if err := putToken(tx, &token); err != nil {
						return err
					}
				}
				return nil
			},
			s.appends(tx, event),
		)
	})
}

func raiseNumbers(bucket *bbolt.Bucket, floors map[string]uint64) error {
	for issuer, floor := range floors {
		if raw := bucket.Get([]byte(issuer)); len(raw) == 8 && binary.BigEndian.Uint64(raw) >= floor {
			continue
		}
		if err := bucket.Put([]byte(issuer), number(floor)); err != nil {
			return err
		}
	}
	return nil
}

// unused lists the tokens that nobody used and that would last longer than floors.Tokens.
func unused(tx *bbolt.Tx, floors ca.Floors) (tokens []ca.Token, err error) {
	if floors.Tokens.IsZero() {
		return nil, nil
	}
	err = tx.Bucket(bucketTokens).ForEach(func(_, raw []byte) error {
		token, err := parseToken(raw)
		if err != nil {
			return err
		}
		if token.Used == nil && token.NotAfter.After(floors.Tokens) {
			tokens = append(tokens, token)
		}
		return nil
	})
	return tokens, err
}
