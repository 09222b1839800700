package cli_test

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// webhook runs "webhook FILE": it starts a receiver at $WEBHOOK that appends the key, the signature and the body of each
// post to the file, a line for each.
func webhook(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: webhook FILE")
	}
	path := ts.MkAbs(args[0])
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		f, failed := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil || failed != nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		line := bytes.Join([][]byte{[]byte(r.Header.Get("Idempotency-Key")), []byte(r.Header.Get("Payca-Signature")), body}, []byte(" "))
		_, _ = f.Write(append(line, '\n'))
		_ = f.Close()
	}))
	ts.Defer(server.Close)
	ts.Setenv("WEBHOOK", server.URL)
}

// until runs "until REGEXP COMMAND": the command again and again, for 20 s at most, until its output matches.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until REGEXP COMMAND [ARG...]")
	}
	want, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		err := ts.Exec(args[1], args[2:]...)
		out := ts.ReadFile("stdout")
		if want.MatchString(out) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("after 20 s: %v, output\n%s\nwant a match of %s", err, out, args[0])
		}
	}
}
