package storetest

import (
	"reflect"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// changeKey blocks a key, or revokes its certificates, or both.
func (p *play) changeKey(t *testing.T) (got, want error) {
	key := ca.KeyHash(pick(p.random, someKeys))
	c := ca.KeyChange{Key: key, Event: audit.Event{Time: epoch, Kind: audit.KeyBlocked}}
	if p.random.IntN(2) == 0 {
		c.Block = &ca.BlockedKey{Key: key, Reason: "leaked", By: "local", At: epoch}
	}
	if p.random.IntN(20) == 0 { // seldom, or nothing good would be left
		c.Decide = compromised
	}
	revoked := 0
	for i, r := range p.records {
		if c.Decide == nil || r.SPKI != key {
			continue
		}
		if change, _ := compromised(r); change != nil {
			p.records[i].Revocation = &change.Revocation
			delete(p.free, r.Serial)
			revoked++
		}
	}
	_, blocked := p.blocked[key]
	switch {
	case c.Block != nil && !blocked:
		p.blocked[key] = *c.Block
		p.leaves++
	case c.Block != nil && revoked == 0:
		want = ca.ErrExists
	}
	p.leaves += uint64(revoked)
	written, got := p.ChangeKey(t.Context(), c)
	if len(written) != revoked {
		t.Errorf("got %d revocations of a key, want %d", len(written), revoked)
	}
	return got, want
}

func (p *play) unblockKey(t *testing.T) (got, want error) {
	key := ca.KeyHash(pick(p.random, someKeys))
	if _, blocked := p.blocked[key]; !blocked {
		want = ca.ErrNotFound
	}
	delete(p.blocked, key)
	return p.UnblockKey(t.Context(), key, audit.Event{Time: epoch, Kind: audit.KeyUnblocked}), p.logged(want)
}

// compareKey asks for one key at random.
func (p *play) compareKey(t *testing.T, step int) {
	t.Helper()
	key := ca.KeyHash(pick(p.random, someKeys))
	var want ca.Key
	got, err := p.Key(t.Context(), key)
	if b, ok := p.blocked[key]; ok {
		want.Blocked = &b
	}
	for i := range p.records {
		r := p.records[i]
		if r.SPKI != key {
			continue
		}
		want.Newest = &r
		if rev := r.Revocation; rev != nil && rev.Reason == ca.KeyCompromise && (want.Compromised == nil || reflect.DeepEqual(rev, got.Compromised)) {
			want.Compromised = rev // any of them will do
		}
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("step %d: got key %+v, %v, want %+v", step, got, err, want)
	}
}
