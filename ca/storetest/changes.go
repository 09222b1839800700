package storetest

import (
	"slices"
	"testing"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
	"github.com/payca/payca/ocsp/feed"
)

var changes = []sentence{
	{"each revocation and release is a change, in order, under a hash of all", testChanges},
	{"changes that many make at a time have epochs without gaps", func(t *testing.T, w *world) {
		const n = 40
		must(t, together(n, func(int) error {
			r, err := w.issue(t.Context(), func(*ca.Issuance) {})
			if err != nil {
				return err
			}
			return w.Revoke(t.Context(), revocationOf(r, ca.Superseded), event(audit.CertificateRevoked, r.Serial))
		}))
		w.wantChanges(t, n)
	}},
}

// wantChanges reads the list page by page and checks it against its head.
func (w *world) wantChanges(t *testing.T, n int) (list []feed.Change) {
	t.Helper()
	epoch, hash, err := w.ChangeHead(t.Context())
	must(t, err)
	var own feed.Hash
	for page := []feed.Change{{}}; len(page) > 0; {
		page, err = w.Changes(t.Context(), uint64(len(list)), 7)
		must(t, err)
		for _, c := range page {
			if c.Epoch != uint64(len(list))+1 {
				t.Fatalf("change %d after %d", c.Epoch, len(list))
			}
			own = own.Next(c)
			list = append(list, c)
		}
	}
	if len(list) != n || epoch != uint64(n) || own != hash {
		t.Errorf("%d changes up to epoch %d, hash %x, want %d and %x", len(list), epoch, hash, n, own)
	}
	return list
}

func testChanges(t *testing.T, w *world) {
	w.wantChanges(t, 0)
	first, second := w.mustIssue(t, nil), w.mustIssue(t, nil)
	revoke := func(r ca.Record, reason ca.Reason) error {
		return w.Revoke(t.Context(), revocationOf(r, reason), event(audit.CertificateRevoked, r.Serial))
	}
	must(t, revoke(first, ca.Superseded))
	must(t, revoke(second, ca.CertificateHold))
	if err := revoke(first, ca.Superseded); err == nil {
		t.Error("the same revocation again: got nil, want a refusal")
	}
	must(t, w.Release(t.Context(), second.Issuer, second.Serial, revocationOf(second, ca.CertificateHold).At, event(audit.CertificateFreed, second.Serial)))
	if err := w.Release(t.Context(), second.Issuer, second.Serial, epoch, event(audit.CertificateFreed, second.Serial)); err == nil {
		t.Error("the same release again: got nil, want a refusal")
	}
	must(t, revoke(second, ca.KeyCompromise))
	list := w.wantChanges(t, 4)
	var states []feed.State
	for i, r := range []ca.Record{first, second, second, second} {
		c := list[i]
		states = append(states, c.State)
		if c.Serial != r.Serial.Int().Text(16) || c.Issuer != r.Issuer || !c.At.Equal(revocationOf(r, ca.Superseded).At) {
			t.Errorf("change %d is %+v, want one of %s", i+1, c, r.Serial)
		}
	}
	if want := []feed.State{feed.Revoked, feed.Held, feed.Released, feed.Revoked}; !slices.Equal(states, want) || list[3].Reason != int(ca.KeyCompromise) {
		t.Errorf("got %v, last for reason %d, want %v", states, list[3].Reason, want)
	}
}
