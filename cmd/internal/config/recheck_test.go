package config_test

import (
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/config"
)

func TestTheNextRecheckIsDueAtTheNextTimeOfDay(t *testing.T) {
	t.Parallel()
	at := func(text string) time.Time {
		when, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return when
	}
	for _, tt := range []struct{ name, at, last, want string }{
		{"later on the same day", "02:30", "2026-03-01T01:00:00Z", "2026-03-01T02:30:00Z"},
		{"at the time itself, the day after", "02:30", "2026-03-01T02:30:00Z", "2026-03-02T02:30:00Z"},
		{"over the end of a year", "00:00", "2026-12-31T23:59:59Z", "2027-01-01T00:00:00Z"},
		{"of another zone, in UTC", "02:30", "2026-03-01T03:00:00+02:00", "2026-03-01T02:30:00Z"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := (config.Recheck{At: tt.at}).Due(at(tt.last)); !got.Equal(at(tt.want)) {
				t.Errorf("got %s, want %s", got.Format(time.RFC3339), tt.want)
			}
		})
	}
}
