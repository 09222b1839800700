package ocsp

import (
	"crypto/x509"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

// quick is what was good a moment ago, for the requests of open connections: the same certificates, as the same objects, are
// found again without hashing them and without a lock.
type quick struct {
	slots  [1024]atomic.Pointer[quickEntry]
	ending atomic.Uint64 // counts what was learned that is not good: every entry from before is void
}

// A quickEntry is not modified.
type quickEntry struct {
	leaf, issuer *x509.Certificate
	serial       string // in hexadecimal, for the feed
	verdict      Verdict
	until        time.Time // it may be reused before, also without a feed
	ending       uint64
}

// slot is where a certificate is, if it is: by octets of its signature, which nobody chooses.
func (q *quick) slot(leaf *x509.Certificate) *atomic.Pointer[quickEntry] {
	if len(leaf.Signature) < 8 {
		return nil
	}
	return &q.slots[binary.LittleEndian.Uint64(leaf.Signature[len(leaf.Signature)-8:])%uint64(len(q.slots))]
}

// again returns the verdict of a certificate that was good a moment ago and that nobody told anything of since.
func (c *knowledge) again(leaf, issuer *x509.Certificate) (Verdict, bool) {
	slot := c.quick.slot(leaf)
	if slot == nil {
		return Verdict{}, false
	}
	e := slot.Load()
	if e == nil || e.leaf != leaf || e.issuer != issuer || e.ending != c.quick.ending.Load() {
		return Verdict{}, false
	}
	now := c.cfg.Now()
	if now.Before(e.verdict.CheckedAt) || !now.Before(e.verdict.NextUpdate) {
		return Verdict{}, false
	}
	if c.cfg.Feed == nil {
		return e.verdict, now.Before(e.until)
	}
	since, live := c.cfg.Feed.Live() // before the look-up: what is told while it is asked for is not missed
	if change, changed := c.cfg.Feed.Lookup(e.serial); changed && change.State != feed.Released {
		return Verdict{}, false
	} else if changed {
		live = false
	}
	return e.verdict, now.Before(e.until) || live && e.verdict.ProducedAt.Add(time.Second).After(since)
}

// good notes that a certificate was found good.
func (c *knowledge) good(leaf, issuer *x509.Certificate, known entry, ending uint64) {
	slot := c.quick.slot(leaf)
	if slot == nil || known.err != nil || known.verdict.State != Good || c.cfg.MaxAge < 0 {
		return
	}
	slot.Store(&quickEntry{leaf, issuer, leaf.SerialNumber.Text(16), known.verdict, known.until, ending})
}
