package config

import (
	"fmt"
	"time"
)

// Due is when the re-check after the one that started at last is due: the next time of day At.
func (r Recheck) Due(last time.Time) time.Time {
	at, err := time.Parse("15:04", r.At)
	if err != nil { // Validate refuses it
		at = time.Time{}
	}
	last = last.UTC()
	due := time.Date(last.Year(), last.Month(), last.Day(), at.Hour(), at.Minute(), 0, 0, time.UTC)
	if !due.After(last) {
		due = due.AddDate(0, 0, 1)
	}
	return due
}

func checkTimeOfDay(text string) error {
	if at, err := time.Parse("15:04", text); err != nil || at.Format("15:04") != text {
		return fmt.Errorf("%q, want a time of day in UTC, as in 02:30", text)
	}
	return nil
}

func checkLoad(percent int) error {
	if percent < 1 || percent > 100 {
		return fmt.Errorf("%d, want 1 to 100", percent)
	}
	return nil
}
