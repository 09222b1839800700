package boltstore

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"github.com/payca/payca/ca"
)

// FuzzParseRecord reads whatever may stand in a damaged file, and what it reads it writes again alike.
func FuzzParseRecord(f *testing.F) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	full := ca.Record{
		Serial: ca.Serial{1, 2}, Issuer: "merchant", Profile: "merchant", Party: "shop1", Role: "merchant", SPKI: [32]byte{3}, DER: []byte{0x30, 0},
		NotBefore: at, NotAfter: at.AddDate(0, 1, 0), Requester: "token:1", Protocol: "token",
	}
	sharded := full
	sharded.Shard = 300
	for _, r := range []ca.Record{full, sharded, {NotBefore: at, NotAfter: at}} {
		value, err := encodeRecord(r)
		if err != nil {
			f.Fatal(err)
		}
		if got, err := parseRecord(value); err != nil || !bytes.Equal(got.DER, r.DER) || got.Issuer != r.Issuer || !got.NotAfter.Equal(r.NotAfter) || got.Shard != r.Shard {
			f.Fatalf("got %+v, %v, want %+v", got, err, r)
		}
		f.Add(value)
	}
	f.Add([]byte("\x00\x02{}" + string(make([]byte, 32)) + "0"))
	f.Add([]byte{0, 0, 9})
	f.Fuzz(func(t *testing.T, value []byte) {
		r, err := parseRecord(value)
		if err != nil || value[0] != 0 || value[1] != 0 {
			return
		}
		again, err := encodeRecord(r)
		if err != nil {
			return // a year that time cannot hold
		}
		if s, err := parseRecord(again); err != nil || !reflect.DeepEqual(r, s) {
			t.Errorf("%x is read as %+v, written as %x and read as %+v, %v", value, r, again, s, err)
		}
	})
}

func TestARecordHasAShardThatExists(t *testing.T) {
	t.Parallel()
	for _, shard := range []int{-1, ca.MaxShards + 1} {
		if _, err := encodeRecord(ca.Record{Shard: shard}); err == nil {
			t.Errorf("shard %d: got nil, want a refusal", shard)
		}
	}
}

func TestARecordHasWholeSeconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 3, 4, 5, 6, time.UTC)
	for _, r := range []ca.Record{{NotBefore: at, NotAfter: at.Truncate(time.Second)}, {NotBefore: at.Truncate(time.Second), NotAfter: at}} {
		if _, err := encodeRecord(r); err == nil {
			t.Errorf("%v to %v: got nil, want a refusal", r.NotBefore, r.NotAfter)
		}
	}
}
