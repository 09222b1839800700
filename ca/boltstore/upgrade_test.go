package boltstore_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/bulk"
	"github.com/payca/payca/ca/storetest"
)

// oldRecords are the records of a store as older layouts have them, by index: in 1 and 2 the length of a JSON object, that, the hash
// of the key, the certificate; in 3 the form of today, but without a shard.
// late are the keys of the indexes that are written late now, and which all of them have whole.
func oldRecords(t testing.TB, path, version string) (old map[uint64][]byte, late map[string][][]byte) {
	t.Helper()
	store := open(t, path, noSync)
	old, late = map[uint64][]byte{}, map[string][][]byte{}
	for r, err := range store.Certificates(t.Context(), ca.Filter{}) {
		wantOK(t, err)
		sum := sha256.Sum256(r.DER)
		late["thumbprints"] = append(late["thumbprints"], binary.BigEndian.AppendUint64(sum[:8:8], r.Index))
		late["keys"] = append(late["keys"], binary.BigEndian.AppendUint64(r.SPKI[:8:8], r.Index))
		r.Revocation = nil
		if version >= "4" {
			continue // they are of the form of today
		}
		if version == "3" {
			old[r.Index] = plainRecord(r)
			continue
		}
		header, err := json.Marshal(r)
		wantOK(t, err)
		value := append(binary.BigEndian.AppendUint16(nil, uint16(len(header))), header...)
		old[r.Index] = append(append(value, r.SPKI[:]...), r.DER...)
	}
	wantOK(t, store.Close())
	return old, late
}

// makeOld writes the file again in the layout of version 1, or only its records as a later version had them.
func makeOld(t testing.TB, path, version string) {
	t.Helper()
	records, late := oldRecords(t, path, version)
	edit(t, path, func(tx *bbolt.Tx) error {
		for index, value := range records {
			if err := tx.Bucket([]byte("certificates")).Put(binary.BigEndian.AppendUint64(nil, index), value); err != nil {
				return err
			}
		}
		for bucket, keys := range late {
			for _, key := range keys {
				if err := tx.Bucket([]byte(bucket)).Put(key, nil); err != nil {
					return err
				}
			}
		}
		if err := tx.DeleteBucket([]byte("late")); err != nil {
			return err
		}
		if version == "5" {
			return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(version))
		}
		if err := tx.DeleteBucket([]byte("stolen-keys")); err != nil {
			return err
		}
		if version == "2" {
			if err := withoutUses(tx); err != nil {
				return err
			}
		}
		if version != "1" {
			return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte(version))
		}
		for _, name := range []string{"kinds", "kind-index", "expiry-index", "name-index", "revoked", "token-expiry"} {
			if err := tx.DeleteBucket([]byte(name)); err != nil && tx.Bucket([]byte(name)) != nil {
				return err
			}
		}
		for name, length := range map[string]int{"serials": 8, "party-index": 0} {
			old := map[string][]byte{}
			if err := tx.Bucket([]byte(name)).ForEach(func(key, value []byte) error {
				old[string(key)] = bytes.Clone(value[:min(length, len(value))])
				return nil
			}); err != nil {
				return err
			}
			for key, value := range old {
				if err := tx.Bucket([]byte(name)).Put([]byte(key), value); err != nil {
					return err
				}
			}
		}
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte("1"))
	})
}

// withoutUses names kinds as version 2 did, and forgets where messages are.
func withoutUses(tx *bbolt.Tx) error {
	kinds, old := tx.Bucket([]byte("kinds")), map[string][]byte{}
	if err := kinds.ForEach(func(key, value []byte) error {
		old[string(key)] = bytes.Clone(value)
		return nil
	}); err != nil {
		return err
	}
	for key, value := range old {
		if err := errors.Join(kinds.Delete([]byte(key)), kinds.Put([]byte(key[:strings.LastIndex(key, "\x00")]), value)); err != nil {
			return err
		}
	}
	return tx.DeleteBucket([]byte("outbox-states"))
}

// oldFile makes a file of version 1 with n certificates, every seventh revoked, and what fill makes.
func oldFile(t testing.TB, n int, version string) (path, dump string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "ca.db")
	store := open(t, path, noSync)
	fill(t, store)
	wantOK(t, store.CloseIntent(t.Context(), revocation(serial(3)), audit.Event{Time: epoch, Kind: audit.IntentClosed}))
	_, err := store.AddMessage(t.Context(), ca.Message{Target: "mail", Topic: "ends", State: ca.MessageWaiting, Changed: epoch, Items: []ca.MessageItem{{Serial: serial(1), NotAfter: epoch}}})
	wantOK(t, err)
	wantOK(t, bulk.Load(t.Context(), store, n, 512))
	count := 0
	for r, err := range store.Certificates(t.Context(), ca.Filter{}) {
		wantOK(t, err)
		if count++; count%700 == 0 {
			rev := revocation(r.Serial)
			rev.Issuer = r.Issuer
			if count%1400 == 0 {
				rev.Reason = ca.KeyCompromise
			}
			wantOK(t, store.Revoke(t.Context(), rev, audit.Event{Time: epoch, Kind: audit.CertificateRevoked}))
		}
	}
	dump = inventory(t, store)
	wantOK(t, store.Close())
	makeOld(t, path, version)
	return path, dump
}

