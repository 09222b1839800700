package status

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

// An entry is a revocation as CRLs need it, in 36 octets without a pointer. Times are Unix seconds, until 2106.
type entry struct {
	serial     ca.Serial
	at         uint32 // when it was revoked; of one that is taken off, when that was
	notAfter   uint32 // end of the certificate
	invalidity uint32 // since when the key is suspected, 0 if not known
	shard      int16  // of the certificate: 0 for none, ca.AnyShard if not known
	reason     uint8
}

func newEntry(rev ca.Revocation) (entry, error) {
	e := entry{serial: rev.Serial, shard: int16(rev.Shard), reason: uint8(rev.Reason), notAfter: math.MaxUint32}
	for _, part := range []struct {
		to   *uint32
		time time.Time
		what string
	}{{&e.at, rev.At, "revoked at"}, {&e.invalidity, rev.Invalidity, "invalid since"}} {
		if part.time.IsZero() && part.to == &e.invalidity {
			continue
		}
		unix := part.time.Unix()
		if unix <= 0 || unix > math.MaxUint32 {
			return entry{}, fmt.Errorf("certificate %s is %s %v, want a time from 1970 to 2105", rev.Serial, part.what, part.time)
		}
		*part.to = uint32(unix)
	}
	if end := rev.NotAfter.Unix(); end < math.MaxUint32 {
		e.notAfter = uint32(max(end, 0))
	}
	return e, nil
}

func bySerial(e entry, serial ca.Serial) int { return bytes.Compare(e.serial[:], serial[:]) }

// spent says whether the entry may leave a list that was published at the given time with it: the certificate had
// ended then (RFC 5280 section 3.3).
func (e *entry) spent(published time.Time) bool {
	return !published.IsZero() && int64(max(e.notAfter, e.at)) < published.Unix()
}

// revoked is the revocations of an issuer, by ascending serial.
type revoked struct{ entries []entry }

// load takes what a store says, in its order.
func (r *revoked) load(revocations iter.Seq2[ca.Revocation, error]) error {
	r.entries = nil
	for rev, err := range revocations {
		if err != nil {
			return err
		}
		e, err := newEntry(rev)
		if err != nil {
			return err
		}
		r.entries = append(r.entries, e)
	}
	if !slices.IsSortedFunc(r.entries, func(a, b entry) int { return bySerial(a, b.serial) }) {
		return errors.New("revocations are not in the order of their serials")
	}
	return nil
}

// A change is a certificate that was revoked, revoked anew or released.
type change struct {
	entry
	released bool
}

// apply makes changes to different serials, in time and memory that do not depend on where they are.
func (r *revoked) apply(changes []change) {
	slices.SortFunc(changes, func(a, b change) int { return bySerial(a.entry, b.serial) })
	var added []entry
	gone := 0
	for _, c := range changes {
		at, known := slices.BinarySearchFunc(r.entries, c.serial, bySerial)
		switch {
		case known && c.released:
			r.entries[at].reason = removed
			gone++
		case known:
			r.entries[at] = c.entry
		case !c.released:
			added = append(added, c.entry)
		}
	}
	if gone > 0 {
		r.entries = slices.DeleteFunc(r.entries, func(e entry) bool { return e.reason == removed })
	}
	// Merged from the end, in place.
	i, j := len(r.entries), len(added)
	r.entries = append(r.entries, added...)
	for k := len(r.entries) - 1; j > 0; k-- {
		if i > 0 && bySerial(r.entries[i-1], added[j-1].serial) > 0 {
			i--
			r.entries[k] = r.entries[i]
		} else {
			j--
			r.entries[k] = added[j]
		}
	}
}

// removed is the reason of what is taken off a list: RFC 5280 section 5.3.1.
const removed = 8

// drop forgets what no list has to name any more.
func (r *revoked) drop(spent func(*entry) bool) {
	r.entries = slices.DeleteFunc(r.entries, func(e entry) bool { return spent(&e) })
}

// walk yields the entries that keep wants, as a CRL is made of. A serial holds until the next one.
func walk(entries []entry, keep func(*entry) bool) iter.Seq2[ocsp.Entry, error] {
	return func(yield func(ocsp.Entry, error) bool) {
		for i := range entries {
			e := &entries[i]
			if !keep(e) {
				continue
			}
			out := ocsp.Entry{Serial: e.serial[:], At: time.Unix(int64(e.at), 0), Reason: int(e.reason)}
			if e.invalidity != 0 {
				out.Invalidity = time.Unix(int64(e.invalidity), 0)
			}
			if !yield(out, nil) {
				return
			}
		}
	}
}

// A deltaBase is what delta lists tell: what changed since the full list that is their base. They come in two ages, so that the
// base can be moved on to a newer list without forgetting what came after that.
type deltaBase struct {
	number, middle uint64 // of full lists: the base, and the one to which it will move
	rotated        time.Time
	older, newer   map[ca.Serial]change // since base until middle, and since then
}

// begin starts anew from a full list.
func (c *deltaBase) begin(number uint64, now time.Time) {
	*c = deltaBase{number: number, middle: number, rotated: now, older: map[ca.Serial]change{}, newer: map[ca.Serial]change{}}
}

func (c *deltaBase) add(list []change) {
	for _, one := range list {
		c.newer[one.serial] = one
	}
}

// full is told of every full list. Once in a period it becomes the one to which the next base will move.
func (c *deltaBase) full(number uint64, now time.Time, period time.Duration) {
	if now.Sub(c.rotated) < period {
		return
	}
	c.number, c.middle, c.rotated = c.middle, number, now
	c.older, c.newer = c.newer, map[ca.Serial]change{}
}

// entries returns what the delta list names, by ascending serial. What was released is taken off.
func (c *deltaBase) entries(spent func(*entry) bool) []entry {
	all := maps.Clone(c.older)
	maps.Copy(all, c.newer)
	list := make([]entry, 0, len(all))
	for _, one := range all {
		e := one.entry
		if one.released {
			e.reason, e.invalidity = removed, 0
		}
		if !spent(&e) {
			list = append(list, e)
		}
	}
	slices.SortFunc(list, func(a, b entry) int { return bySerial(a, b.serial) })
	return list
}

// find returns the entry of a serial.
func (r *revoked) find(serial ca.Serial) (entry, bool) {
	at, known := slices.BinarySearchFunc(r.entries, serial, bySerial)
	if !known {
		return entry{serial: serial}, false
	}
	return r.entries[at], true
}
