package network_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// Case 29: the clock goes back an hour and forward two days while the CA runs.
func TestAClockThatJumps(t *testing.T) {
	t.Parallel()
	var shift atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(shift.Load())) }
	r := startAt(t, now)
	serials, last := map[string]bool{}, uint64(0)
	for _, tt := range []struct {
		party string
		shift time.Duration
		alarm string
	}{
		{"shop1", 2 * time.Hour, ""},
		{"shop2", time.Hour, "want one that does not go back"},
		{"shop3", 2 * time.Hour, ""},
		{"shop4", 50 * time.Hour, ""},
		{"shop5", 2 * time.Hour, "want one that does not go back"},
	} {
		shift.Store(int64(tt.shift))
		serial, issuer, number, err := r.network.IssueAndRevoke(t.Context(), tt.party)
		must(t, err)
		if serials[serial] || number <= last {
			t.Errorf("%v: serial %s and CRL number %d after %d", tt.shift, serial, number, last)
		}
		serials[serial], last = true, number
		resp, err := http.Get(r.status + "/crl/" + issuer + ".crl")
		must(t, err)
		raw, err := io.ReadAll(resp.Body)
		must(t, errors.Join(err, resp.Body.Close()))
		list, err := ocsp.ParseCRL(raw)
		must(t, err)
		if list.ThisUpdate.After(now()) || list.Number != number {
			t.Errorf("%v: CRL %d of %v, want %d and not after %v", tt.shift, list.Number, list.ThisUpdate, number, now())
		}
		alarm := r.network.Alarm()
		if (alarm == nil) != (tt.alarm == "") || alarm != nil && !strings.Contains(alarm.Error(), tt.alarm) {
			t.Errorf("%v: alarm %v, want %q", tt.shift, alarm, tt.alarm)
		}
	}
}