// inventory is what every index says.
func inventory(t testing.TB, store ca.Store) string {
	t.Helper()
	var text strings.Builder
	yes := true
	for _, f := range []ca.Filter{
		{},
		{ByExpiry: true},
		{Revoked: &yes},
		{Kind: ca.KindServer},
		{Kind: ca.KindClient},
		{Party: "party-17"},
		{Role: "consumer"},
		{Issuer: "merchant"},
		{SAN: "shop-000000009.example.test"},
		{ExpiresBefore: epoch.AddDate(0, 1, 0), ByExpiry: true},
		{Issuer: issuer, Revoked: &yes},
	} {
		fmt.Fprintf(&text, "%+v\n", f.Party)
		for r, err := range store.Certificates(t.Context(), f) {
			wantOK(t, err)
			fmt.Fprintln(&text, r.Index, r.Serial, r.Revocation != nil)
			if found, err := store.ByThumbprint(t.Context(), sha256.Sum256(r.DER)); err != nil || found.Index != r.Index {
				t.Errorf("certificate %d by its thumbprint: got %d, %v", r.Index, found.Index, err)
			}
			if r.Revocation == nil {
				continue
			}
			known, err := store.Key(t.Context(), r.SPKI)
			wantOK(t, err)
			fmt.Fprintln(&text, "compromised", known.Compromised != nil, known.Newest.Serial)
		}
	}
	return text.String() + storetest.Dump(t, store, tokenID)
}

func TestAnOldFileIsUpgradedWhenItIsOpened(t *testing.T) {
	t.Parallel()
	path, want := oldFile(t, 4500, "1")
	_, err := boltstore.OpenReadOnly(path)
	if err == nil || !strings.Contains(err.Error(), "schema version 1, this payca reads 6: the next payca serve upgrades the file") {
		t.Errorf("got %v, want it to say what upgrades the file", err)
	}
	var logged bytes.Buffer
	store := open(t, path, func(cfg *boltstore.Config) { cfg.Logger = slog.New(slog.NewTextHandler(&logged, nil)) })
	if got := inventory(t, store); got != want {
		t.Errorf("got %d octets of inventory that are not the %d from before", len(got), len(want))
	}
	if got := strings.Count(logged.String(), "upgrading the store"); got != 2 {
		t.Errorf("got %d lines of progress, want 2: %s", got, &logged)
	}
	wantSound(t, store)
	if n, err := store.Collect(t.Context(), epoch.Add(time.Second), 10); err != nil || n != 1 {
		t.Errorf("got %d, %v, want the token of the old file collected", n, err)
	}
	_, err = issue(t.Context(), store, serial(99))
	wantOK(t, err)
	wantOK(t, store.Close())
	wantOK(t, open(t, path, nil).Close())
}

func TestAnUpgradeThatWasCutOffGoesOn(t *testing.T) {
	t.Parallel()
	path, want := oldFile(t, 4500, "1")
	for cut := range 3 { // each opening gets one step further
		steps := 0
		_, err := boltstore.Open(t.Context(), boltstore.Config{Path: path, Log: storetest.Log(t), BeforeCommit: func() error {
			if steps++; steps > min(cut, 1) {
				return errDisk
			}
			return nil
		}})
		if !errors.Is(err, errDisk) {
			t.Errorf("cut %d: got %v, want %v", cut, err, errDisk)
		}
	}
	if _, err := boltstore.OpenReadOnly(path); err == nil || !strings.Contains(err.Error(), "schema version 1 to 2") {
		t.Errorf("got %v, want a file that is half-way refused", err)
	}
	store := open(t, path, nil)
	if got := inventory(t, store); got != want {
		t.Errorf("got %d octets of inventory that are not the %d from before", len(got), len(want))
	}
	wantSound(t, store)
	wantOK(t, store.Close())
}

// Files of versions 2 to 5 keep their records as they are, and get new ones in the form of today.
func TestAFileOfALaterVersionIsReadAsItIs(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"2", "3", "4", "5"} {
		testReadAsItIs(t, version)
	}
}

// plainRecord is a record in the form of layout 3.
func plainRecord(r ca.Record) []byte {
	value := append([]byte{0, 0, 1}, r.Serial[:]...)
	value = binary.BigEndian.AppendUint64(value, uint64(r.NotBefore.Unix()))
	value = binary.BigEndian.AppendUint64(value, uint64(r.NotAfter.Unix()))
	for _, word := range []string{r.Issuer, r.Profile, r.Party, string(r.Role), r.Requester, r.Protocol} {
		value = append(binary.AppendUvarint(value, uint64(len(word))), word...)
	}
	return append(append(value, r.SPKI[:]...), r.DER...)
}

func testReadAsItIs(t *testing.T, version string) {
	t.Helper()
	path, want := oldFile(t, 1500, version)
	if _, err := boltstore.OpenReadOnly(path); err == nil || !strings.Contains(err.Error(), "the next payca serve upgrades the file") {
		t.Errorf("version %s: got %v, want it to say what upgrades the file", version, err)
	}
	store := open(t, path, nil)
	if got := inventory(t, store); got != want {
		t.Errorf("got %d octets of inventory that are not the %d from before", len(got), len(want))
	}
	_, err := issue(t.Context(), store, serial(99))
	wantOK(t, err)
	wantSound(t, store)
	wantOK(t, store.Close())
	store = open(t, path, nil)
	if _, err := store.BySerial(t.Context(), serial(99)); err != nil {
		t.Error(err)
	}
	wantOK(t, store.Close())
}
