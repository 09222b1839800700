package policy

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	day          = 24 * time.Hour
	maxDuration  = 100 * 365 * day
	wantDuration = `whole days ("30" or "30d") or hours, minutes and seconds ("36h", "90s")`
)

// A Duration is a length of time as configuration files write it: a number of
// days ("30" or "30d"), or hours, minutes and seconds ("36h", "1m30s"). A day
// is 86400 seconds.
type Duration time.Duration

// ParseDuration reads the text of a [Duration]: whole seconds, not negative,
// at most a hundred years.
func ParseDuration(text string) (Duration, error) {
	var d time.Duration
	days, err := strconv.ParseUint(strings.TrimSuffix(text, "d"), 10, 16)
	if err == nil {
		d = time.Duration(days) * day
	} else if d, err = time.ParseDuration(text); err != nil {
		return 0, fmt.Errorf("duration %s: want %s", quote(text), wantDuration)
	}
	if d < 0 || d > maxDuration || d%time.Second != 0 {
		return 0, fmt.Errorf("duration %s: want whole seconds from 0 to 36500 days", quote(text))
	}
	return Duration(d), nil
}

// String returns days ("30d") when it is whole days, else the form of [time.Duration].
func (d Duration) String() string {
	if t := time.Duration(d); t != 0 && t%day == 0 {
		return strconv.FormatInt(int64(t/day), 10) + "d"
	}
	return time.Duration(d).String()
}

// MarshalText writes the form of [Duration.String].
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads the forms of [ParseDuration].
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := ParseDuration(string(text))
	if err != nil {
		return err
	}
	*d = parsed
	return nil
}

// window chooses the validity: what is asked for where the profile and the
// issuers allow it, else as much as they allow. Both ends are part of it
// (RFC 5280 section 4.1.2.5), hence the second that is taken off.
func (d *decider) window() {
	p, now := d.req.Profile, d.req.Now
	from, until := d.issuerTime()
	earliest := wholeSecond(now.Add(-time.Duration(p.cfg.Backdate)))
	if earliest.Before(from) {
		earliest = wholeSecond(from)
	}
	notBefore := earliest
	if !d.req.NotBefore.IsZero() {
		notBefore = wholeSecond(d.req.NotBefore)
	}
	latest := wholeSecond(now).Add(time.Duration(p.cfg.Validity))
	if notBefore.Before(earliest) || notBefore.After(latest) {
		d.refuse("not-before", "notBefore", stamp(notBefore), "from "+stamp(earliest)+" to "+stamp(latest))
	}
	last := notBefore.Add(time.Duration(p.cfg.Validity) - time.Second)
	if last.After(until) {
		last = wholeSecond(until)
	}
	notAfter := last
	if !d.req.NotAfter.IsZero() {
		notAfter = wholeSecond(d.req.NotAfter)
	}
	if notAfter.Before(notBefore) || notAfter.After(last) {
		d.refuse("not-after", "notAfter", stamp(notAfter), "from "+stamp(notBefore)+" to "+stamp(last)+
			", the last second that profile "+p.cfg.Name+" and the issuing CA allow")
	}
	d.out.NotBefore, d.out.NotAfter = notBefore, notAfter
}

func wholeSecond(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
