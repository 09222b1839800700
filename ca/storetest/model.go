package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/policy"
)

var random = []sentence{
	{"random operations leave the store as they leave a model in memory", testModel},
	{"cursors under concurrent inserts miss nothing that was there and repeat nothing", testCursors},
}

// modelSteps is how many random operations a store makes beside the model.
func modelSteps() int {
	if testing.Short() {
		return 2000
	}
	return 8000
}

// A model is what a store should hold, in maps.
type model struct {
	intents map[ca.Serial]ca.Intent
	records []ca.Record // by index
	closed  map[ca.Serial]ca.Revocation
	parties map[string]policy.Party
	tokens  map[string]ca.Token
	crls    map[string]uint64
	blocked map[ca.KeyHash]ca.BlockedKey
	free    map[ca.Serial]time.Time // when holds ended
	leaves  uint64
}

// A play is a store and the model beside it, and what the operations choose from.
type play struct {
	*world
	model
	random  *rand.Rand
	serials []ca.Serial
}

// testModel makes random operations on the store and the model: both must answer and hold the same.
func testModel(t *testing.T, w *world) {
	p := &play{world: w, random: rand.New(rand.NewPCG(5, 6)), model: model{ //nolint:gosec // a test that can be repeated
		intents: map[ca.Serial]ca.Intent{}, closed: map[ca.Serial]ca.Revocation{}, parties: map[string]policy.Party{},
		tokens: map[string]ca.Token{}, crls: map[string]uint64{}, free: map[ca.Serial]time.Time{},
		blocked: map[ca.KeyHash]ca.BlockedKey{},
	}}
	for range 400 {
		p.serials = append(p.serials, w.serial())
	}
	operations := []func(*play, *testing.T) (got, want error){
		(*play).reserve, (*play).reserve, (*play).issueOne, (*play).issueOne, (*play).issueOne, (*play).close,
		(*play).revoke, (*play).revoke, (*play).release, (*play).release, (*play).addParty, (*play).updateParty, (*play).addToken, (*play).addToken, (*play).cancelToken, (*play).collect, (*play).nextNumber,
		(*play).changeKey, (*play).unblockKey,
	}
	for step := range modelSteps() {
		at := p.random.IntN(len(operations))
		got, want := operations[at](p, t)
		if !sameError(got, want) {
			t.Fatalf("step %d, operation %d: got %v, want %v", step, at, got, want)
		}
		p.compareOne(t, step)
		if step%250 == 249 {
			p.compareAll(t, step)
		}
	}
	p.compareAll(t, modelSteps())
}

// sameError compares by what callers branch on.
func sameError(got, want error) bool {
	if want == nil || got == nil {
		return want == nil && got == nil
	}
	if used := (*ca.TokenUsedError)(nil); errors.As(want, &used) {
		other := (*ca.TokenUsedError)(nil)
		return errors.As(got, &other) && *other == *used
	}
	if cancelled := (*ca.TokenCancelledError)(nil); errors.As(want, &cancelled) {
		other := (*ca.TokenCancelledError)(nil)
		return errors.As(got, &other) && *other == *cancelled
	}
	if revoked := (*ca.RevokedError)(nil); errors.As(want, &revoked) {
		other := (*ca.RevokedError)(nil)
		return errors.As(got, &other) && other.Revocation == revoked.Revocation
	}
	if held := (*ca.NotHeldError)(nil); errors.As(want, &held) {
		other := (*ca.NotHeldError)(nil)
		return errors.As(got, &other) && *other == *held
	}
	for _, known := range []error{ca.ErrNotFound, ca.ErrExists, ca.ErrSerialUsed, ca.ErrNoIntent} {
		if errors.Is(got, known) != errors.Is(want, known) {
			return false
		}
	}
	return true
}

// logged counts an event if the operation was made.
func (p *play) logged(err error) error {
	if err == nil {
		p.leaves++
	}
	return err
}

func (p *play) record(s ca.Serial) int {
	return slices.IndexFunc(p.records, func(r ca.Record) bool { return r.Serial == s })
}

func (p *play) reserve(t *testing.T) (got, want error) {
	in := p.intent()
	in.Serial, in.Issuer, in.Party = pick(p.random, p.serials), pick(p.random, someIssuers[:2]), pick(p.random, somePartyIDs)
	_, open := p.intents[in.Serial]
	_, closed := p.closed[in.Serial]
	if open || closed || p.record(in.Serial) >= 0 {
		want = ca.ErrSerialUsed
	} else {
		p.intents[in.Serial] = in
	}
	return p.Reserve(t.Context(), in), want
}

