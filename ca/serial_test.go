package ca_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"math/bits"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ca"
)

func TestSerialsStayRandomWithTheClockSetBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.advance(24 * time.Hour)
	seen := make(map[ca.Serial]bool)
	req := request(t, "shop1", newKey(t))
	for i := range 40 {
		if i == 20 {
			w.advance(-time.Hour)
		}
		c, err := w.ca.Issue(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		if seen[c.Record.Serial] {
			t.Fatalf("serial %s twice", c.Record.Serial)
		}
		seen[c.Record.Serial] = true
	}
}

func TestSerialThatWasUsedIsDrawnAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	block := bytes.Repeat([]byte{7}, 16)
	w.cfg.Random = io.MultiReader(bytes.NewReader(block), bytes.NewReader(block), rand.Reader)
	w.open()
	a, b := w.issue("shop1", newKey(t)), w.issue("shop1", newKey(t))
	if a.Record.Serial == b.Record.Serial || !bytes.Equal(a.Record.Serial[4:], block) {
		t.Errorf("serials %s and %s, want one that ends in %x and another", a.Record.Serial, b.Record.Serial, block)
	}
	w.cfg.Random = bytes.NewReader(bytes.Repeat(block, 100))
	w.open()
	if _, err := w.ca.Issue(t.Context(), request(t, "shop1", newKey(t))); !errors.Is(err, ca.ErrSerialUsed) {
		t.Errorf("error %v with a stuck source, want ErrSerialUsed", err)
	}
}

// Case 31: a million serials, all of one second.
func TestSerialsAreRandomInEveryBitAfterTheTime(t *testing.T) {
	t.Parallel()
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	seen := make(map[ca.Serial]struct{}, n)
	var ones [160]int
	now := time.Date(2026, 11, 23, 0, 0, 0, 0, time.UTC)
	for range n {
		s, err := ca.NewSerial(rand.Reader, now)
		if err != nil {
			t.Fatal(err)
		}
		seen[s] = struct{}{}
		for i, b := range s {
			for b != 0 {
				bit := bits.LeadingZeros8(b)
				ones[8*i+bit]++
				b &^= 0x80 >> bit
			}
		}
	}
	if len(seen) != n {
		t.Errorf("%d different serials, want %d", len(seen), n)
	}
	for i, got := range ones[:32] {
		if want := int(now.Unix()>>(31-i)&1) * n; got != want {
			t.Errorf("bit %d is one %d times, want that of the time %d times", i, got, want)
		}
	}
	// Seven standard deviations of a fair coin: by chance once in 10^11 bits.
	for i, got := range ones[32:] {
		if d := float64(got) - float64(n)/2; d*d > 49*float64(n)/4 {
			t.Errorf("bit %d is one %d times of %d", i+32, got, n)
		}
	}
}

func TestSerialsArePositiveAtAllTimesAndGrowWithTheTime(t *testing.T) {
	t.Parallel()
	var last ca.Serial
	for _, year := range []int{1970, 2026, 2038, 2039, 2106, 9999} {
		s, err := ca.NewSerial(rand.Reader, time.Date(year, 1, 1, 0, 0, 1, 0, time.UTC))
		if err != nil || s[0] > 0x7f || s.Int().BitLen() < 65 {
			t.Errorf("%d: serial %s (%v), want a positive one with more than 64 bits", year, s, err)
		}
		if year <= 2038 && bytes.Compare(s[:], last[:]) <= 0 { // the 31 bits of the time end that month
			t.Errorf("%d: serial %s after %s, want a greater one", year, s, last)
		}
		last = s
	}
}

func TestSerialsReadAsToolsPrintThem(t *testing.T) {
	t.Parallel()
	want := ca.Serial{18: 0x0a, 19: 0xbc}
	for _, text := range []string{"abc", "0ABC", "0A:BC", " 0xabc ", "00 00 0a bc", strings.Repeat("0", 50) + "abc"} {
		if got, err := ca.ParseSerial(text); err != nil || got != want {
			t.Errorf("%q: serial %s (%v), want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "0", "0x", "xyz", "-1", "80" + strings.Repeat("00", 19), "01" + strings.Repeat("00", 20)} {
		if got, err := ca.ParseSerial(text); err == nil {
			t.Errorf("%q: serial %s, want an error", text, got)
		}
	}
	if got := want.String(); got != "0abc" {
		t.Errorf("text %q, want 0abc", got)
	}
}

// FuzzParseSerial looks for a serial that does not read back from its own text.
func FuzzParseSerial(f *testing.F) {
	f.Add("0A:BC")
	f.Add("0x7f" + strings.Repeat("ff", 19))
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ca.ParseSerial(text)
		if err != nil {
			return
		}
		if again, err := ca.ParseSerial(s.String()); err != nil || again != s || s.Int().Sign() <= 0 {
			t.Errorf("%q: %s reads back as %s (%v)", text, s, again, err)
		}
	})
}
