package sink_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/cmd/internal/sink"
)

// events are two, with the lines that they become.
func events() ([]sink.Event, string) {
	leaf := `{"time":"2030-01-02T03:04:05.000006Z","kind":"certificate.issued","party":"shop1"}`
	return []sink.Event{{Index: 7, Event: []byte(leaf)}, {Index: 8, Event: []byte(leaf)}},
		`{"index":7,"event":` + leaf + "}\n" + `{"index":8,"event":` + leaf + "}\n"
}

func TestAFileIsAppendedToByWholeLines(t *testing.T) {
	t.Parallel()
	list, text := events()
	for _, tt := range []struct{ name, before, want string }{
		{"nothing", "", text},
		{"whole lines", "{}\n", "{}\n" + text},
		{"a line that a crash cut", "{}\n{\"ind", "{}\n{\"ind\n" + text},
	} {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		must(t, os.WriteFile(path, []byte(tt.before), 0o600))
		must(t, sink.File{Path: path}.Deliver(t.Context(), list))
		if got, err := os.ReadFile(path); err != nil || string(got) != tt.want {
			t.Errorf("after %s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
	if err := (sink.File{Path: filepath.Join(t.TempDir(), "no", "file")}).Deliver(t.Context(), list); err == nil {
		t.Error("in no directory: got nil, want an error")
	}
}

func TestAWebhookPostsJSONLinesAndWants2xx(t *testing.T) {
	t.Parallel()
	list, want := events()
	for _, tt := range []struct {
		status int
		ok     bool
	}{{200, true}, {202, true}, {204, true}, {301, false}, {307, false}, {400, false}, {503, false}} {
		posts, got := 0, ""
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			posts++
			body, _ := io.ReadAll(r.Body)
			got = r.Method + " " + r.Header.Get("Content-Type") + " " + string(body)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(tt.status)
		}))
		err := sink.Webhook{URL: server.URL}.Deliver(t.Context(), list)
		server.Close()
		if (err == nil) != tt.ok || posts != 1 || got != "POST application/x-ndjson "+want {
			t.Errorf("status %d: got %v after %d posts of %q, want it taken: %t", tt.status, err, posts, got, tt.ok)
		}
	}
}

func TestAWebhookThatHangsIsGivenUp(t *testing.T) {
	t.Parallel()
	list, _ := events()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	t.Cleanup(func() { close(release); server.Close() })
	if err := (sink.Webhook{URL: server.URL}).Deliver(short(t), list); err == nil {
		t.Error("got nil, want an error")
	}
}

func TestASyslogServerGetsCountedMessages(t *testing.T) {
	t.Parallel()
	list, _ := events()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer func() { _ = l.Close() }()
	got := make(chan []string, 1)
	go func() {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		var messages []string
		for r := bufio.NewReader(conn); ; {
			var n int
			if _, err := fmt.Fscanf(r, "%d ", &n); err != nil {
				got <- messages
				return
			}
			message := make([]byte, n)
			_, _ = io.ReadFull(r, message)
			messages = append(messages, string(message))
		}
	}()
	must(t, sink.Syslog{Address: l.Addr().String(), Host: "pay.example"}.Deliver(t.Context(), list))
	messages := <-got
	want := `<110>1 2030-01-02T03:04:05.000006Z pay.example payca - certificate.issued - {"index":7,"event":{"time":`
	if len(messages) != 2 || !strings.HasPrefix(messages[0], want) || !strings.HasSuffix(messages[1], `"party":"shop1"}}`) {
		t.Errorf("got %q, want two that begin as %q", messages, want)
	}
}

func TestASyslogServerThatHangsOrIsGoneIsGivenUp(t *testing.T) {
	t.Parallel()
	list, _ := events()
	l, err := net.Listen("tcp", "127.0.0.1:0") // nobody accepts, so nobody reads
	must(t, err)
	to := sink.Syslog{Address: l.Addr().String(), Host: "pay.example"}
	if err := to.Deliver(short(t), list); err == nil {
		t.Error("from a server that does not read: got nil, want an error")
	}
	must(t, l.Close())
	if err := to.Deliver(t.Context(), list); err == nil {
		t.Error("from no server: got nil, want an error")
	}
}

// short is a context that ends soon.
func short(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}
