package feed

import (
	"bytes"
	"slices"
	"testing"
	"time"
)

// FuzzEntries reads the entries of a page, whose signature stands before them.
func FuzzEntries(f *testing.F) {
	issuers := []string{"consumer", "merchant"}
	for _, c := range []Certificate{
		{Issuer: "merchant", Serial: []byte{1, 2}, State: Good},
		{Issuer: "consumer", Serial: bytes.Repeat([]byte{9}, 20), State: Revoked, Reason: 1, At: time.Unix(1e9, 0), Invalidity: time.Unix(9e8, 0)},
		{Issuer: "merchant", Serial: []byte{5}, State: Held, Reason: 6, At: time.Unix(1e9, 0)},
	} {
		raw, err := c.append(nil, slices.Index(issuers, c.Issuer))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(raw, raw...))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := parseEntries(data, issuers)
		if err != nil {
			return
		}
		var again []byte
		for _, c := range list {
			if again, err = c.append(again, slices.Index(issuers, c.Issuer)); err != nil {
				t.Fatalf("%x is read as %+v, which cannot be written: %v", data, c, err)
			}
		}
		if !bytes.Equal(again, data) {
			t.Errorf("%x is read as %+v, which is written as %x", data, list, again)
		}
	})
}
