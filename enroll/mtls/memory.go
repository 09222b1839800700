package mtls

import (
	"bytes"
	"crypto/x509"
	"hash/maphash"
	"slices"
	"sync"

	"github.com/payca/payca/policy"
)

// maxKept is how many bytes of certificates one recognition may hold on to: a peer may
// present what it likes beside its chain.
const maxKept = 16 << 10

// A memory holds the recognitions of an [Identifier].
type memory struct {
	bound int
	seed  maphash.Seed

	mu     sync.RWMutex
	known  map[listKey]*recognition // guarded by mu
	keys   []listKey                // those of known; guarded by mu
	oldest int                      // index into keys, once these are as many as bound; guarded by mu
}

// A listKey is where the recognition of a list is found, if there is one. It says nothing of the rest of
// the certificates: those that were found are compared.
type listKey struct {
	signatures uint64 // their hash
	use        policy.Use
}

func newMemory(bound int) *memory {
	return &memory{bound: bound, seed: maphash.MakeSeed(), known: map[listKey]*recognition{}}
}

// keyOf returns the key of a list. It is false for a list that is not remembered:
// one that has no chance to pass, or that is too large to keep.
func (m *memory) keyOf(presented []*x509.Certificate, use policy.Use) (listKey, bool) {
	size := 0
	for _, cert := range presented {
		if cert == nil || len(cert.Raw) == 0 {
			return listKey{}, false
		}
		if size += len(cert.Raw); size > maxKept {
			return listKey{}, false
		}
	}
	var hash maphash.Hash
	hash.SetSeed(m.seed)
	for _, cert := range presented {
		_, _ = hash.Write(cert.Signature) // cannot fail
	}
	return listKey{hash.Sum64(), use}, size > 0
}

// find returns what is known of exactly these certificates for the use of the key, or nil.
func (m *memory) find(key listKey, presented []*x509.Certificate) *recognition {
	m.mu.RLock()
	known := m.known[key]
	m.mu.RUnlock()
	if known == nil || !slices.EqualFunc(known.presented, presented, sameBytes) {
		return nil
	}
	return known
}

// sameBytes is quick for one object: crypto/tls in a client makes equal
// certificates one, and in a server those of one connection.
func sameBytes(a, b *x509.Certificate) bool { return a == b || bytes.Equal(a.Raw, b.Raw) }

// keep remembers a recognition in place of the one at its key, or of the oldest when the memory is full.
func (m *memory) keep(key listKey, r *recognition) {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, again := m.known[key]
	switch {
	case again: // at the same place in keys
	case len(m.keys) < m.bound:
		m.keys = append(m.keys, key)
	default:
		delete(m.known, m.keys[m.oldest])
		m.keys[m.oldest] = key
		m.oldest = (m.oldest + 1) % m.bound
	}
	m.known[key] = r
}
