package boltstore_test

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/big"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

const (
	issuer  = "payment"
	tokenID = "token"
)

var (
	epoch      = time.Date(2030, time.March, 4, 5, 6, 7, 0, time.UTC)
	bucketLog  = []byte("log")
	bucketHash = []byte("log-hashes")
)

func wantOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func serial(n int64) ca.Serial {
	s, err := ca.SerialOf(big.NewInt(n))
	if err != nil {
		panic(err) // n is positive
	}
	return s
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func intentOf(s ca.Serial) ca.Intent {
	return ca.Intent{Serial: s, Issuer: issuer, Profile: "merchant", Party: "acme", NotAfter: epoch.AddDate(1, 0, 0), At: epoch}
}

func issuanceOf(s ca.Serial) ca.Issuance {
	return ca.Issuance{
		Record: ca.Record{
			Serial: s, Issuer: issuer, Profile: "merchant", Party: "acme", Role: policy.Merchant,
			SPKI: sha256.Sum256(s[:]), DER: []byte("certificate " + s.String()), NotBefore: epoch, NotAfter: epoch.AddDate(1, 0, 0),
			Requester: "local", Protocol: "local",
		},
		Event: audit.Event{Time: epoch, Kind: audit.CertificateIssued, Serial: s.String()},
	}
}

func issue(ctx context.Context, store ca.Store, s ca.Serial) (ca.Record, error) {
	if err := store.Reserve(ctx, intentOf(s)); err != nil {
		return ca.Record{}, err
	}
	return store.Issue(ctx, issuanceOf(s))
}

func revocation(s ca.Serial) ca.Revocation {
	return ca.Revocation{Serial: s, Issuer: issuer, Reason: ca.Superseded, At: epoch, NotAfter: epoch.AddDate(1, 0, 0), By: "local"}
}

// fill makes the world in which each of writes succeeds once.
func fill(t testing.TB, store ca.Store) {
	t.Helper()
	ctx := t.Context()
	_, err := issue(ctx, store, serial(1))
	wantOK(t, err)
	wantOK(t, store.Reserve(ctx, intentOf(serial(2))))
	wantOK(t, store.Reserve(ctx, intentOf(serial(3))))
	wantOK(t, store.AddParty(ctx, policy.Party{ID: "acme", Role: policy.Merchant, State: policy.Active, Created: epoch}, audit.Event{Kind: audit.PartyAdded}))
	wantOK(t, store.AddToken(ctx, ca.Token{ID: tokenID, Party: "acme", NotAfter: epoch}, audit.Event{Kind: audit.TokenCreated}))
}

// A write is one of a store's methods that write.
type write struct {
	name  string
	write func(ctx context.Context, s ca.Store) error
}

// writes is one call of each.
func writes() []write {
	event := audit.Event{Time: epoch, Kind: audit.Started}
	return []write{
		{"Reserve", func(ctx context.Context, s ca.Store) error { return s.Reserve(ctx, intentOf(serial(4))) }},
		{"Issue", func(ctx context.Context, s ca.Store) error {
			is := issuanceOf(serial(2))
			is.Token, is.Use = tokenID, ca.TokenUse{Party: "acme", At: epoch, Serial: serial(2)}
			_, err := s.Issue(ctx, is)
			return err
		}},
		{"CloseIntent", func(ctx context.Context, s ca.Store) error { return s.CloseIntent(ctx, revocation(serial(3)), event) }},
		{"Revoke", func(ctx context.Context, s ca.Store) error { return s.Revoke(ctx, revocation(serial(1)), event) }},
		{"RaiseShards", func(ctx context.Context, s ca.Store) error {
			_, err := s.RaiseShards(ctx, issuer, 1<<20, event)
			return err
		}},
		{"Raise", func(ctx context.Context, s ca.Store) error { return s.Raise(ctx, ca.Floors{}, event) }},
		{"NextCRLNumber", func(ctx context.Context, s ca.Store) error { _, err := s.NextCRLNumber(ctx, issuer, event); return err }},
		{"AddParty", func(ctx context.Context, s ca.Store) error { return s.AddParty(ctx, policy.Party{ID: "bravo"}, event) }},
		{"UpdateParty", func(ctx context.Context, s ca.Store) error {
			return s.UpdateParty(ctx, policy.Party{ID: "acme", State: policy.Active}, event)
		}},
		{"CancelToken", func(ctx context.Context, s ca.Store) error {
			if err := s.AddToken(ctx, ca.Token{ID: "spare", NotAfter: epoch}, event); err != nil {
				return err
			}
			return s.CancelToken(ctx, "spare", ca.TokenCancellation{By: "local", At: epoch}, event)
		}},
		{"AddToken", func(ctx context.Context, s ca.Store) error { return s.AddToken(ctx, ca.Token{ID: "other"}, event) }},
		{"Append", func(ctx context.Context, s ca.Store) error { return s.Append(ctx, event) }},
	}
}

// edit changes a closed file behind the store's back.
func edit(t testing.TB, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	wantOK(t, err)
	wantOK(t, db.Update(change))
	wantOK(t, db.Close())
}
