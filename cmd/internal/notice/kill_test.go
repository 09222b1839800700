package notice_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/payca/payca/ca/boltstore"
	"github.com/payca/payca/ca/storetest"
	"github.com/payca/payca/cmd/internal/notice"
)

// What a child of the kill test is told: the store, the mail server, the webhook, and how far its clock is from killEpoch.
const (
	envStore = "PAYCA_TEST_NOTICE_STORE"
	envMail  = "PAYCA_TEST_NOTICE_MAIL"
	envHook  = "PAYCA_TEST_NOTICE_HOOK"
	envLater = "PAYCA_TEST_NOTICE_LATER"
)

// killEpoch is when the certificates of a new world have ended.
var killEpoch = epoch.Add(20 * day)

// TestNotifyUntilKilled is the child: it tells of what ends and prints how the messages are.
func TestNotifyUntilKilled(t *testing.T) {
	path := os.Getenv(envStore)
	if path == "" {
		t.Skip("runs as a child of TestNothingIsMailedTwiceOverAKill")
	}
	later, err := time.ParseDuration(os.Getenv(envLater))
	if err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.Open(t.Context(), boltstore.Config{Path: path, Log: storetest.Log(t)})
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]notice.Target{}
	if server := os.Getenv(envMail); server != "" {
		targets["mail"] = notice.Mail{Network: "pay.example", Server: server, Security: "none", From: "pki@pay.example", To: []string{"a@pay.example"}}
	}
	if url := os.Getenv(envHook); url != "" {
		targets["webhook"] = notice.Webhook{Network: "pay.example", URL: url}
	}
	n, err := notice.New(notice.Config{
		Store: store, Thresholds: []time.Duration{3 * day}, Targets: targets, Now: func() time.Time { return killEpoch.Add(later) },
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range []func(context.Context) error{n.Scan, n.Send, n.Send, n.Scan, n.Send} {
		if err := do(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h, err := n.Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = os.Stdout.WriteString("health " + string(raw) + "\n")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
}

// A child is a process that notifies.
type child struct {
	mu      sync.Mutex
	process *os.Process // guarded by mu
	killed  bool        // guarded by mu
}

// kill kills the process at once, as kill -9 does, and only the first time.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.killed {
		_ = c.process.Kill()
		c.killed = true
	}
}

// run lets a process notify and returns what it said last; nil if it was killed.
func (c *child) run(t *testing.T, env ...string) *notice.Health {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestNotifyUntilKilled$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.mu.Lock()
	err = cmd.Start()
	c.process = cmd.Process
	c.mu.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	var health *notice.Health
	var said strings.Builder
	for lines := bufio.NewScanner(out); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if text, ok := strings.CutPrefix(lines.Text(), "health "); ok {
			health = new(notice.Health)
			if err := json.Unmarshal([]byte(text), health); err != nil {
				t.Error(err)
			}
		}
	}
	_ = cmd.Wait() // killed or not: health tells
	if health == nil {
		t.Log(said.String())
	}
	return health
}

// prepare makes a store with a certificate that ends soon.
func prepare(t *testing.T) (path string) {
	t.Helper()
	w := newWorld(t)
	w.issue(t, "shop", killEpoch.Add(2*day))
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	return w.path
}

func TestNothingIsMailedTwiceOverAKill(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		at             string
		mails          []int // that may have been taken in all
		sent, doubtful []int
	}{
		{"MAIL", []int{0}, []int{0}, []int{1}}, // nobody can know, so it is not sent again
		{".", []int{1}, []int{0}, []int{1}},
		{"answered", []int{1}, []int{0, 1}, []int{0, 1}}, // the answer was kept, or not
	} {
		t.Run(tt.at, func(t *testing.T) {
			t.Parallel()
			c := new(child)
			server := newSMTPServer(t)
			server.at = func(what string) {
				if what == tt.at {
					c.kill()
				}
			}
			server.start()
			path := prepare(t)
			env := []string{envStore + "=" + path, envMail + "=" + server.address}
			first := c.run(t, append(env, envLater+"=0s")...)
			if first != nil && tt.at != "answered" {
				t.Fatalf("the first process ended as it likes, %+v, want it killed at %s", first, tt.at)
			}
			var h *notice.Health
			for _, later := range []string{"1m", "2h", "23h"} {
				if h = c.run(t, append(env, envLater+"="+later)...); h == nil {
					t.Fatal("a process that nobody killed did not say how the messages are")
				}
			}
			if got := len(server.mails()); !slices.Contains(tt.mails, got) {
				t.Errorf("%d mails were taken, want %v", got, tt.mails)
			}
			if !slices.Contains(tt.sent, h.Sent) || !slices.Contains(tt.doubtful, h.Doubtful) || h.Sent+h.Doubtful != 1 || h.Waiting+h.Failed != 0 {
				t.Errorf("got %+v, want sent %v, in doubt %v", h, tt.sent, tt.doubtful)
			}
		})
	}
}

func TestAPostIsKnownAgainOverAKill(t *testing.T) {
	t.Parallel()
	c := new(child)
	var mu sync.Mutex
	var keys, bodies []string // guarded by mu
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		keys, bodies = append(keys, r.Header.Get("Idempotency-Key")), append(bodies, string(body))
		mu.Unlock()
		c.kill()
	}))
	t.Cleanup(server.Close)
	path := prepare(t)
	env := []string{envStore + "=" + path, envHook + "=" + server.URL}
	if h := c.run(t, append(env, envLater+"=0s")...); h != nil {
		t.Fatalf("the first process ended as it likes, %+v, want it killed", h)
	}
	c.run(t, append(env, envLater+"=1s")...) // finds the orphan, and waits
	h := c.run(t, append(env, envLater+"=5m")...)
	if h == nil || h.Sent != 1 || h.Waiting+h.Failed+h.Doubtful != 0 {
		t.Errorf("got %+v, want one sent", h)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(keys) != 2 || keys[0] != keys[1] || bodies[0] != bodies[1] || keys[0] == "" {
		t.Errorf("got keys %q, bodies %q, want the same twice", keys, bodies)
	}
}
