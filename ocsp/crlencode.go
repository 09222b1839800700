package ocsp

import (
	"bytes"
	"fmt"
	"io"
	"iter"
	"math"
	"time"
)

// encodeChunk is how many octets of a list are written at a time.
const encodeChunk = 32 << 10

// A listEncoder writes one TBSCertList as often as it is asked to.
type listEncoder struct {
	head, tail, algorithm []byte // DER
	entries               iter.Seq2[Entry, error]
	delta                 bool

	content int // octets of all entries
	size    int // octets of the whole TBSCertList
}

// measure walks the entries once, checks them and finds out how long they are.
func (e *listEncoder) measure() error {
	var previous []byte
	for entry, err := range e.entries {
		if err != nil {
			return fmt.Errorf("reading entries: %w", err)
		}
		serial := bytes.TrimLeft(entry.Serial, "\x00")
		if previous != nil && compareSerials(previous, serial) >= 0 {
			return fmt.Errorf("serial %x after %x: want strictly ascending serials", serial, previous)
		}
		previous = append(previous[:0], serial...)
		if err := e.check(entry, serial); err != nil {
			return fmt.Errorf("serial %x: %w", serial, err)
		}
		e.content += entrySize(entry, serial)
		if e.content > math.MaxInt32 {
			return fmt.Errorf("more than %d octets of entries", math.MaxInt32)
		}
	}
	body := len(e.head) + len(e.tail)
	if e.content > 0 {
		body += len(sequenceHeader(e.content)) + e.content
	}
	e.size = len(sequenceHeader(body)) + body
	return nil
}

func (e *listEncoder) check(entry Entry, serial []byte) error {
	if len(serial) == 0 || len(serial) > maxSerial {
		return fmt.Errorf("want 1 to %d octets, not zero", maxSerial)
	}
	if err := checkReason(entry.Reason); err != nil && (!e.delta || entry.Reason != reasonRemoveFromCRL) {
		return err
	}
	if !hasForm(entry.At) {
		return fmt.Errorf("revoked at %v: want a time from 1950 on", entry.At)
	}
	if !entry.Invalidity.IsZero() && !hasForm(entry.Invalidity) {
		return fmt.Errorf("invalid since %v: want a time from 1950 on", entry.Invalidity)
	}
	return nil
}

// hasForm says whether a time can be written: from 1950 to 9998.
func hasForm(t time.Time) bool {
	unix := t.Unix()
	return unix >= -631152000 && unix < 253370764800
}

// writeTBS writes the TBSCertList.
func (e *listEncoder) writeTBS(w io.Writer) error {
	body := len(e.head) + len(e.tail)
	out := make([]byte, 0, encodeChunk+256)
	if e.content > 0 { // an empty list omits revokedCertificates
		header := sequenceHeader(e.content)
		out = append(out, sequenceHeader(body+len(header)+e.content)...)
		out = append(append(out, e.head...), header...)
	} else {
		out = append(append(out, sequenceHeader(body)...), e.head...)
	}
	var day dayText
	left := e.content
	for entry, err := range e.entries {
		if err != nil {
			return fmt.Errorf("reading entries: %w", err)
		}
		serial := bytes.TrimLeft(entry.Serial, "\x00")
		if len(serial) == 0 || len(serial) > maxSerial {
			break // not what was measured
		}
		before := len(out)
		out = appendEntry(out, serial, entry, &day)
		if left -= len(out) - before; left < 0 {
			break
		}
		if len(out) >= encodeChunk {
			if _, err := w.Write(out); err != nil {
				return err
			}
			out = out[:0]
		}
	}
	if left != 0 {
		return fmt.Errorf("the entries are %d octets now, were %d: want the same each time", e.content-left, e.content)
	}
	_, err := w.Write(append(out, e.tail...))
	return err
}

// The octets of an entry's extensions.
const (
	reasonSize     = 12
	invaliditySize = 26
)

// entrySize is the length of what appendEntry appends.
func entrySize(e Entry, serial []byte) int {
	n := 2 + 2 + len(serial) + 2 + 13
	if serial[0]&0x80 != 0 {
		n++
	}
	if isLate(e.At) {
		n += 2
	}
	if e.Reason != 0 || !e.Invalidity.IsZero() {
		n += 2
	}
	if e.Reason != 0 {
		n += reasonSize
	}
	if !e.Invalidity.IsZero() {
		n += invaliditySize
	}
	return n
}

// isLate says whether a time is written as GeneralizedTime.
func isLate(t time.Time) bool { return t.Unix() >= 2524608000 } // 2050-01-01

// appendEntry appends one element of revokedCertificates. It is always shorter than 128 octets.
func appendEntry(out, serial []byte, e Entry, day *dayText) []byte {
	mark := len(out)
	out = append(out, 0x30, 0)
	if serial[0]&0x80 != 0 {
		out = append(out, 0x02, byte(len(serial)+1), 0)
	} else {
		out = append(out, 0x02, byte(len(serial)))
	}
	out = append(out, serial...)
	if isLate(e.At) {
		out = e.At.UTC().AppendFormat(append(out, 0x18, 15), "20060102150405Z")
	} else {
		out = day.append(append(out, 0x17, 13), e.At.Unix())
	}
	if e.Reason != 0 || !e.Invalidity.IsZero() {
		extensions := len(out)
		out = append(out, 0x30, 0)
		if e.Reason != 0 {
			out = append(out, 0x30, reasonSize-2, 0x06, 3)
			out = append(out, oidReasonCode...)
			out = append(out, 0x04, 3, 0x0a, 1, byte(e.Reason))
		}
		if !e.Invalidity.IsZero() {
			out = append(out, 0x30, invaliditySize-2, 0x06, 3)
			out = append(out, oidInvalidityDate...)
			out = e.Invalidity.UTC().AppendFormat(append(out, 0x04, 17, 0x18, 15), "20060102150405Z")
		}
		out[extensions+1] = byte(len(out) - extensions - 2)
	}
	out[mark+1] = byte(len(out) - mark - 2)
	return out
}

// A dayText writes UTCTimes. It keeps the last day, because entries share few.
type dayText struct {
	begins int64 // Unix seconds
	text   [len("yymmddhhmmssZ")]byte
	set    bool
}

func (d *dayText) append(out []byte, unix int64) []byte {
	const daySeconds = 24 * 60 * 60
	second := unix - d.begins
	if second < 0 || second >= daySeconds || !d.set {
		if second = unix % daySeconds; second < 0 {
			second += daySeconds
		}
		d.begins, d.set = unix-second, true
		copy(d.text[:], appendUTCTime(nil, time.Unix(d.begins, 0).UTC()))
	}
	rest := uint32(second)
	minutes := rest / 60
	for i, n := range [...]uint32{minutes / 60, minutes % 60, rest % 60} {
		d.text[6+2*i], d.text[7+2*i] = byte('0'+n/10), byte('0'+n%10)
	}
	return append(out, d.text[:]...)
}
