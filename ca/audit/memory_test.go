package audit_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

// A memory is a log without a disk: an audit.Tx and an audit.Reader.
type memory struct {
	leaves [][]byte
	hashes []tlog.Hash
	head   []byte
}

func (m *memory) Size() (uint64, error) { return uint64(len(m.leaves)), nil }

func (m *memory) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		if index >= int64(len(m.hashes)) {
			return nil, fmt.Errorf("no hash %d", index)
		}
		hashes[i] = m.hashes[index]
	}
	return hashes, nil
}

func (m *memory) Put(index uint64, leaf []byte, hashes []tlog.Hash) error {
	first := tlog.StoredHashIndex(0, int64(index))
	if index != uint64(len(m.leaves)) || first != int64(len(m.hashes)) {
		return fmt.Errorf("leaf %d with hash %d put at %d with %d", index, first, len(m.leaves), len(m.hashes))
	}
	m.leaves, m.hashes = append(m.leaves, bytes.Clone(leaf)), append(m.hashes, hashes...)
	return nil
}

func (m *memory) SetHead(head []byte) error { m.head = head; return nil }

func (m *memory) Head(context.Context) ([]byte, error) { return m.head, nil }

func (m *memory) Leaves(_ context.Context, from uint64, limit int) ([][]byte, error) {
	from = min(from, uint64(len(m.leaves)))
	rest := m.leaves[from:]
	return rest[:min(limit, len(rest))], nil
}

func (m *memory) Hashes(_ context.Context, indexes []int64) ([]tlog.Hash, error) {
	return m.ReadHashes(indexes)
}

// clone is a copy to do damage to.
func (m *memory) clone() *memory {
	return &memory{leaves: slices.Clone(m.leaves), hashes: slices.Clone(m.hashes), head: bytes.Clone(m.head)}
}

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func newLog(t testing.TB, origin string, n byte) *audit.Log {
	t.Helper()
	log, err := audit.New(audit.Config{Origin: origin, Signer: key(n)})
	if err != nil {
		t.Fatal(err)
	}
	return log
}

// filled is a sealed log of so many events.
func filled(t testing.TB, log *audit.Log, size int) *memory {
	t.Helper()
	m := &memory{}
	for i := range size {
		if first, err := log.Append(m, audit.Event{Kind: audit.Started, Actor: fmt.Sprint(i)}); err != nil || first != uint64(i) {
			t.Fatalf("appending event %d: got index %d, %v", i, first, err)
		}
	}
	if size > 0 {
		if _, err := log.Seal(m); err != nil {
			t.Fatal(err)
		}
	}
	return m
}
