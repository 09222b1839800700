package audit_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

func TestVerifyComputesTheRootOfEverySize(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	sizes := []int{999, 1000, 1001, 2100} // around what Verify holds at a time
	for size := range 71 {
		sizes = append(sizes, size)
	}
	for _, size := range sizes {
		m := filled(t, log, size)
		want, err := tlog.TreeHash(int64(size), m)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := audit.Verify(t.Context(), m, log.VerifierKey()); err != nil || got != (audit.Report{Size: uint64(size), Root: want}) {
			t.Errorf("size %d: got %+v, %v, want root %s", size, got, err, want)
		}
	}
}

func TestVerifyNamesTheFirstBadPlace(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, size := range []int{1, 2, 7, 8, 1003} {
		sound := filled(t, log, size)
		last := size - 1
		for _, tt := range []struct {
			name   string
			damage func(m *memory)
			want   uint64
		}{
			{"a leaf changed", func(m *memory) { m.leaves[last/2] = []byte("{}") }, uint64(last / 2)},
			{"the last leaf removed", func(m *memory) { m.leaves = m.leaves[:last] }, uint64(last)},
			{"the last leaf removed with its hash", func(m *memory) {
				m.leaves, m.hashes = m.leaves[:last], m.hashes[:tlog.StoredHashIndex(0, int64(last))]
			}, uint64(last)},
			{"a leaf that the head does not count", func(m *memory) {
				head := m.head
				if _, err := log.Append(m, audit.Event{}); err != nil {
					t.Fatal(err)
				}
				m.head = head
			}, uint64(size)},
			{"no head", func(m *memory) { m.head = nil }, 0},
			{"a leaf changed and its hash with it", func(m *memory) {
				m.leaves[0] = []byte("{}")
				m.hashes[0] = tlog.RecordHash(m.leaves[0])
			}, uint64(size)},
			{"two bad places", func(m *memory) { m.leaves[last], m.leaves[0] = []byte("{}"), []byte("{}") }, 0},
			{"a leaf changed and one too many", func(m *memory) {
				m.leaves[0] = []byte("{}")
				if _, err := log.Append(m, audit.Event{}); err != nil {
					t.Fatal(err)
				}
			}, 0},
		} {
			m := sound.clone()
			tt.damage(m)
			report, err := audit.Verify(t.Context(), m, log.VerifierKey())
			if bad := (*audit.Corruption)(nil); !errors.As(err, &bad) || bad.Index != tt.want || report != (audit.Report{}) {
				t.Errorf("%s of %d: got %+v, %v, want entry %d", tt.name, size, report, err, tt.want)
			}
		}
	}
}

func TestVerifyFollowsALogThatGrows(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, size := range []int{0, 1, 5, 1000} {
		m := filled(t, log, size)
		g := &growing{memory: m, left: 3, grow: func() {
			if _, err := log.Append(m, audit.Event{Kind: audit.Started}, audit.Event{Kind: audit.Started}); err != nil {
				t.Error(err)
			}
			if _, err := log.Seal(m); err != nil {
				t.Error(err)
			}
		}}
		got, err := audit.Verify(t.Context(), g, log.VerifierKey())
		if want, _ := tlog.TreeHash(int64(size+6), m); err != nil || got != (audit.Report{Size: uint64(size + 6), Root: want}) {
			t.Errorf("from %d: got %+v, %v, want %d entries with root %s", size, got, err, size+6, want)
		}
	}
}

// A growing log grows a few times, each after its head was read.
type growing struct {
	*memory
	left int
	grow func()
}

func (g *growing) Head(ctx context.Context) ([]byte, error) {
	head, err := g.memory.Head(ctx)
	if g.left > 0 {
		g.left--
		g.grow()
	}
	return head, err
}

func TestVerifyRefusesAnotherKeysHead(t *testing.T) {
	t.Parallel()
	m := filled(t, newLog(t, "pay.example/ca", 1), 3)
	if report, err := audit.Verify(t.Context(), m, newLog(t, "pay.example/ca", 2).VerifierKey()); err == nil {
		t.Errorf("got %+v, want an error", report)
	}
}

func TestAppendAndSealPassOnWhatTheHostFails(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	full := errors.New("no space left on device")
	for _, step := range []string{"size", "read", "put", "head"} {
		m := &failing{memory: filled(t, log, 3), step: step, err: full}
		_, appended := log.Append(m, audit.Event{Kind: audit.Started})
		_, sealed := log.Seal(m)
		if err := errors.Join(appended, sealed); !errors.Is(err, full) {
			t.Errorf("%s: got %v, want %v", step, err, full)
		}
	}
}

// A failing log fails at one step.
type failing struct {
	*memory
	step string
	err  error
}

func (f *failing) fail(step string) error {
	if step == f.step {
		return fmt.Errorf("%s: %w", step, f.err)
	}
	return nil
}

func (f *failing) Size() (uint64, error) {
	size, err := f.memory.Size()
	return size, errors.Join(err, f.fail("size"))
}

func (f *failing) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	if err := f.fail("read"); err != nil {
		return nil, err
	}
	return f.memory.ReadHashes(indexes)
}

func (f *failing) Put(index uint64, leaf []byte, hashes []tlog.Hash) error {
	if err := f.fail("put"); err != nil {
		return err
	}
	return f.memory.Put(index, leaf, hashes)
}

func (f *failing) SetHead(head []byte) error {
	if err := f.fail("head"); err != nil {
		return err
	}
	return f.memory.SetHead(head)
}
