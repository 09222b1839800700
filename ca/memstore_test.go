package ca_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"iter"
	"slices"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

// errDisk is what a memStore answers that was told to fail.
var errDisk = errors.New("no space left on device")

// A memStore is a ca.Store without a disk. It can be told to fail, as a full disk does.
type memStore struct {
	mu      sync.Mutex
	intents []ca.Intent
	closed  map[ca.Serial]ca.Revocation
	records []ca.Record
	bySer   map[ca.Serial]int
	byKey   map[[32]byte][]int // by SPKI
	parties map[string]policy.Party
	tokens  map[string]ca.Token
	crls    map[string]uint64
	leaves  [][]byte
	blocked map[ca.KeyHash]ca.BlockedKey
	recheck ca.Recheck
	found   map[ca.Serial]ca.Finding

	failReserve, failIssue, failAppend, failChange, failCheck error
	onIssue                                                   func() // before an issuance is committed
}

func newMemStore() *memStore {
	return &memStore{
		closed: map[ca.Serial]ca.Revocation{}, bySer: map[ca.Serial]int{}, byKey: map[[32]byte][]int{},
		parties: map[string]policy.Party{}, tokens: map[string]ca.Token{}, crls: map[string]uint64{},
		blocked: map[ca.KeyHash]ca.BlockedKey{}, found: map[ca.Serial]ca.Finding{},
	}
}

func (m *memStore) Check(context.Context) error { return m.failCheck }

func (m *memStore) log(e audit.Event) {
	leaf, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	m.leaves = append(m.leaves, leaf)
}

func (m *memStore) intent(s ca.Serial) int {
	return slices.IndexFunc(m.intents, func(in ca.Intent) bool { return in.Serial == s })
}

func (m *memStore) Reserve(ctx context.Context, in ca.Intent) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failReserve != nil {
		return m.failReserve
	}
	_, closed := m.closed[in.Serial]
	_, issued := m.bySer[in.Serial]
	if closed || issued || m.intent(in.Serial) >= 0 {
		return ca.ErrSerialUsed
	}
	m.intents = append(m.intents, in)
	return ctx.Err()
}

func (m *memStore) Issue(ctx context.Context, is ca.Issuance) (ca.Record, error) {
	if m.onIssue != nil {
		m.onIssue()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.failIssue, ctx.Err()); err != nil {
		return ca.Record{}, err
	}
	i := m.intent(is.Record.Serial)
	if i < 0 {
		return ca.Record{}, ca.ErrNoIntent
	}
	if is.Admit != nil {
		if err := is.Admit(m.key(is.Record.SPKI)); err != nil {
			return ca.Record{}, err
		}
	}
	if is.Token != "" {
		t, ok := m.tokens[is.Token]
		if !ok {
			return ca.Record{}, ca.ErrNotFound
		}
		if t.Used != nil {
			return ca.Record{}, &ca.TokenUsedError{ID: t.ID, By: *t.Used}
		}
		t.Used = &is.Use
		m.tokens[is.Token] = t
	}
	m.intents = slices.Delete(m.intents, i, i+1)
	is.Record.Index = uint64(len(m.leaves))
	m.bySer[is.Record.Serial] = len(m.records)
	m.byKey[is.Record.SPKI] = append(m.byKey[is.Record.SPKI], len(m.records))
	m.records = append(m.records, is.Record)
	m.log(is.Event)
	return is.Record, nil
}

func (m *memStore) Intents(context.Context) ([]ca.Intent, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.intents), nil
}

func (m *memStore) CloseIntent(ctx context.Context, rev ca.Revocation, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := m.intent(rev.Serial)
	if i < 0 {
		return ca.ErrNoIntent
	}
	m.intents = slices.Delete(m.intents, i, i+1)
	m.closed[rev.Serial] = rev
	m.log(e)
	return ctx.Err()
}

func (m *memStore) Status(_ context.Context, issuer string, s ca.Serial) (ca.Status, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if rev, ok := m.closed[s]; ok && rev.Issuer == issuer {
		return ca.Status{Issued: true, Revocation: &rev}, nil
	}
	if i, ok := m.bySer[s]; ok && m.records[i].Issuer == issuer {
		return ca.Status{Issued: true, Revocation: m.records[i].Revocation}, nil
	}
	return ca.Status{}, nil
}

func (m *memStore) Revoke(ctx context.Context, rev ca.Revocation, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.bySer[rev.Serial]
	if !ok || m.records[i].Issuer != rev.Issuer {
		return ca.ErrNotFound
	}
	if err := ca.CheckRevocation(m.records[i].Revocation, rev); err != nil {
		return err
	}
	m.records[i].Revocation = &rev
	m.log(e)
	return ctx.Err()
}

func (m *memStore) Revocations(_ context.Context, issuer string) iter.Seq2[ca.Revocation, error] {
	return func(yield func(ca.Revocation, error) bool) {
		panic("not used by package ca")
	}
}

func (m *memStore) NextCRLNumber(_ context.Context, issuer string, e audit.Event) (uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.crls[issuer]++
	m.log(e)
	return m.crls[issuer], nil
}

func (m *memStore) BySerial(_ context.Context, s ca.Serial) (ca.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if i, ok := m.bySer[s]; ok {
		return m.records[i], nil
	}
	return ca.Record{}, ca.ErrNotFound
}

func (m *memStore) ByThumbprint(_ context.Context, sum [32]byte) (ca.Record, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.records {
		if sha256.Sum256(r.DER) == sum {
			return r, nil
		}
	}
	return ca.Record{}, ca.ErrNotFound
}

// Certificates lists from a cursor on, which is all that package ca asks for.
func (m *memStore) Certificates(_ context.Context, f ca.Filter) iter.Seq2[ca.Record, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var match []ca.Record
	for _, r := range m.records {
		if (!f.From || r.Index > f.After) && (f.Limit == 0 || len(match) < f.Limit) {
			match = append(match, r)
		}
	}
	return func(yield func(ca.Record, error) bool) {
		for _, r := range match {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (m *memStore) AddParty(_ context.Context, p policy.Party, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.parties[p.ID] = p
	m.log(e)
	return nil
}

func (m *memStore) UpdateParty(ctx context.Context, p policy.Party, e audit.Event) error {
	return m.AddParty(ctx, p, e)
}

func (m *memStore) Party(_ context.Context, id string) (policy.Party, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p, ok := m.parties[id]; ok {
		return p, nil
	}
	return policy.Party{}, ca.ErrNotFound
}

func (m *memStore) Parties(context.Context, string) iter.Seq2[policy.Party, error] {
	return func(yield func(policy.Party, error) bool) {
		panic("not used by package ca")
	}
}

func (m *memStore) AddToken(_ context.Context, t ca.Token, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tokens[t.ID] = t
	m.log(e)
	return nil
}

func (m *memStore) Token(_ context.Context, id string) (ca.Token, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, ok := m.tokens[id]; ok {
		return t, nil
	}
	return ca.Token{}, ca.ErrNotFound
}

func (m *memStore) Collect(context.Context, time.Time, int) (int, error) {
	panic("not used by package ca")
}

func (m *memStore) Append(_ context.Context, events ...audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failAppend != nil {
		return m.failAppend
	}
	for _, e := range events {
		m.log(e)
	}
	return nil
}

func (m *memStore) Log() audit.Reader { return nil }
func (m *memStore) Close() error      { return nil }
