package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const day = 24 * time.Hour

// A Duration is a time.Duration that is written as text, whole days as "7d".
type Duration time.Duration

// String returns the shortest form: 7d, 36h, 1h30m, 5m, 1.5s.
func (d Duration) String() string {
	t := time.Duration(d)
	if t != 0 && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	text := t.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// MarshalText writes the form of [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads whole days as "7d", and what time.ParseDuration reads.
func (d *Duration) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseInt(days, 10, 32)
		if err == nil && n >= -100*366 && n <= 100*366 {
			*d = Duration(time.Duration(n) * day)
			return nil
		}
	} else if t, err := time.ParseDuration(string(text)); err == nil {
		*d = Duration(t)
		return nil
	}
	return fmt.Errorf("duration %q, want a number and a unit, as in 7d, 12h or 5m", text)
}
