package ocsp

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A Mode says what a [Checker] does with a certificate of which nothing could be
// learned. The zero Mode is HardFail.
type Mode int

// The modes. Revoked is refused in all of them, and so is a certificate of which its
// responder says, signed, that it does not know it.
const (
	HardFail Mode = iota // refuse it
	SoftFail             // admit it, log it, count it
	// StapledOnly asks nobody about the certificates of end entities: what the feed and a stapled answer do not vouch for is
	// refused. A staple that was seen stands until its nextUpdate. CA certificates, which are never stapled, are checked as HardFail does.
	StapledOnly
)

// String names the mode.
func (m Mode) String() string {
	switch m {
	case HardFail:
		return "hard-fail"
	case SoftFail:
		return "soft-fail"
	case StapledOnly:
		return "stapled-only"
	}
	return fmt.Sprintf("mode(%d)", int(m))
}

func (m Mode) check() error {
	if m < HardFail || m > StapledOnly {
		return fmt.Errorf("mode %d: want HardFail, SoftFail or StapledOnly", m)
	}
	return nil
}

// As returns a checker of another mode that knows what c knows, and learns for both: for operations
// that can bear more, or less, than others. A mode that does not exist is HardFail.
func (c *Checker) As(mode Mode) *Checker {
	if mode.check() != nil {
		mode = HardFail
	}
	return &Checker{c.knowledge, mode}
}

// Mode returns the mode of the checker.
func (c *Checker) Mode() Mode { return c.mode }

// SoftFails returns how many checks, in all modes, found nothing out and admitted the
// certificate nevertheless, each reuse of such a verdict left out.
func (c *Checker) SoftFails() uint64 { return c.softFails.Load() }

// judge lets the mode decide where nothing was learned. What is told for the first time is logged.
func (c *Checker) judge(ctx context.Context, leaf *x509.Certificate, v Verdict, err error, fresh bool) (Verdict, error) {
	var unknown *UnknownError
	if !errors.As(err, &unknown) {
		return v, err
	}
	admit := c.mode == SoftFail && !unknown.Denied
	if fresh {
		what := []slog.Attr{slog.String("serial", leaf.SerialNumber.Text(16)), slog.String("mode", c.mode.String()), slog.Any("err", unknown)}
		if admit {
			c.softFails.Add(1)
			c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "certificate of unknown status admitted", what...)
		} else {
			c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "certificate of unknown status refused", what...)
		}
	}
	if admit {
		return v, nil
	}
	return v, err
}

// stapled is what a staple that was seen before says of a certificate.
func (c *Checker) stapled(leaf *x509.Certificate, known entry, now time.Time) (Verdict, error) {
	switch v := known.stapled; {
	case known.verdict.State == Revoked && now.Before(known.verdict.NextUpdate):
		return known.verdict, known.err
	case v.State == Good && !now.After(v.NextUpdate) && !now.Before(v.CheckedAt.Add(-c.cfg.Skew)):
		return v, nil
	}
	return nothing(now), &UnknownError{Serial: leaf.SerialNumber.Text(16), Err: errors.New("no stapled answer that holds, and nobody is asked")}
}

// oidNoRevAvail is the extension of RFC 9608.
const oidNoRevAvail = "2.5.29.56"

// shortLived says whether a certificate ends before anybody could learn that it was revoked, says so, and may.
func (c *knowledge) shortLived(leaf *x509.Certificate) bool {
	return c.cfg.ShortLived > 0 && !leaf.IsCA && leaf.NotAfter.Sub(leaf.NotBefore) <= c.cfg.ShortLived &&
		hasExtension(leaf, oidNoRevAvail)
}

func hasExtension(cert *x509.Certificate, oid string) bool {
	for _, e := range cert.Extensions {
		if e.Id.String() == oid {
			return true
		}
	}
	return false
}
