package listen

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// Ten thousand connections that say nothing cost those among them that have been silent for longest, and nobody who asks something.
func TestSilentConnectionsMakeRoom(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func(l net.Listener) net.Listener{
		"secure": func(l net.Listener) net.Listener { return l },
		"plain":  func(l net.Listener) net.Listener { return calmListener{l} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			silentConnections(t, accept)
		})
	}
}

func silentConnections(t *testing.T, accept func(l net.Listener) net.Listener) {
	t.Helper()
	const most, silent = 50, 500
	c := newConnections(most)
	entered, leave := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			close(entered)
			<-leave
		}
		_, _ = io.WriteString(w, "here")
	}))
	server.Listener = accept(server.Listener)
	server.Config.ConnState = c.watch
	server.Start()
	defer server.Close()
	slow := make(chan string, 1)
	go func() {
		resp, err := http.Get(server.URL + "/slow")
		if err != nil {
			slow <- err.Error()
			return
		}
		defer func() { _ = resp.Body.Close() }()
		body, _ := io.ReadAll(resp.Body)
		slow <- string(body)
	}()
	<-entered
	for range silent {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for range 20 { // each on a connection of its own
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		if err != nil {
			t.Fatalf("beside %d silent connections: %v", silent, err)
		}
		_ = resp.Body.Close()
	}
	c.mu.Lock()
	open := len(c.open)
	c.mu.Unlock()
	if open > most {
		t.Errorf("%d connections are open, want at most %d", open, most)
	}
	close(leave)
	if got := <-slow; got != "here" {
		t.Errorf("the request that was under way got %q, want its answer", got)
	}
}

func TestWhoSendsSlowlyIsCutOff(t *testing.T) {
	t.Parallel()
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		if err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	}), slog.New(slog.DiscardHandler), 16<<10, 200*time.Millisecond, 200*time.Millisecond)
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	for name, text := range map[string]string{
		"nothing": "", "half a header": "POST / HTTP/1.1\r\nHost: x\r\nContent-Le", "half a body": "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if _, err := io.Copy(conn, strings.NewReader(text)); err != nil {
				t.Fatal(err)
			}
			if err := conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadAll(conn); err != nil {
				t.Errorf("got %v, want the connection closed", err)
			}
		})
	}
}
