package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/payca/payca/ca/audit"
)

func TestIndexSince(t *testing.T) {
	t.Parallel()
	epoch := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	log, err := audit.New(audit.Config{Origin: "pay.example/ca", Signer: key(1)})
	if err != nil {
		t.Fatal(err)
	}
	m := &memory{}
	if n, err := audit.IndexSince(t.Context(), m, epoch); n != 0 || err != nil {
		t.Errorf("an empty log: got %d and %v, want 0", n, err)
	}
	for i := range 50 { // two events every second second
		if _, err := log.Append(m, audit.Event{Time: epoch.Add(time.Duration(i/2*2) * time.Second), Kind: audit.Started}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Seal(m); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		seconds int
		want    uint64
	}{{-1, 0}, {0, 0}, {1, 2}, {2, 2}, {3, 4}, {48, 48}, {49, 50}, {1000, 50}} {
		t.Run(fmt.Sprint(tt.seconds), func(t *testing.T) {
			t.Parallel()
			got, err := audit.IndexSince(t.Context(), m, epoch.Add(time.Duration(tt.seconds)*time.Second))
			if got != tt.want || err != nil {
				t.Errorf("got %d and %v, want %d", got, err, tt.want)
			}
		})
	}
}
