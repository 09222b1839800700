package storetest

import (
	"path/filepath"
	"testing"

	"github.com/payca/payca/ca"
)

// A sentence is one promise of ca.Store and the test of it.
type sentence struct {
	name string
	test func(*testing.T, *world)
}

// Run tests the stores that open returns. Each is to be empty and use [Log]; Run closes it.
func Run(t *testing.T, open func(t *testing.T) ca.Store) {
	for _, group := range [][]sentence{issuance, tokens, status, inventory, registry, keys, outbox, changes, auditLog, approvals, random} {
		for _, s := range group {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, open(t))
				t.Cleanup(func() {
					if err := w.Close(); err != nil {
						t.Errorf("closing the store: %v", err)
					}
				})
				s.test(t, w)
				w.wantSound(t)
			})
		}
	}
}

// RunDurable tests that what was written is there after the store was closed and
// opened again. open opens or creates the store at the path, with [Log].
func RunDurable(t *testing.T, open func(t *testing.T, path string) ca.Store) {
	for _, s := range durable {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.test(t, filepath.Join(t.TempDir(), "store"), open)
		})
	}
}