func (p *play) issueOne(t *testing.T) (got, want error) {
	s := pick(p.random, p.serials)
	in, open := p.intents[s]
	if !open {
		in = p.intent()
		in.Serial = s
		want = ca.ErrNoIntent
	}
	is := issuanceOf(in)
	is.Record.Role, is.Record.Profile, is.Record.SPKI = pick(p.random, someRoles), pick(p.random, someProfiles), pick(p.random, someKeys)
	is.Record.NotAfter = day(p.random.IntN(40))
	is.Record.DER = certificate(t, s, pick(p.random, someNames))
	token, known := ca.Token{}, false
	if p.random.IntN(3) == 0 {
		is.Token, is.Use = strconv.Itoa(p.random.IntN(60)), ca.TokenUse{Party: in.Party, From: "192.0.2.1:1", At: epoch, Serial: s}
		token, known = p.tokens[is.Token]
		switch {
		case want != nil:
		case !known:
			want = ca.ErrNotFound
		default:
			want = token.Spent()
		}
	}
	record, got := p.Issue(t.Context(), is)
	if want != nil {
		return got, want
	}
	if known {
		token.Used = &is.Use
		p.tokens[token.ID] = token
	}
	delete(p.intents, s)
	is.Record.Index = p.leaves
	p.leaves++
	p.records = append(p.records, is.Record)
	if !reflect.DeepEqual(record, is.Record) {
		t.Errorf("got record %+v, want %+v", record, is.Record)
	}
	return got, nil
}

func (p *play) close(t *testing.T) (got, want error) {
	in := p.intent()
	in.Serial = pick(p.random, p.serials)
	if open, ok := p.intents[in.Serial]; ok {
		in = open
		delete(p.intents, in.Serial)
		p.closed[in.Serial] = closing(in)
	} else {
		want = ca.ErrNoIntent
	}
	return p.CloseIntent(t.Context(), closing(in), event(audit.IntentClosed, in.Serial)), p.logged(want)
}

func (p *play) revoke(t *testing.T) (got, want error) {
	rev := ca.Revocation{Serial: pick(p.random, p.serials), Issuer: pick(p.random, someIssuers[:2]), At: day(p.random.IntN(3)), By: "local"}
	rev.Reason = pick(p.random, []ca.Reason{ca.CertificateHold, ca.Superseded, ca.KeyCompromise})
	i := p.record(rev.Serial)
	closed, isClosed := p.closed[rev.Serial]
	switch {
	case i >= 0 && p.records[i].Issuer == rev.Issuer:
		if want = ca.CheckRevocation(p.records[i].Revocation, rev); want == nil {
			p.records[i].Revocation = &rev
			delete(p.free, rev.Serial)
		}
	case isClosed && closed.Issuer == rev.Issuer:
		if want = ca.CheckRevocation(&closed, rev); want == nil {
			p.closed[rev.Serial] = rev
		}
	default:
		want = ca.ErrNotFound
	}
	return p.Revoke(t.Context(), rev, event(audit.CertificateRevoked, rev.Serial)), p.logged(want)
}

func (p *play) release(t *testing.T) (got, want error) {
	serial, issuer, at := pick(p.random, p.serials), pick(p.random, someIssuers[:2]), day(p.random.IntN(3))
	if i := p.record(serial); i >= 0 && p.records[i].Issuer == issuer {
		if want = ca.CheckRelease(serial, p.records[i].Revocation); want == nil {
			p.records[i].Revocation, p.free[serial] = nil, at
		}
	} else if closed, ok := p.closed[serial]; ok && closed.Issuer == issuer {
		want = ca.CheckRelease(serial, &closed)
	} else {
		want = ca.ErrNotFound
	}
	return p.Release(t.Context(), issuer, serial, at, event(audit.CertificateFreed, serial)), p.logged(want)
}

func (p *play) addParty(t *testing.T) (got, want error) {
	party := party(fmt.Sprintf("p%d", p.random.IntN(30)))
	if _, ok := p.parties[party.ID]; ok {
		want = ca.ErrExists
	} else {
		p.parties[party.ID] = party
	}
	return p.AddParty(t.Context(), party, audit.Event{Time: epoch, Kind: audit.PartyAdded}), p.logged(want)
}

func (p *play) updateParty(t *testing.T) (got, want error) {
	party := party(fmt.Sprintf("p%d", p.random.IntN(30)))
	party.Name = strconv.Itoa(p.random.Int())
	if _, ok := p.parties[party.ID]; ok {
		p.parties[party.ID] = party
	} else {
		want = ca.ErrNotFound
	}
	return p.UpdateParty(t.Context(), party, audit.Event{Time: epoch, Kind: audit.PartyChanged}), p.logged(want)
}

