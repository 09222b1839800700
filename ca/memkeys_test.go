package ca_test

import (
	"bytes"
	"context"
	"iter"
	"maps"
	"slices"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// The keys and re-checks of a memStore.

func (m *memStore) key(hash ca.KeyHash) (known ca.Key) {
	if b, ok := m.blocked[hash]; ok {
		known.Blocked = &b
	}
	for _, i := range m.byKey[hash] {
		r := m.records[i]
		known.Newest = &r
		if r.Revocation != nil && r.Revocation.Reason == ca.KeyCompromise {
			known.Compromised = r.Revocation
		}
	}
	return known
}

func (m *memStore) Key(_ context.Context, hash ca.KeyHash) (ca.Key, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.key(hash), nil
}

func (m *memStore) ChangeKey(ctx context.Context, c ca.KeyChange) ([]ca.Revocation, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failChange != nil {
		return nil, m.failChange
	}
	changes := map[int]ca.KeyRevocation{}
	for _, i := range m.byKey[c.Key] {
		if c.Decide == nil {
			break
		}
		change, err := c.Decide(m.records[i])
		if err != nil {
			return nil, err
		}
		if change != nil {
			changes[i] = *change
		}
	}
	if _, stands := m.blocked[c.Key]; c.Block != nil && !stands {
		m.blocked[c.Key] = *c.Block
		m.log(c.Event)
	} else if c.Block != nil && len(changes) == 0 {
		return nil, ca.ErrExists
	}
	var written []ca.Revocation
	for _, i := range slices.Sorted(maps.Keys(changes)) {
		rev := changes[i].Revocation
		m.records[i].Revocation = &rev
		m.log(changes[i].Event)
		written = append(written, rev)
	}
	return written, ctx.Err()
}

func (m *memStore) UnblockKey(_ context.Context, hash ca.KeyHash, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.blocked[hash]; !ok {
		return ca.ErrNotFound
	}
	delete(m.blocked, hash)
	m.log(e)
	return nil
}

func (m *memStore) BlockedKeys(context.Context, ca.KeyHash) iter.Seq2[ca.BlockedKey, error] {
	panic("not used by package ca")
}

func (m *memStore) Recheck(context.Context) (ca.Recheck, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.recheck, nil
}

func (m *memStore) SaveRecheck(_ context.Context, r ca.Recheck, found []ca.Finding, cleared []ca.Serial, events ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failChange != nil {
		return m.failChange
	}
	m.recheck = r
	for _, f := range found {
		m.found[f.Serial] = f
	}
	for _, s := range cleared {
		delete(m.found, s)
	}
	for _, e := range events {
		m.log(e)
	}
	return nil
}

func (m *memStore) Finding(_ context.Context, s ca.Serial) (ca.Finding, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f, ok := m.found[s]; ok {
		return f, nil
	}
	return ca.Finding{}, ca.ErrNotFound
}

func (m *memStore) Findings(_ context.Context, after ca.Serial) iter.Seq2[ca.Finding, error] {
	m.mu.Lock()
	found := maps.Clone(m.found)
	m.mu.Unlock()
	return func(yield func(ca.Finding, error) bool) {
		for _, s := range slices.SortedFunc(maps.Keys(found), func(a, b ca.Serial) int { return bytes.Compare(a[:], b[:]) }) {
			if bytes.Compare(s[:], after[:]) > 0 && !yield(found[s], nil) {
				return
			}
		}
	}
}

func (m *memStore) wantFree(intents []ca.Intent) error {
	for _, in := range intents {
		_, closed := m.closed[in.Serial]
		_, issued := m.bySer[in.Serial]
		if closed || issued || m.intent(in.Serial) >= 0 {
			return ca.ErrSerialUsed
		}
	}
	return nil
}
