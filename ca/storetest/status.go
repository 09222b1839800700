package storetest

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

var status = []sentence{
	{"a serial that is unknown, reserved or another issuer's is not issued", func(t *testing.T, w *world) {
		issued, reserved := w.mustIssue(t, nil), w.mustReserve(t)
		revoked := w.mustIssue(t, nil)
		must(t, w.Revoke(t.Context(), revocationOf(revoked, ca.Superseded), event(audit.CertificateRevoked, revoked.Serial)))
		for _, tt := range []struct {
			name, issuer string
			serial       ca.Serial
		}{
			{"unknown", payment, w.serial()},
			{"reserved", payment, reserved.Serial},
			{"another issuer's", service, issued.Serial},
			{"another issuer's, revoked", service, revoked.Serial},
			{"an issuer that begins alike", payment[:3], issued.Serial},
			{"an issuer without name", "", issued.Serial},
		} {
			if got, err := w.Status(t.Context(), tt.issuer, tt.serial); err != nil || got != (ca.Status{}) {
				t.Errorf("%s: got %+v, %v, want nothing", tt.name, got, err)
			}
		}
	}},
	{"what the issuer never issued is not revoked", func(t *testing.T, w *world) {
		issued, reserved := w.mustIssue(t, nil), w.mustReserve(t)
		before := Dump(t, w.Store)
		for _, rev := range []ca.Revocation{
			{Serial: w.serial(), Issuer: payment, Reason: ca.Superseded, At: epoch},
			{Serial: reserved.Serial, Issuer: payment, Reason: ca.Superseded, At: epoch},
			{Serial: issued.Serial, Issuer: service, Reason: ca.Superseded, At: epoch},
		} {
			wantError(t, w.Revoke(t.Context(), rev, event(audit.CertificateRevoked, rev.Serial)), ca.ErrNotFound)
		}
		if after := Dump(t, w.Store); after != before {
			t.Errorf("got %s, want %s", after, before)
		}
	}},
	{"a revocation is replaced only as CheckRevocation allows", testRevocationRules},
	{"one of many equal revocations is recorded", func(t *testing.T, w *world) {
		r := w.mustIssue(t, nil)
		var won atomic.Int32
		must(t, together(32, func(int) error {
			err := w.Revoke(t.Context(), revocationOf(r, ca.Superseded), event(audit.CertificateRevoked, r.Serial))
			if refused := (*ca.RevokedError)(nil); errors.As(err, &refused) {
				return nil
			}
			won.Add(1)
			return err
		}))
		if won.Load() != 1 {
			t.Errorf("got %d revocations, want 1", won.Load())
		}
	}},
	{"only a hold is released, and what was released is good since then", testRelease},
	{"the number of shards never falls, each issuer's by itself", testShards},
	{"an issuer's revocations ascend by serial", testRevocations},
	{"what was raised stays raised, and what stands higher stays", testRaise},
	{"tokens that nobody used end where they are told", testRaiseTokens},
	{"CRL numbers grow, each issuer's by itself, for concurrent callers too", testCRLNumbers},
}

func testRevocationRules(t *testing.T, w *world) {
	type step struct {
		reason ca.Reason
		after  time.Duration
		ok     bool
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		{"a hold becomes final", []step{{ca.CertificateHold, 0, true}, {ca.CertificateHold, 1, false}, {ca.Superseded, 1, true}, {ca.Superseded, 2, false}, {ca.CertificateHold, 3, false}}},
		{"keyCompromise takes the place of another", []step{{ca.CessationOfOperation, 0, true}, {ca.KeyCompromise, 0, true}, {ca.KeyCompromise, 1, false}, {ca.Superseded, 2, false}}},
		{"a hold becomes keyCompromise", []step{{ca.CertificateHold, 0, true}, {ca.KeyCompromise, 1, true}, {ca.CertificateHold, 2, false}}},
		{"no date goes back", []step{{ca.Superseded, 5, true}, {ca.KeyCompromise, 4, false}, {ca.KeyCompromise, 5, true}}},
		{"a final one stays", []step{{ca.Unspecified, 0, true}, {ca.Superseded, 1, false}, {ca.Unspecified, 1, false}}},
		{"a reason that RFC 5280 has not is refused", []step{{7, 0, false}, {200, 0, false}, {ca.PrivilegeWithdrawn, 0, true}}},
	} {
		record := w.mustIssue(t, nil)
		var stands *ca.Revocation
		for i, s := range tt.steps {
			rev := revocationOf(record, s.reason)
			rev.At = epoch.Add(s.after * time.Minute)
			size := len(leavesOf(t, w.Store))
			err := w.Revoke(t.Context(), rev, event(audit.CertificateRevoked, rev.Serial))
			if allowed := ca.CheckRevocation(stands, rev) == nil; allowed != s.ok || (err == nil) != s.ok {
				t.Errorf("%s, step %d: got %v, want %t", tt.name, i, err, s.ok)
			}
			if refused := (*ca.RevokedError)(nil); stands != nil && !s.ok && (!errors.As(err, &refused) || refused.Revocation != *stands) {
				t.Errorf("%s, step %d: got %v, want *ca.RevokedError with %v", tt.name, i, err, *stands)
			}
			if s.ok {
				stands, size = &rev, size+1
			}
			want := ca.Status{Issued: true, Revocation: stands}
			if got, err := w.Status(t.Context(), payment, record.Serial); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s, step %d: got %+v, %v, want %+v", tt.name, i, got, err, want)
			}
			if got, err := w.BySerial(t.Context(), record.Serial); err != nil || !reflect.DeepEqual(got.Revocation, stands) {
				t.Errorf("%s, step %d: got record %+v, %v, want %+v", tt.name, i, got, err, stands)
			}
			if got := len(leavesOf(t, w.Store)); got != size {
				t.Errorf("%s, step %d: log has %d entries, want %d", tt.name, i, got, size)
			}
		}
	}
}

