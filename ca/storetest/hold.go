package storetest

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

func testRelease(t *testing.T, w *world) {
	other := w.mustIssue(t, nil)
	record := w.mustIssue(t, nil)
	must(t, w.Revoke(t.Context(), revocationOf(other, ca.CertificateHold), event(audit.CertificateRevoked, other.Serial)))
	release := func(issuer string, serial ca.Serial, at time.Time) error {
		return w.Release(t.Context(), issuer, serial, at, event(audit.CertificateFreed, serial))
	}
	revoke := func(reason ca.Reason, at time.Time) *ca.Revocation {
		rev := revocationOf(record, reason)
		rev.At = at
		must(t, w.Revoke(t.Context(), rev, event(audit.CertificateRevoked, rev.Serial)))
		return &rev
	}
	want := func(step string, status ca.Status) {
		t.Helper()
		if got, err := w.Status(t.Context(), payment, record.Serial); err != nil || !reflect.DeepEqual(got, status) {
			t.Errorf("%s: got %+v, %v, want %+v", step, got, err, status)
		}
		if got, err := w.BySerial(t.Context(), record.Serial); err != nil || !reflect.DeepEqual(got.Revocation, status.Revocation) {
			t.Errorf("%s: got record %+v, %v, want %+v", step, got, err, status.Revocation)
		}
		revoked := status.Revocation != nil
		if got := all(t, w.Certificates(t.Context(), ca.Filter{Revoked: &revoked, From: true, After: record.Index - 1, Limit: 1})); len(got) != 1 || got[0].Serial != record.Serial {
			t.Errorf("%s: got %v among those with revoked %t, want it", step, got, revoked)
		}
	}
	size := len(leavesOf(t, w.Store))
	wantError(t, release(payment, w.serial(), epoch), ca.ErrNotFound)
	wantError(t, release(service, record.Serial, epoch), ca.ErrNotFound)
	if err := release(payment, record.Serial, epoch); !errors.As(err, new(*ca.NotHeldError)) {
		t.Errorf("got %v for a good certificate, want *ca.NotHeldError", err)
	}
	if got := len(leavesOf(t, w.Store)); got != size {
		t.Errorf("refusals made %d events, want none", got-size)
	}
	for i := range 2 {
		at := epoch.Add(time.Duration(i) * time.Hour)
		want("on hold", ca.Status{Issued: true, Revocation: revoke(ca.CertificateHold, at)})
		must(t, release(payment, record.Serial, at.Add(time.Minute)))
		want("released", ca.Status{Issued: true, Released: at.Add(time.Minute)})
	}
	if got := all(t, w.Revocations(t.Context(), payment)); len(got) != 1 || got[0].Serial != other.Serial {
		t.Errorf("got revocations %v, want that of the other alone", got)
	}
	final := revoke(ca.KeyCompromise, epoch.Add(3*time.Hour))
	if refused := (*ca.RevokedError)(nil); !errors.As(release(payment, record.Serial, epoch), &refused) || refused.Revocation != *final {
		t.Errorf("got %v, want *ca.RevokedError with %v", refused, final)
	}
	want("revoked for good", ca.Status{Issued: true, Revocation: final})
}

func testShards(t *testing.T, w *world) {
	raise := func(issuer string, n, want int) {
		t.Helper()
		got, err := w.RaiseShards(t.Context(), issuer, n, audit.Event{Time: epoch, Kind: audit.CRLShards, Issuer: issuer})
		if err != nil || got != want {
			t.Errorf("%s to %d: got %d, %v, want %d", issuer, n, got, err, want)
		}
	}
	size := len(leavesOf(t, w.Store))
	raise(payment, 0, 0)
	raise(payment, 4, 4)
	raise(payment, 4, 4)
	raise(payment, 2, 4)
	raise(service, 1, 1)
	raise(payment, 16, 16)
	raise(payment, 0, 16)
	if got := len(leavesOf(t, w.Store)) - size; got != 3 {
		t.Errorf("got %d events, want one for each rise: 3", got)
	}
}
