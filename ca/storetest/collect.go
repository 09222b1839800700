package storetest

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/audit"
)

// testCollect has tokens "0" to "9", of which number i ends i minutes after the epoch; "3" was used.
func testCollect(t *testing.T, w *world) {
	var ids []string
	for i := range 10 {
		token := token(strconv.Itoa(9 - i))
		token.NotAfter = epoch.Add(time.Duration(9-i) * time.Minute)
		must(t, w.AddToken(t.Context(), token, audit.Event{Time: epoch, Kind: audit.TokenCreated}))
		ids = append(ids, token.ID)
	}
	must(t, w.one(t.Context(), "a"))
	r := w.mustIssue(t, func(is *ca.Issuance) {
		is.Token, is.Use = "3", ca.TokenUse{Party: "acme", At: epoch, Serial: is.Record.Serial}
	})
	must(t, w.Revoke(t.Context(), revocationOf(r, ca.Superseded), event(audit.CertificateRevoked, r.Serial)))
	in := w.mustReserve(t)
	must(t, w.CloseIntent(t.Context(), closing(in), event(audit.IntentClosed, in.Serial)))
	before := Dump(t, w.Store)
	for _, step := range []struct {
		after       time.Duration
		limit, want int
		gone        int // tokens with a lower number
	}{
		{0, 10, 0, 0},
		{time.Minute, 10, 1, 1},
		{time.Minute, 10, 0, 1},
		{5*time.Minute + time.Second, 3, 3, 4},
		{5*time.Minute + time.Second, 3, 2, 6},
		{5*time.Minute + time.Second, 3, 0, 6},
	} {
		if n, err := w.Collect(t.Context(), epoch.Add(step.after), step.limit); err != nil || n != step.want {
			t.Errorf("%v, limit %d: got %d, %v, want %d", step.after, step.limit, n, err, step.want)
		}
		for _, id := range ids {
			_, err := w.Token(t.Context(), id)
			if i, _ := strconv.Atoi(id); i < step.gone {
				wantError(t, err, ca.ErrNotFound)
			} else {
				must(t, err)
			}
		}
	}
	_, err := w.Collect(t.Context(), epoch, 0)
	if err == nil {
		t.Error("got nil for limit 0, want an error")
	}
	_, err = w.issue(t.Context(), func(is *ca.Issuance) { is.Token = "3" })
	wantError(t, err, ca.ErrNotFound)
	_, err = w.issue(t.Context(), func(is *ca.Issuance) { is.Token = "0" })
	wantError(t, err, ca.ErrNotFound)
	if after := Dump(t, w.Store); len(after) <= len(before) {
		t.Errorf("got %s, want all of %s", after, before)
	}
	wantError(t, w.Reserve(t.Context(), in), ca.ErrSerialUsed)
	if status, err := w.Status(t.Context(), payment, in.Serial); err != nil || status.Revocation == nil {
		t.Errorf("got %+v, %v, want the closed intent revoked for good", status, err)
	}
}

func testCollectAtOnce(t *testing.T, w *world) {
	const n = 120
	collected := make([]int, n)
	must(t, together(n, func(i int) (err error) {
		if i%2 == 0 {
			collected[i], err = w.Collect(t.Context(), epoch.Add(time.Minute), 7)
			return err
		}
		token := token(fmt.Sprintf("t%d", i))
		if i%4 == 1 {
			token.NotAfter = epoch
		}
		return w.AddToken(t.Context(), token, audit.Event{Time: epoch, Kind: audit.TokenCreated})
	}))
	rest, err := w.Collect(t.Context(), epoch.Add(time.Minute), n)
	must(t, err)
	for _, c := range collected {
		rest += c
	}
	if rest != n/4 {
		t.Errorf("got %d collected, want each of %d once", rest, n/4)
	}
	for i := 3; i < n; i += 4 {
		_, err := w.Token(t.Context(), fmt.Sprintf("t%d", i))
		must(t, err)
	}
}
