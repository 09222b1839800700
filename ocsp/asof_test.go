package ocsp_test

import (
	"crypto"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// What a responder says is as of when its source knew every change.
func TestAnAnswerIsNoNewerThanWhatIsKnown(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	leaf := ca.leaf(t, 1)
	src := &book{}
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	for name, tt := range map[string]struct {
		behind, update time.Duration // how long ago all was known, and thisUpdate lies; 0 for tryLater
	}{
		"nothing is missing":            {0, 5 * time.Minute},
		"a minute behind":               {time.Minute, 5 * time.Minute},
		"ten minutes behind":            {10 * time.Minute, 10 * time.Minute},
		"a second less than an answer":  {time.Hour - time.Second, time.Hour - time.Second},
		"as far behind as answers hold": {time.Hour, 0},
		"a day behind":                  {24 * time.Hour, 0},
	} {
		h := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) {
			cfg.Validity, cfg.AsOf = time.Hour, func() time.Time { return epoch.Add(-tt.behind) }
		})
		for _, nonce := range [][]byte{nil, octets(16)} {
			body := post(h, request(t, leaf, ca.cert, crypto.SHA1, nonce)).Body.Bytes()
			if tt.update == 0 {
				if got := status(t, body); got != ocsp.TryLater {
					t.Errorf("%s: got %v, want tryLater", name, got)
				}
				continue
			}
			r, err := ocsp.ParseResponse(body)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if s := r.Singles[0]; !s.ThisUpdate.Equal(epoch.Add(-tt.update)) || !s.NextUpdate.Equal(s.ThisUpdate.Add(time.Hour)) {
				t.Errorf("%s: got %v to %v, want from %v, for an hour", name, s.ThisUpdate, s.NextUpdate, epoch.Add(-tt.update))
			}
		}
	}
}
