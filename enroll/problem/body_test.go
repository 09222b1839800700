package problem_test

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/enroll/problem"
)

// A client that waits for leave to send too much is refused at once. One that sends without it is not cut off: it would meet a
// reset in the place of the answer.
func TestABodyThatIsTooLong(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := problem.Body(r, 10)
		if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok && tooLarge.Limit == 10 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		_, _ = fmt.Fprintf(w, "%s %v", body, err)
	}))
	t.Cleanup(server.Close)
	for name, tt := range map[string]struct {
		header, body string
		want         int
	}{
		"announced":   {"Content-Length: 5000000\r\nExpect: 100-continue", "", 413},
		"unannounced": {"Transfer-Encoding: chunked", "b\r\nhello world\r\n0\r\n\r\n", 413},
		"short":       {"Content-Length: 10", "hello worl", 200},
	} {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		_, _ = fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n%s", tt.header, tt.body)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != tt.want {
			t.Errorf("%s: got %v, %v, want HTTP %d", name, resp, err, tt.want)
		} else {
			_ = resp.Body.Close()
		}
		_ = conn.Close()
	}
	for name, size := range map[string]int64{"announced, under way": 8_000_000, "unannounced, under way": -1} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(strings.Repeat("x", 8_000_000)))
		if err != nil {
			t.Fatal(err)
		}
		req.ContentLength = size
		resp, err := server.Client().Do(req)
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || resp.Close {
			t.Errorf("%s: got %v, %v, want HTTP 413 on a connection that stays", name, resp, err)
		} else {
			_ = resp.Body.Close()
		}
	}
}
