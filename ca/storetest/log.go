package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

var auditLog = []sentence{
	{"an empty log has no leaves and verifies", func(t *testing.T, w *world) {
		report, err := audit.Verify(t.Context(), w.Log(), w.key)
		if err != nil || report.Size != 0 {
			t.Errorf("got %+v, %v, want size 0", report, err)
		}
	}},
	{"every write appends its event, a refused one does not", testEvents},
	{"events of one call stand together in order", func(t *testing.T, w *world) {
		const callers, each = 20, 7
		must(t, together(callers, func(i int) error {
			var events []audit.Event
			for j := range each {
				events = append(events, audit.Event{Time: epoch, Kind: audit.Started, Actor: strconv.Itoa(i), From: strconv.Itoa(j)})
			}
			return w.Append(t.Context(), events...)
		}))
		leaves := leavesOf(t, w.Store)
		if len(leaves) != callers*each {
			t.Fatalf("got %d events, want %d", len(leaves), callers*each)
		}
		for i := 0; i < len(leaves); i += each {
			first, err := audit.ParseEvent(leaves[i])
			must(t, err)
			for j := range each {
				e, err := audit.ParseEvent(leaves[i+j])
				if err != nil || e.Actor != first.Actor || e.From != strconv.Itoa(j) {
					t.Errorf("entry %d: got %+v, %v, want event %d of call %s", i+j, e, err, j, first.Actor)
				}
			}
		}
	}},
	{"writers of all kinds go on side by side", testMixed},
}

