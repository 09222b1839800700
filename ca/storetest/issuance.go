package storetest

import (
	"crypto/sha256"
	"errors"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

var issuance = []sentence{
	{"a serial is reserved once", func(t *testing.T, w *world) {
		in := w.mustReserve(t)
		wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
		in.Issuer = service
		wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
		if got, err := w.Intents(t.Context()); err != nil || len(got) != 1 || got[0].Issuer != payment {
			t.Errorf("got intents %v, %v, want the first one only", got, err)
		}
	}},
	{"one of many that reserve a serial gets it", func(t *testing.T, w *world) {
		in := w.intent()
		var won atomic.Int32
		must(t, together(32, func(int) error {
			err := w.Reserve(t.Context(), in)
			if err == nil {
				won.Add(1)
			}
			return unless(err, ca.ErrSerialUsed)
		}))
		if won.Load() != 1 {
			t.Errorf("got %d reservations, want 1", won.Load())
		}
	}},
	{"serials are reserved together, all or none", func(t *testing.T, w *world) {
		used, first, second := w.mustReserve(t), w.intent(), w.intent()
		wantError(t, w.Reserve(t.Context(), first, used), ca.ErrSerialUsed)
		wantError(t, w.Reserve(t.Context(), first, second, first), ca.ErrSerialUsed)
		if got, err := w.Intents(t.Context()); err != nil || len(got) != 1 {
			t.Errorf("got intents %v, %v, want the one of before", got, err)
		}
		must(t, w.Reserve(t.Context(), first, second))
		_, err := w.Issue(t.Context(), issuanceOf(second))
		must(t, err)
		if got, err := w.Intents(t.Context()); err != nil || len(got) != 2 {
			t.Errorf("got intents %v, %v, want that of before and the first", got, err)
		}
	}},
	{"an issuance reserves serials for the next, or refuses both", func(t *testing.T, w *world) {
		in, next := w.mustReserve(t), w.intent()
		is, before := issuanceOf(in), Dump(t, w.Store)
		for _, ahead := range [][]ca.Intent{{in}, {next, next}, {{Issuer: payment}}} {
			is.Ahead = ahead
			if _, err := w.Issue(t.Context(), is); err == nil || ahead[0].Serial != (ca.Serial{}) && !errors.Is(err, ca.ErrSerialUsed) {
				t.Errorf("got %v for %v ahead, want it refused", err, ahead)
			}
			if after := Dump(t, w.Store); after != before {
				t.Errorf("got %s, want %s", after, before)
			}
		}
		is.Ahead = []ca.Intent{next}
		_, err := w.Issue(t.Context(), is)
		must(t, err)
		if got, err := w.Intents(t.Context()); err != nil || len(got) != 1 || got[0] != next {
			t.Errorf("got intents %v, %v, want the next one", got, err)
		}
		_, err = w.Issue(t.Context(), issuanceOf(next))
		must(t, err)
	}},
	{"released serials leave nothing, and no others are touched", func(t *testing.T, w *world) {
		before := Dump(t, w.Store)
		first, second, kept := w.mustReserve(t), w.mustReserve(t), w.mustReserve(t)
		must(t, w.Unreserve(t.Context(), first.Serial, second.Serial, w.intent().Serial))
		_, err := w.Issue(t.Context(), issuanceOf(first))
		wantError(t, err, ca.ErrNoIntent)
		if got, err := w.Intents(t.Context()); err != nil || len(got) != 1 || got[0].Serial != kept.Serial {
			t.Errorf("got intents %v, %v, want the one that was not released", got, err)
		}
		must(t, w.Unreserve(t.Context(), kept.Serial))
		if after := Dump(t, w.Store); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
		issued := w.mustIssue(t, nil)
		must(t, w.Unreserve(t.Context(), issued.Serial))
		if _, err := w.BySerial(t.Context(), issued.Serial); err != nil {
			t.Errorf("a certificate whose serial was released: %v, want it untouched", err)
		}
	}},
	{"an issued serial is not reserved again", func(t *testing.T, w *world) {
		in := w.mustReserve(t)
		_, err := w.Issue(t.Context(), issuanceOf(in))
		must(t, err)
		wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
	}},
	{"nothing is issued without an intent", func(t *testing.T, w *world) {
		before := Dump(t, w.Store)
		_, err := w.Issue(t.Context(), issuanceOf(w.intent()))
		wantError(t, err, ca.ErrNoIntent)
		if after := Dump(t, w.Store); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	}},
	{"one of many that issue from an intent does", func(t *testing.T, w *world) {
		in := w.mustReserve(t)
		var won atomic.Int32
		must(t, together(32, func(int) error {
			_, err := w.Issue(t.Context(), issuanceOf(in))
			if err == nil {
				won.Add(1)
			}
			return unless(err, ca.ErrNoIntent)
		}))
		if won.Load() != 1 {
			t.Errorf("got %d certificates, want 1", won.Load())
		}
	}},
	{"an issued certificate is found as it was given", testIssued},
	{"intents are listed oldest first until they come to something", testIntents},
	{"a closed intent is revoked for ever and its serial is not reusable", testClosedIntent},
	{"an intent that is not open is not closed", func(t *testing.T, w *world) {
		record := w.mustIssue(t, nil)
		before := Dump(t, w.Store)
		for _, in := range []ca.Intent{w.intent(), {Serial: record.Serial, Issuer: payment}} {
			wantError(t, w.CloseIntent(t.Context(), closing(in), event(audit.IntentClosed, in.Serial)), ca.ErrNoIntent)
		}
		if after := Dump(t, w.Store); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	}},
}

// unless is err, or nil if it is the wanted one.
func unless(err, want error) error {
	if errors.Is(err, want) {
		return nil
	}
	return err
}

func testIssued(t *testing.T, w *world) {
	must(t, w.Append(t.Context(), audit.Event{Time: epoch, Kind: audit.Started}))
	in := w.mustReserve(t)
	is := issuanceOf(in)
	is.Record.Index = 99 // ignored
	got, err := w.Issue(t.Context(), is)
	must(t, err)
	want := is.Record
	want.Index = 1
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got, err = w.BySerial(t.Context(), in.Serial); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by serial: got %+v, %v, want %+v", got, err, want)
	}
	if got, err = w.ByThumbprint(t.Context(), sha256.Sum256(want.DER)); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("by thumbprint: got %+v, %v, want %+v", got, err, want)
	}
	status, err := w.Status(t.Context(), payment, in.Serial)
	if want := (ca.Status{Issued: true}); err != nil || status != want {
		t.Errorf("got status %+v, %v, want %+v", status, err, want)
	}
}

