package feed_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// book is a source whose next answer can be falsified.
type book struct {
	key ed25519.PrivateKey

	mu      sync.Mutex
	list    []feed.Change
	changed chan struct{}
	now     time.Time
	lie     func(c *feed.Checkpoint, list []feed.Change) []feed.Change
}

func newBook(t testing.TB) *book {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return &book{key: key, changed: make(chan struct{}), now: start}
}

func (b *book) VerifierKey() string {
	key, err := feed.VerifierKey("pay.example/status", b.key)
	if err != nil {
		panic(err) // a mistake in the test
	}
	return key
}

func (b *book) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

func (b *book) Changes(_ context.Context, after uint64, limit int) ([]feed.Change, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list[min(after, uint64(len(b.list))):]
	list = append([]feed.Change(nil), list[:min(len(list), limit)]...)
	if b.lie != nil {
		list = b.lie(new(feed.Checkpoint), list)
	}
	return list, nil
}

func (b *book) Checkpoint(context.Context) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := feed.Checkpoint{Origin: "pay.example/status", Epoch: uint64(len(b.list)), Expires: b.now.Add(10 * time.Minute), Signed: b.now}
	for _, change := range b.list {
		c.Hash = c.Hash.Next(change)
	}
	if b.lie != nil {
		b.lie(&c, nil)
	}
	return c.Sign(b.key)
}

func (b *book) add(serials ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, serial := range serials {
		b.list = append(b.list, feed.Change{Epoch: uint64(len(b.list)) + 1, Issuer: "merchant", Serial: serial, State: feed.Revoked, Reason: 1, At: start})
	}
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *book) time() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.now
}

func (b *book) pass(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *book) client(t *testing.T, key string) *feed.Client {
	t.Helper()
	server := httptest.NewServer(feed.Handler(b))
	t.Cleanup(server.Close)
	c, err := feed.NewClient(feed.Config{URL: server.URL + "/", Key: key, HTTP: server.Client(), Now: b.time})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestAClientKnowsEveryChange(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	b.add("old")
	c := b.client(t, b.VerifierKey())
	if _, live := c.Live(); live || c.Epoch() != 0 {
		t.Error("live before the first checkpoint")
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = c.Run(ctx) }()
	until(t, "the first checkpoint", func() bool { _, live := c.Live(); return live })
	if _, known := c.Lookup("old"); known || c.Epoch() != 1 {
		t.Errorf("epoch %d, want 1 and nothing from before", c.Epoch())
	}
	for n := range 20 {
		b.add("a"+string(rune('a'+n)), "b"+string(rune('a'+n)))
	}
	until(t, "all changes", func() bool { return c.Epoch() == 41 })
	if change, known := c.Lookup("bt"); !known || change.State != feed.Revoked || change.Epoch != 41 {
		t.Errorf("got %+v, %v", change, known)
	}
	stop()
	<-done
	b.pass(10 * time.Minute)
	if since, live := c.Live(); live || !since.Equal(start) {
		t.Errorf("live %v since %v, want not any more, since %v", live, since, start)
	}
	if _, known := c.Lookup("bt"); !known {
		t.Error("what was revoked is forgotten with the checkpoint")
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 20 s", what)
		}
	}
}

func TestCatchUp(t *testing.T) {
	t.Parallel()
	b := newBook(t)
	c := b.client(t, b.VerifierKey())
	b.add("a", "b")
	if err := c.CatchUp(t.Context(), 2); err != nil || c.Epoch() != 2 {
		t.Errorf("to the first checkpoint: epoch %d, %v", c.Epoch(), err)
	}
	for range 1500 { // more than one reply holds
		b.add("x")
	}
	if err := c.CatchUp(t.Context(), 1502); err != nil || c.Epoch() != 1502 {
		t.Errorf("epoch %d, %v, want 1502", c.Epoch(), err)
	}
	if err := c.CatchUp(t.Context(), 1503); err == nil || !strings.Contains(err.Error(), "ahead of the status service") {
		t.Errorf("to what does not exist: got %v", err)
	}
	if err := c.CatchUp(t.Context(), 7); err != nil {
		t.Errorf("to what is known: %v", err)
	}
}

func TestAClientRefuses(t *testing.T) {
	t.Parallel()
	other := newBook(t)
	for name, tt := range map[string]struct {
		key  func(b *book) string
		lie  func(c *feed.Checkpoint, list []feed.Change) []feed.Change
		want string
	}{
		"another key": {func(*book) string { return other.VerifierKey() }, nil, "verifying a checkpoint"},
		"an expired checkpoint": {nil, func(c *feed.Checkpoint, list []feed.Change) []feed.Change {
			c.Signed, c.Expires = start.Add(-time.Second), start
			return list
		}, "expired"},
		"another hash": {nil, func(c *feed.Checkpoint, list []feed.Change) []feed.Change {
			c.Hash[0] ^= 1
			return list
		}, "another hash"},
		"a change left out": {nil, func(_ *feed.Checkpoint, list []feed.Change) []feed.Change {
			return list[min(1, len(list)):]
		}, "want the next"},
		"a change altered": {nil, func(_ *feed.Checkpoint, list []feed.Change) []feed.Change {
			for i := range list {
				list[i].Serial = "ff"
			}
			return list
		}, "another hash"},
		"a list that was put back": {nil, func(c *feed.Checkpoint, _ []feed.Change) []feed.Change {
			c.Epoch = 0
			return nil
		}, "put back"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBook(t)
			key := b.VerifierKey()
			if tt.key != nil {
				key = tt.key(b)
			}
			b.add("a")
			c := b.client(t, key)
			if tt.key == nil {
				if err := c.Refresh(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			b.add("b", "c")
			b.lie = tt.lie
			err := c.Refresh(t.Context())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if _, known := c.Lookup("b"); known || c.Epoch() > 1 {
				t.Errorf("it learned something all the same, epoch %d", c.Epoch())
			}
		})
	}
	if _, err := feed.NewClient(feed.Config{URL: "http://status.example", HTTP: http.DefaultClient}); err == nil {
		t.Error("no key and no TLS: got nil, want a refusal")
	}
}

func TestTheHandlerRefuses(t *testing.T) {
	t.Parallel()
	h := feed.Handler(newBook(t))
	for path, want := range map[string]int{
		feed.ChangesPath: 400, feed.ChangesPath + "?after=-1": 400, feed.ChangesPath + "?after=0&wait=x": 400,
		feed.ChangesPath + "?after=0": 200, feed.ChangesPath + "?after=9": 200, feed.CheckpointPath: 200, feed.KeyPath: 200, "/v1/status/": 404,
	} {
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, path, nil))
		if rec.Code != want {
			t.Errorf("%s: got %d, want %d", path, rec.Code, want)
		}
		if want == 200 && rec.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s may be kept", path)
		}
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, feed.ChangesPath+"?after=0", nil))
	var reply feed.Reply
	if err := json.Unmarshal(rec.Body.Bytes(), &reply); err != nil || reply.Changes == nil || reply.More {
		t.Errorf("got %s, %v, want an empty list", rec.Body, err)
	}
}

func FuzzParseCheckpoint(f *testing.F) {
	b := newBook(f)
	signed, err := b.Checkpoint(context.Background())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(signed)
	f.Add([]byte("pay.example/status\n1\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if c, err := feed.ParseCheckpoint(data, b.VerifierKey()); err == nil {
			again, err := c.Sign(b.key)
			if err != nil || string(again) != string(data) {
				t.Errorf("%q is read as %+v, which is written as %q, %v", data, c, again, err)
			}
		}
	})
}