func testEvents(t *testing.T, w *world) {
	in, other := w.mustReserve(t), w.mustReserve(t)
	is := issuanceOf(in)
	is.Token, is.Use = "a", ca.TokenUse{Party: "acme", At: epoch, Serial: in.Serial}
	record, held, shards := is.Record, w.mustIssue(t, nil), 0
	must(t, w.Revoke(t.Context(), revocationOf(held, ca.CertificateHold), event(audit.CertificateRevoked, held.Serial)))
	must(t, w.AddToken(t.Context(), token("cancelled"), audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	for _, tt := range []struct {
		name  string
		again bool // works a second time
		write func(context.Context, audit.Event) error
	}{
		{"AddParty", false, func(ctx context.Context, e audit.Event) error { return w.AddParty(ctx, party("acme"), e) }},
		{"UpdateParty", true, func(ctx context.Context, e audit.Event) error { return w.UpdateParty(ctx, party("acme"), e) }},
		{"AddToken", false, func(ctx context.Context, e audit.Event) error { return w.AddToken(ctx, token("a"), e) }},
		{"CancelToken", false, func(ctx context.Context, e audit.Event) error {
			return w.CancelToken(ctx, "cancelled", ca.TokenCancellation{By: "local", At: epoch}, e)
		}},
		{"Issue", false, func(ctx context.Context, e audit.Event) error { is.Event = e; _, err := w.Issue(ctx, is); return err }},
		{"CloseIntent", false, func(ctx context.Context, e audit.Event) error { return w.CloseIntent(ctx, closing(other), e) }},
		{"Revoke", false, func(ctx context.Context, e audit.Event) error {
			return w.Revoke(ctx, revocationOf(record, ca.Superseded), e)
		}},
		{"Release", false, func(ctx context.Context, e audit.Event) error { return w.Release(ctx, payment, held.Serial, epoch, e) }},
		{"RaiseShards", true, func(ctx context.Context, e audit.Event) error {
			shards++
			_, err := w.RaiseShards(ctx, payment, shards, e)
			return err
		}},
		{"Raise", true, func(ctx context.Context, e audit.Event) error { return w.Raise(ctx, ca.Floors{}, e) }},
		{"NextCRLNumber", true, func(ctx context.Context, e audit.Event) error { _, err := w.NextCRLNumber(ctx, payment, e); return err }},
		{"Append", true, func(ctx context.Context, e audit.Event) error { return w.Append(ctx, e) }},
	} {
		size := len(leavesOf(t, w.Store))
		e := audit.Event{Time: epoch, Kind: audit.Kind("test." + tt.name), Attrs: map[string]string{"method": tt.name}}
		if tt.name == "Issue" {
			e = event(audit.CertificateIssued, in.Serial)
		}
		if err := tt.write(t.Context(), e); err != nil {
			t.Fatalf("%s: %v", tt.name, err)
		}
		if tt.name == "NextCRLNumber" {
			e.Attrs["number"] = "1"
		}
		want, err := json.Marshal(e)
		must(t, err)
		leaves := leavesOf(t, w.Store)
		if len(leaves) != size+1 || string(leaves[size]) != string(want) {
			t.Fatalf("%s: got %q, want %d entries and then %s", tt.name, leaves, size, want)
		}
		if tt.again {
			continue
		}
		if err := tt.write(t.Context(), e); err == nil || len(leavesOf(t, w.Store)) != size+1 {
			t.Errorf("%s again: got %v and %d entries, want an error and %d", tt.name, err, len(leavesOf(t, w.Store)), size+1)
		}
	}
}

func testMixed(t *testing.T, w *world) {
	const writers, rounds = 16, 12
	ctx, stop := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	var read error
	readers.Go(func() {
		for ctx.Err() == nil {
			_, verified := audit.Verify(t.Context(), w.Log(), w.key)
			last := int64(-1)
			for r, err := range w.Certificates(t.Context(), ca.Filter{}) {
				if err == nil && int64(r.Index) <= last {
					err = fmt.Errorf("index %d after %d", r.Index, last)
				}
				read, last = errors.Join(read, err), int64(r.Index)
			}
			read = errors.Join(read, verified)
		}
	})
	err := together(writers, func(i int) error {
		var errs []error
		for j := range rounds {
			errs = append(errs, w.one(t.Context(), fmt.Sprintf("w%d-%d", i, j)))
		}
		return errors.Join(errs...)
	})
	stop()
	readers.Wait()
	must(t, errors.Join(err, read))
	kinds := map[audit.Kind]int{}
	for _, leaf := range leavesOf(t, w.Store) {
		e, err := audit.ParseEvent(leaf)
		must(t, err)
		kinds[e.Kind]++
	}
	for _, kind := range []audit.Kind{audit.PartyAdded, audit.TokenCreated, audit.CertificateIssued, audit.CertificateRevoked, audit.IntentClosed, audit.CRLSigned, audit.Started} {
		if kinds[kind] != writers*rounds {
			t.Errorf("got %d %s, want %d", kinds[kind], kind, writers*rounds)
		}
	}
	if got := len(all(t, w.Revocations(t.Context(), payment))); got != 2*writers*rounds {
		t.Errorf("got %d revocations, want %d", got, 2*writers*rounds)
	}
	if intents, err := w.Intents(t.Context()); err != nil || len(intents) != 0 {
		t.Errorf("got %d open intents, %v, want none", len(intents), err)
	}
}

// one does one write of every kind, each with an event.
func (w *world) one(ctx context.Context, id string) error {
	in := w.intent()
	steps := []error{
		w.AddParty(ctx, party(id), audit.Event{Time: epoch, Kind: audit.PartyAdded}),
		w.AddToken(ctx, token(id), audit.Event{Time: epoch, Kind: audit.TokenCreated}),
		w.Reserve(ctx, in),
		w.CloseIntent(ctx, closing(in), event(audit.IntentClosed, in.Serial)),
		w.Append(ctx, audit.Event{Time: epoch, Kind: audit.Started}),
	}
	record, err := w.issue(ctx, func(is *ca.Issuance) {
		is.Token, is.Use = id, ca.TokenUse{Party: id, At: epoch, Serial: is.Record.Serial}
	})
	steps = append(steps, err, w.Revoke(ctx, revocationOf(record, ca.KeyCompromise), event(audit.CertificateRevoked, record.Serial)))
	_, err = w.NextCRLNumber(ctx, payment, audit.Event{Time: epoch, Kind: audit.CRLSigned})
	return errors.Join(append(steps, err)...)
}