func testIntents(t *testing.T, w *world) {
	var want []ca.Intent
	for i := range 6 {
		in := w.intent()
		in.At = epoch.Add(time.Duration(i*5%7) * time.Minute) // not in order
		must(t, w.Reserve(t.Context(), in))
		want = append(want, in)
	}
	_, err := w.Issue(t.Context(), issuanceOf(want[5]))
	must(t, err)
	must(t, w.CloseIntent(t.Context(), closing(want[4]), event(audit.IntentClosed, want[4].Serial)))
	want = want[:4]
	slices.SortFunc(want, func(a, b ca.Intent) int { return a.At.Compare(b.At) })
	if got, err := w.Intents(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func testClosedIntent(t *testing.T, w *world) {
	in := w.mustReserve(t)
	rev := closing(in)
	must(t, w.CloseIntent(t.Context(), rev, event(audit.IntentClosed, in.Serial)))
	wantError(t, w.CloseIntent(t.Context(), rev, event(audit.IntentClosed, in.Serial)), ca.ErrNoIntent)
	wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
	_, err := w.Issue(t.Context(), issuanceOf(in))
	wantError(t, err, ca.ErrNoIntent)
	_, err = w.BySerial(t.Context(), in.Serial)
	wantError(t, err, ca.ErrNotFound)
	status, err := w.Status(t.Context(), payment, in.Serial)
	if want := (ca.Status{Issued: true, Revocation: &rev}); err != nil || !reflect.DeepEqual(status, want) {
		t.Errorf("got status %+v, %v, want %+v", status, err, want)
	}
	if status, err = w.Status(t.Context(), service, in.Serial); err != nil || status.Issued {
		t.Errorf("got status %+v, %v under another issuer, want not issued", status, err)
	}
	if got := all(t, w.Revocations(t.Context(), payment)); len(got) != 1 || got[0] != rev {
		t.Errorf("got revocations %v, want %v", got, rev)
	}
}