func testRevocations(t *testing.T, w *world) {
	const n = 600 // more than a store reads at a time
	revs := make([]ca.Revocation, n)
	must(t, together(n, func(i int) error {
		r, err := w.issue(t.Context(), func(is *ca.Issuance) {
			if i%3 == 0 {
				is.Record.Issuer = service
			}
		})
		if err != nil {
			return err
		}
		revs[i] = revocationOf(r, ca.Superseded)
		return w.Revoke(t.Context(), revs[i], event(audit.CertificateRevoked, r.Serial))
	}))
	slices.SortFunc(revs, func(a, b ca.Revocation) int { return bytes.Compare(a.Serial[:], b.Serial[:]) })
	for _, issuer := range []string{payment, service, "pay", ""} {
		var want []ca.Revocation
		for _, rev := range revs {
			if rev.Issuer == issuer {
				want = append(want, rev)
			}
		}
		if got := all(t, w.Revocations(t.Context(), issuer)); !slices.Equal(got, want) {
			t.Errorf("%q: got %d revocations, want %d in order", issuer, len(got), len(want))
		}
	}
}

func testCRLNumbers(t *testing.T, w *world) {
	var mu sync.Mutex
	var numbers []uint64
	must(t, together(16, func(int) error {
		for last := uint64(0); last < 1<<62; {
			e := audit.Event{Time: epoch, Kind: audit.CRLSigned, Issuer: payment}
			next, err := w.NextCRLNumber(t.Context(), payment, e)
			if err != nil {
				return err
			}
			if next <= last {
				return errors.New("got " + strconv.FormatUint(next, 10) + " after " + strconv.FormatUint(last, 10))
			}
			last = next
			mu.Lock()
			numbers = append(numbers, next)
			enough := len(numbers) >= 160
			mu.Unlock()
			if enough {
				break
			}
		}
		return nil
	}))
	slices.Sort(numbers)
	if got := len(slices.Compact(slices.Clone(numbers))); got != len(numbers) {
		t.Errorf("got %d different numbers of %d", got, len(numbers))
	}
	if got := len(leavesOf(t, w.Store)); got != len(numbers) {
		t.Errorf("got %d events, want %d", got, len(numbers))
	}
	next, err := w.NextCRLNumber(t.Context(), payment, audit.Event{Time: epoch, Kind: audit.CRLSigned})
	if err != nil || next <= numbers[len(numbers)-1] {
		t.Errorf("got %d, %v, want more than %d", next, err, numbers[len(numbers)-1])
	}
	if next, err = w.NextCRLNumber(t.Context(), service, audit.Event{Time: epoch, Kind: audit.CRLSigned}); err != nil || next == 0 {
		t.Errorf("got %d, %v for another issuer, want a positive number", next, err)
	}
}

func testRaise(t *testing.T, w *world) {
	next := func(issuer string) uint64 {
		t.Helper()
		n, err := w.NextCRLNumber(t.Context(), issuer, audit.Event{Time: epoch, Kind: audit.CRLSigned, Issuer: issuer})
		must(t, err)
		return n
	}
	for range 5 {
		next(payment)
	}
	size := len(leavesOf(t, w.Store))
	recovered := audit.Event{Time: epoch, Kind: audit.NetworkRecovered}
	must(t, w.Raise(t.Context(), ca.Floors{CRLNumbers: map[string]uint64{payment: 3, service: 41}}, recovered))
	if got := len(leavesOf(t, w.Store)); got != size+1 {
		t.Errorf("got %d events, want one more than %d", got, size)
	}
	if got := next(payment); got != 6 {
		t.Errorf("got %d after a floor below what stands, want 6", got)
	}
	if got := next(service); got != 42 {
		t.Errorf("got %d after floor 41, want 42", got)
	}
	if err := w.Raise(t.Context(), ca.Floors{CRLNumbers: map[string]uint64{payment: 1<<64 - 1}}, recovered); err == nil {
		t.Error("got no error for a floor that leaves no number")
	}
}

func testRaiseTokens(t *testing.T, w *world) {
	for id, life := range map[string]time.Duration{"long": time.Hour, "over": time.Minute} {
		must(t, w.AddToken(t.Context(), ca.Token{ID: id, NotAfter: epoch.Add(life)}, audit.Event{Time: epoch, Kind: audit.TokenCreated}))
	}
	must(t, w.Raise(t.Context(), ca.Floors{Tokens: epoch.Add(2 * time.Minute)}, audit.Event{Time: epoch, Kind: audit.NetworkRecovered}))
	for id, want := range map[string]time.Duration{"long": 2 * time.Minute, "over": time.Minute} {
		if got, err := w.Token(t.Context(), id); err != nil || !got.NotAfter.Equal(epoch.Add(want)) {
			t.Errorf("%s: got %v, %v, want it over at %s", id, got.NotAfter, err, epoch.Add(want))
		}
	}
}
