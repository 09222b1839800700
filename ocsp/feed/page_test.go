package feed_test

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

func somePage() feed.Page {
	return feed.Page{
		Origin: "pay.example/status", From: 7, Next: 19, End: true, AsOf: start,
		Certificates: []feed.Certificate{
			{Issuer: "merchant", Serial: []byte{1}, State: feed.Good},
			{Issuer: "bank", Serial: bytes.Repeat([]byte{0x7f}, 20), State: feed.Revoked, Reason: 1, At: start, Invalidity: start.Add(-time.Hour)},
			{Issuer: "merchant", Serial: []byte{2, 0}, State: feed.Held, Reason: 6, At: start},
		},
	}
}

func TestAPageIsReadAsItWasSigned(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for name, page := range map[string]feed.Page{
		"some certificates": somePage(),
		"none":              {Origin: "pay.example/status", AsOf: start, Certificates: []feed.Certificate{}},
	} {
		raw, err := page.Sign(b.key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := feed.ParsePage(raw, b.VerifierKey())
		if err != nil || !reflect.DeepEqual(got, page) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, page)
		}
	}
}

func TestAPageIsRefused(t *testing.T) {
	t.Parallel()
	b, other := newBook(t), newBook(t)
	good, err := somePage().Sign(b.key)
	if err != nil {
		t.Fatal(err)
	}
	flip := func(at int) []byte {
		raw := bytes.Clone(good)
		raw[(at+len(raw))%len(raw)] ^= 1
		return raw
	}
	checkpoint, err := b.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		raw  []byte
		key  string
		want string
	}{
		"another key":                  {good, other.VerifierKey(), "verifying"},
		"an entry that was changed":    {flip(-1), "", "SHA-256"},
		"a place that was changed":     {flip(25), "", "verifying"},
		"a length that was changed":    {flip(1), "", "cut off"},
		"an entry that was left out":   {good[:len(good)-1], "", "SHA-256"},
		"nothing":                      {nil, "", "cut off"},
		"a checkpoint":                 {append(binary.BigEndian.AppendUint32(nil, uint32(len(checkpoint))), checkpoint...), "", "want 6"},
		"a note that is not all there": {good[:40], "", "cut off"},
	} {
		if tt.key == "" {
			tt.key = b.VerifierKey()
		}
		if _, err := feed.ParsePage(tt.raw, tt.key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestAPageThatNobodyCouldReadIsNotSigned(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	for name, c := range map[string]feed.Certificate{
		"no serial":             {Issuer: "bank", State: feed.Good},
		"a serial that is long": {Issuer: "bank", State: feed.Good, Serial: bytes.Repeat([]byte{1}, 21)},
		"a leading zero":        {Issuer: "bank", State: feed.Good, Serial: []byte{0, 1}},
		"no state":              {Issuer: "bank", Serial: []byte{1}},
		"released":              {Issuer: "bank", Serial: []byte{1}, State: feed.Released},
	} {
		if _, err := (feed.Page{Origin: "pay.example/status", AsOf: start, Certificates: []feed.Certificate{c}}).Sign(b.key); err == nil {
			t.Errorf("%s: got nil, want a refusal", name)
		}
	}
}