func (p *play) addToken(t *testing.T) (got, want error) {
	token := token(strconv.Itoa(p.random.IntN(60)))
	token.NotAfter = epoch.Add(time.Duration(p.random.IntN(60)) * time.Minute)
	if _, ok := p.tokens[token.ID]; ok {
		want = ca.ErrExists
	} else {
		p.tokens[token.ID] = token
	}
	return p.AddToken(t.Context(), token, audit.Event{Time: epoch, Kind: audit.TokenCreated}), p.logged(want)
}

func (p *play) cancelToken(t *testing.T) (got, want error) {
	id := strconv.Itoa(p.random.IntN(60))
	c := ca.TokenCancellation{By: strconv.Itoa(p.random.Int()), At: epoch}
	token, known := p.tokens[id]
	if want = token.Spent(); !known {
		want = ca.ErrNotFound
	}
	if want == nil {
		token.Cancelled = &c
		p.tokens[id] = token
	}
	return p.CancelToken(t.Context(), id, c, audit.Event{Time: epoch, Kind: audit.TokenCancelled}), p.logged(want)
}

func (p *play) collect(t *testing.T) (got, want error) {
	before := epoch.Add(time.Duration(p.random.IntN(30)) * time.Minute)
	ended := 0
	for id, token := range p.tokens {
		if token.NotAfter.Before(before) {
			ended++
			delete(p.tokens, id)
		}
	}
	n, got := p.Collect(t.Context(), before, 1000)
	if n != ended {
		t.Errorf("got %d tokens collected, want %d", n, ended)
	}
	return got, nil
}

func (p *play) nextNumber(t *testing.T) (got, want error) {
	issuer := pick(p.random, someIssuers)
	n, got := p.NextCRLNumber(t.Context(), issuer, audit.Event{Time: epoch, Kind: audit.CRLSigned})
	if n <= p.crls[issuer] {
		t.Errorf("got CRL number %d, want more than %d", n, p.crls[issuer])
	}
	p.crls[issuer] = n
	return got, p.logged(nil)
}

// compareOne asks for one of each at random.
func (p *play) compareOne(t *testing.T, step int) {
	t.Helper()
	s, issuer := pick(p.random, p.serials), pick(p.random, someIssuers[:2])
	var want ca.Status
	if closed, ok := p.closed[s]; ok && closed.Issuer == issuer {
		want = ca.Status{Issued: true, Revocation: &closed}
	}
	if i := p.record(s); i >= 0 && p.records[i].Issuer == issuer {
		want = ca.Status{Issued: true, Revocation: p.records[i].Revocation, Released: p.free[s]}
	}
	if got, err := p.Status(t.Context(), issuer, s); err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("step %d: got status %+v, %v, want %+v", step, got, err, want)
	}
	p.compareKey(t, step)
	id := strconv.Itoa(p.random.IntN(60))
	token, known := p.tokens[id]
	got, err := p.Token(t.Context(), id)
	if known != (err == nil) || known && !reflect.DeepEqual(got, token) {
		t.Fatalf("step %d: got token %+v, %v, want %+v, %t", step, got, err, token, known)
	}
}

// compareAll asks for everything, and for the records of a few filters.
func (p *play) compareAll(t *testing.T, step int) {
	t.Helper()
	intents, err := p.Intents(t.Context())
	if err != nil || len(intents) != len(p.intents) {
		t.Fatalf("step %d: got %d intents, %v, want %d", step, len(intents), err, len(p.intents))
	}
	for _, in := range intents {
		if in != p.intents[in.Serial] {
			t.Errorf("step %d: got intent %+v, want %+v", step, in, p.intents[in.Serial])
		}
	}
	parties := all(t, p.Parties(t.Context(), ""))
	if len(parties) != len(p.parties) {
		t.Errorf("step %d: got %d parties, want %d", step, len(parties), len(p.parties))
	}
	for _, got := range parties {
		if want := p.parties[got.ID]; !reflect.DeepEqual(got, want) {
			t.Errorf("step %d: got party %+v, want %+v", step, got, want)
		}
	}
	if got := all(t, p.Certificates(t.Context(), ca.Filter{})); !reflect.DeepEqual(got, p.records) {
		t.Fatalf("step %d: got %d certificates, want the model's %d", step, len(got), len(p.records))
	}
	for range 20 {
		f := someFilter(p.random, p.records)
		if got, want := indexes(all(t, p.Certificates(t.Context(), f))), indexes(selected(f, p.records)); !slices.Equal(got, want) {
			t.Errorf("step %d: %+v: got %v, want %v", step, f, got, want)
		}
	}
	if size := uint64(len(leavesOf(t, p.Store))); size != p.leaves {
		t.Errorf("step %d: got %d log entries, want %d", step, size, p.leaves)
	}
}
