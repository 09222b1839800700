package agent

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ca/boltlog"
	"github.com/payca/payca/payment"
)

// openUpgraded opens a store as an agent does.
func openUpgraded(t *testing.T, path, schema string, buckets [][]byte, beforeCommit func() error) (*boltlog.DB, error) {
	t.Helper()
	log, err := audit.New(audit.Config{Origin: "pay.test/merchant/shop", Signer: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))})
	if err != nil {
		t.Fatal(err)
	}
	return boltlog.Open(boltlog.Config{Path: path, Schema: schema, Buckets: buckets, Log: log, Upgrade: upgrade, NoSync: true, BeforeCommit: beforeCommit})
}

// firstStore makes a store as the first version had it, with that many payments, and returns their ids.
func firstStore(t *testing.T, path string, payments int) (ids []string) {
	t.Helper()
	db, err := openUpgraded(t, path, schemaFirst, [][]byte{[]byte("state"), []byte("objects"), []byte("operations"), []byte("jobs")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range payments {
		ids = append(ids, payment.NewID(time.Now()))
	}
	slices.Sort(ids)
	err = db.Write(t.Context(), func(tx *bbolt.Tx) error {
		put := func(bucket string, key []byte, value []byte) {
			if err := tx.Bucket([]byte(bucket)).Put(key, value); err != nil {
				t.Error(err)
			}
		}
		put("state", []byte("payout"), []byte(`"account"`))
		put("operations", []byte("no id/order/1"), operation{"peer", "digest", []byte("{}")}.encode())
		for i, id := range ids {
			put("state", []byte("sale/"+id), fmt.Append(nil, i))
			put("state", []byte("consumer/spiffe://consumer.pay.test/school/"+id), []byte(`"`+id+`"`))
			for number := range uint16(2) {
				r := Record{Payment: id, Kind: payment.KindOffer, Object: fmt.Sprintf("object %d of %s", number, id)}
				raw, err := r.encode(sha256.Sum256([]byte(r.Object)))
				if err != nil {
					t.Error(err)
				}
				put("objects", binary.BigEndian.AppendUint16([]byte(id), number), raw)
			}
			put("operations", []byte(Key(id, "accept", 1)), operation{"peer", "digest", []byte("{}")}.encode())
			raw, err := json.Marshal(Job{Name: "capture", ID: id + "#1"})
			if err != nil {
				t.Error(err)
			}
			put("jobs", []byte("capture\x00"+id+"#1"), raw)
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestAStoreOfTheFirstVersionIsUpgradedEvenIfThatIsCutOff(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.db")
	ids := firstStore(t, path, upgradeRows) // 5 rows each, so several steps
	steps := 0
	cut := errors.New("cut off")
	if _, err := openUpgraded(t, path, schema, buckets, func() error {
		if steps++; steps == 2 {
			return cut
		}
		return nil
	}); !errors.Is(err, cut) {
		t.Fatalf("got %v, want %v", err, cut)
	}
	if _, err := boltlog.OpenReadOnly(path, schemaFirst); err == nil {
		t.Error("half of an upgrade was read as a store of the first version")
	}
	db, err := openUpgraded(t, path, schema, buckets, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close() }()
	a := &Agent{db: db}
	if err := a.Read(func(tx *Tx) error { return checkUpgraded(t, tx, ids) }); err != nil {
		t.Error(err)
	}
}

func checkUpgraded(t *testing.T, tx *Tx, ids []string) error {
	if listed := slices.Collect(tx.Payments("sale")); !slices.Equal(listed, ids) {
		t.Errorf("got %d payments, want %d, in order", len(listed), len(ids))
	}
	if n := len(slices.Collect(tx.Names("consumer/"))); n != len(ids) {
		t.Errorf("got %d names of consumers, want %d", n, len(ids))
	}
	var payout string
	if err := tx.Get("payout", &payout); err != nil || payout != "account" {
		t.Errorf("got payout %q, %v, want account", payout, err)
	}
	for i, id := range ids {
		var n int
		if err := tx.Get("sale/"+id, &n); err != nil || n != i {
			return fmt.Errorf("sale %s: got %d, %w, want %d", id, n, err, i)
		}
		records, err := tx.Records(id)
		if err != nil || len(records) != 2 || records[1].Object != "object 1 of "+id {
			return fmt.Errorf("payment %s: got %d records, %w, want 2", id, len(records), err)
		}
		if !tx.Scheduled("capture", id+"#1") {
			return fmt.Errorf("payment %s: the job is gone", id)
		}
		if tx.bolt.Bucket(bucketPayments).Get(operationKey(Key(id, "accept", 1))) == nil {
			return fmt.Errorf("payment %s: the operation is gone", id)
		}
	}
	if tx.bolt.Bucket(bucketPayments).Get(operationKey("no id/order/1")) == nil {
		t.Error("the operation without a payment is gone")
	}
	for _, old := range []string{"objects", "operations", "jobs"} {
		if tx.bolt.Bucket([]byte(old)) != nil {
			t.Errorf("bucket %s is still there", old)
		}
	}
	return nil
}

func TestAStoreOfAnotherVersionIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "agent.db")
	db, err := openUpgraded(t, path, "payment-9", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	var other *boltlog.SchemaError
	if _, err := openUpgraded(t, path, schema, buckets, nil); !errors.As(err, &other) || other.Got != "payment-9" {
		t.Errorf("got %v, want a *boltlog.SchemaError", err)
	}
}

// taken is a value that is remembered decoded.
type taken struct {
	Parts []string `json:"parts"`
}

// Take implements copier.
func (v *taken) Take(from any) bool {
	other, ok := from.(*taken)
	if ok {
		v.Parts = slices.Clone(other.Parts)
	}
	return ok
}

func TestADecodedValueIsWhatTheStoreSays(t *testing.T) {
	t.Parallel()
	db, err := openUpgraded(t, filepath.Join(t.TempDir(), "agent.db"), schema, buckets, nil)
	if err != nil {
		t.Fatal(err)
	}
	a := &Agent{db: db}
	defer func() { _ = db.Close() }()
	put := func(fail error, parts ...string) {
		err := a.Write(context.Background(), func(tx *Tx) error { return errors.Join(tx.Put("thing", &taken{parts}), fail) })
		if !errors.Is(err, fail) {
			t.Errorf("got %v, want %v", err, fail)
		}
	}
	want := func(parts ...string) {
		t.Helper()
		for range 2 { // the second time it is known
			var v taken
			if err := a.Read(func(tx *Tx) error { return tx.Get("thing", &v) }); err != nil || !slices.Equal(v.Parts, parts) {
				t.Errorf("got %v, %v, want %v", v.Parts, err, parts)
			}
			v.Parts[0] = "changed by who read it"
		}
	}
	put(nil, "one")
	want("one")
	put(errors.New("undone"), "two")
	want("one")
	put(nil, "two")
	want("two")
	for i := range maxDecoded + 1 {
		if err := a.Write(t.Context(), func(tx *Tx) error { return tx.Put(fmt.Sprint(i), &taken{}) }); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(a.decoded.values); n > maxDecoded {
		t.Errorf("%d values are remembered, want at most %d", n, maxDecoded)
	}
	want("two")
}
