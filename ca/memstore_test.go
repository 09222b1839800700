package ca_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ocsp/feed"
	"github.com/payca/payca/policy"
)

// errDisk is what a memStore answers that was told to fail.
var errDisk = errors.New("no space left on device")

// A memStore is a ca.Store without a disk. It can be told to fail, as a full disk does.
type memStore struct {
	ca.Outbox // which the gate does not use
	feeds     // nor these
	mu        sync.Mutex
	byKey     map[[32]byte][]int // places in records by SPKI
	intents   []ca.Intent
	closed    map[ca.Serial]ca.Revocation
	records   []ca.Record
	bySer     map[ca.Serial]int
	parties   map[string]policy.Party
	tokens    map[string]ca.Token
	crls      map[string]uint64
	shards    map[string]int
	free      map[ca.Serial]time.Time // when holds ended
	leaves    [][]byte
	blocked   map[ca.KeyHash]ca.BlockedKey
	recheck   ca.Recheck
	found     map[ca.Serial]ca.Finding
	asked

	failReserve, failIssue, failAppend, failChange, failCheck error
	onIssue                                                   func() // before an issuance is committed
	onReserve                                                 func()
}

// feeds are the changes that relying parties follow.
type feeds interface {
	Changes(ctx context.Context, after uint64, limit int) ([]feed.Change, error)
	ChangeHead(ctx context.Context) (uint64, feed.Hash, error)
}

func newMemStore() *memStore {
	return &memStore{
		closed: map[ca.Serial]ca.Revocation{}, bySer: map[ca.Serial]int{}, byKey: map[[32]byte][]int{},
		parties: map[string]policy.Party{}, tokens: map[string]ca.Token{}, crls: map[string]uint64{},
		asked:  asked{pins: map[string]ca.Pin{}},
		shards: map[string]int{}, free: map[ca.Serial]time.Time{},
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

func (m *memStore) Reserve(ctx context.Context, intents ...ca.Intent) error {
	if m.onReserve != nil {
		m.onReserve()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failReserve != nil {
		return m.failReserve
	}
	if err := m.wantFree(intents); err != nil {
		return err
	}
	m.intents = append(m.intents, intents...)
	return ctx.Err()
}

func (m *memStore) Unreserve(ctx context.Context, serials ...ca.Serial) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.intents = slices.DeleteFunc(m.intents, func(in ca.Intent) bool { return slices.Contains(serials, in.Serial) })
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
	if p, ok := m.parties[is.Record.Party]; ok && p.State != policy.Active {
		return ca.Record{}, ca.ErrInactive
	}
	if is.Admit != nil {
		if err := is.Admit(m.key(is.Record.SPKI)); err != nil {
			return ca.Record{}, err
		}
	}
	if err := m.wantFree(is.Ahead); err != nil {
		return ca.Record{}, err
	}
	if err := m.settle(is); err != nil {
		return ca.Record{}, err
	}
	if is.Token != "" {
		t, ok := m.tokens[is.Token]
		if !ok {
			return ca.Record{}, ca.ErrNotFound
		}
		if err := t.Spent(); err != nil {
			return ca.Record{}, err
		}
		t.Used = &is.Use
		m.tokens[is.Token] = t
	}
	m.intents = append(slices.Delete(m.intents, i, i+1), is.Ahead...)
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
		return ca.Status{Issued: true, Revocation: m.records[i].Revocation, Released: m.free[s]}, nil
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
	delete(m.free, rev.Serial)
	m.log(e)
	return ctx.Err()
}

func (m *memStore) Release(ctx context.Context, issuer string, s ca.Serial, at time.Time, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	i, ok := m.bySer[s]
	if !ok || m.records[i].Issuer != issuer {
		return ca.ErrNotFound
	}
	if err := ca.CheckRelease(s, m.records[i].Revocation); err != nil {
		return err
	}
	m.records[i].Revocation, m.free[s] = nil, at
	m.log(e)
	return ctx.Err()
}

func (m *memStore) RaiseShards(_ context.Context, issuer string, atLeast int, e audit.Event) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if atLeast > m.shards[issuer] {
		m.shards[issuer] = atLeast
		m.log(e)
	}
	return m.shards[issuer], nil
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

func (m *memStore) Raise(context.Context, ca.Floors, audit.Event) error {
	panic("not used by package ca")
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

// Certificates filters by key, party, profile, revocation, expiry and index, which is all that package ca asks for.
func (m *memStore) Certificates(_ context.Context, f ca.Filter) iter.Seq2[ca.Record, error] {
	m.mu.Lock()
	defer m.mu.Unlock()
	var match []ca.Record
	all := slices.Values(m.records)
	if f.SPKI != nil {
		all = func(yield func(ca.Record) bool) {
			for _, i := range m.byKey[*f.SPKI] {
				if !yield(m.records[i]) {
					return
				}
			}
		}
	}
	for r := range all {
		if (f.Party == "" || f.Party == r.Party) && (f.Profile == "" || f.Profile == r.Profile) &&
			(f.Revoked == nil || *f.Revoked == (r.Revocation != nil)) && !r.NotAfter.Before(f.ExpiresFrom) &&
			(!f.From || r.Index > f.After) && (f.Limit == 0 || len(match) < f.Limit) {
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

func (m *memStore) Tokens(context.Context, string) iter.Seq2[ca.Token, error] {
	return func(func(ca.Token, error) bool) { panic("not used by package ca") }
}

func (m *memStore) CancelToken(_ context.Context, id string, c ca.TokenCancellation, e audit.Event) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	t, ok := m.tokens[id]
	if !ok {
		return ca.ErrNotFound
	}
	if err := t.Spent(); err != nil {
		return err
	}
	t.Cancelled = &c
	m.tokens[id] = t
	m.log(e)
	return nil
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

func (m *memStore) Log() audit.Reader { return memLog{m} }

// memLog reads the leaves of a memStore, under a head that nobody signed.
type memLog struct{ m *memStore }

func (l memLog) Head(context.Context) ([]byte, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return fmt.Appendf(nil, "pay.example/ca\n%d\n%s\n", len(l.m.leaves), base64.StdEncoding.EncodeToString(make([]byte, tlog.HashSize))), nil
}

func (l memLog) Leaves(_ context.Context, from uint64, limit int) ([][]byte, error) {
	l.m.mu.Lock()
	defer l.m.mu.Unlock()
	return l.m.leaves[from:min(int(from)+limit, len(l.m.leaves))], nil
}

func (memLog) Hashes(context.Context, []int64) ([]tlog.Hash, error) {
	return nil, errors.New("a log without hashes")
}
func (m *memStore) Close() error { return nil }
