package problem_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/policy"
)

var errMapped = errors.New("known to a mapper")

func TestAnErrorBecomesItsDocument(t *testing.T) {
	t.Parallel()
	violation := &policy.Violation{Rule: "key-size", Field: "csr.publicKey", Got: "RSA-1024", Want: "P-256"}
	writer := problem.Writer{Mappers: []problem.Mapper{func(err error) *problem.Error {
		if errors.Is(err, errMapped) {
			return &problem.Error{Status: 409, Name: "token-used", Err: err}
		}
		return nil
	}}}
	for name, test := range map[string]struct {
		err          error
		status       int
		name, detail string
		violations   int
	}{
		"one violation":             {fmt.Errorf("issuing: %w", violation), 403, "policy-violation", violation.Error(), 1},
		"several violations":        {policy.Violations{violation, violation}, 403, "policy-violation", violation.Error() + "; " + violation.Error(), 2},
		"an Error":                  {fmt.Errorf("outer: %w", problem.Errorf(404, "not-found", "no %s", "route")), 404, "not-found", "no route", 0},
		"an Error with a cause":     {&problem.Error{Status: 400, Name: "bad", Err: violation}, 400, "bad", violation.Error(), 1},
		"an Error of the server":    {&problem.Error{Status: 503, Name: "busy", Err: errors.New("secret cause")}, 503, "busy", "", 0},
		"an Error without a status": {&problem.Error{Name: "bad"}, 500, "internal-error", "internal error", 0},
		"what a mapper knows":       {fmt.Errorf("issuing: %w", errMapped), 409, "token-used", "issuing: known to a mapper", 0},
		"a body over its limit":     {&http.MaxBytesError{Limit: 7}, 413, "too-large", "the body has more than 7 bytes", 0},
		"a deadline":                {fmt.Errorf("storing: %w", context.DeadlineExceeded), 503, "timeout", "the request was not finished in time; its effect is unknown", 0},
		"what nobody knows":         {errors.New("secret cause"), 500, "internal-error", "internal error", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := httptest.NewRecorder()
			writer.Write(w, httptest.NewRequest("POST", "/v1/enroll", nil), test.err)
			if w.Code != test.status || w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("got status %d, type %q", w.Code, w.Header().Get("Content-Type"))
			}
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("got %s, want no word of the cause", w.Body)
			}
			var doc problem.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			if doc.Type != problem.TypeBase+test.name || doc.Name() != test.name || doc.Detail != test.detail ||
				doc.Status != test.status || len(doc.Violations) != test.violations {
				t.Errorf("got %+v", doc)
			}
			if !strings.HasPrefix(doc.Instance, "urn:uuid:") || len(doc.Instance) != 45 {
				t.Errorf("got instance %q, want a urn:uuid", doc.Instance)
			}
		})
	}
}

func TestTheCauseGoesToTheLogOnce(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	writer := problem.Writer{Logger: slog.New(slog.NewJSONHandler(&log, nil))}
	id := "f81d4fae-7dec-11d0-a765-00a0c91e6bf6"
	r := httptest.NewRequest("GET", "/x", nil)
	r.Header.Set("X-Request-Id", id)
	w := httptest.NewRecorder()
	problem.Handler(writer, func(http.ResponseWriter, *http.Request) error {
		return errors.New("secret\r\ncause")
	}).ServeHTTP(w, r)
	if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `secret\r\ncause`) || !strings.Contains(got, id) {
		t.Errorf("got log %q, want one line with cause and request id", got)
	}
	if !strings.Contains(w.Body.String(), "urn:uuid:"+id) || w.Header().Get("X-Request-Id") != id {
		t.Errorf("got %s, want the caller's request id", w.Body)
	}
}

func TestARequestIDThatIsNoUUIDIsReplaced(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"x", strings.Repeat("a", 36), "f81d4fae-7dec-11d0-a765-00a0c91e6bfé", "f81d4fae-7dec-11d0-a765-00a0c91e6b\"}"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("X-Request-Id", id)
		w := httptest.NewRecorder()
		problem.Writer{}.Write(w, r, errors.New("x"))
		if got := w.Header().Get("X-Request-Id"); got == id || len(got) != 36 {
			t.Errorf("got request id %q for %q, want a new one", got, id)
		}
	}
}

func TestReadReturnsWhatWriteWrote(t *testing.T) {
	t.Parallel()
	violation := &policy.Violation{Rule: "key-size", Field: "csr", Got: "RSA-1024", Want: "P-256"}
	w := httptest.NewRecorder()
	problem.Writer{}.Write(w, httptest.NewRequest("GET", "/", nil), violation)
	got, ok := errors.AsType[*problem.Problem](problem.Read(w.Result()))
	if !ok || got.Status != 403 || got.Name() != "policy-violation" || got.Error() != violation.Error() {
		t.Errorf("got %+v", got)
	}
	if err := problem.Read(&http.Response{StatusCode: 201}); err != nil {
		t.Errorf("status 201: got %v, want none", err)
	}
}

func TestReadTakesAnyAnswer(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ media, body, want string }{
		"plain text":           {"text/plain; charset=utf-8", "no such\x1b[31m page\nat all", "HTTP status 404: no such?[31m page"},
		"HTML":                 {"text/html", "<h1>", "HTTP status 404: Not Found"},
		"control characters":   {"application/problem+json", `{"detail":"a\u001b]0;b\r\nc"}`, "a?]0;b??c"},
		"a document cut short": {"application/problem+json", `{"detail":"a`, "HTTP status 404: Not Found"},
		"nothing":              {"", "", "HTTP status 404: Not Found"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			resp := &http.Response{StatusCode: 404, Header: http.Header{"Content-Type": {test.media}}, Body: io.NopCloser(strings.NewReader(test.body))}
			if got := problem.Read(resp).Error(); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func TestDecodeJSONRefusesWithTheRightStatus(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		media, body string
		status      int
		rule        string
	}{
		"JSON":                         {"application/json; charset=UTF-8", `{"token":"a"}`, 0, ""},
		"another content type":         {"text/plain", `{}`, 415, ""},
		"no content type":              {"", `{}`, 415, ""},
		"another charset":              {"application/json; charset=latin1", `{}`, 415, ""},
		"a body over the limit":        {"application/json", `{"token":"` + strings.Repeat("a", 100) + `"}`, 413, ""},
		"a member twice (case 65)":     {"application/json", `{"token":"a","token":"b"}`, 400, "json-duplicate"},
		"a number of 1e400 (case 65)":  {"application/json", `{"token":1e400}`, 400, "json-number"},
		"nesting of 40 deep (case 65)": {"application/json", strings.Repeat("[", 40), 400, "json-depth"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest("POST", "/", strings.NewReader(test.body))
			r.Header.Set("Content-Type", test.media)
			var v struct {
				Token string `json:"token"`
			}
			err := problem.DecodeJSON(r, 64, &v)
			if test.status == 0 {
				if err != nil || v.Token != "a" {
					t.Errorf("got %v, %+v", err, v)
				}
				return
			}
			e, ok := errors.AsType[*problem.Error](err)
			if !ok || e.Status != test.status {
				t.Fatalf("got %v, want status %d", err, test.status)
			}
			w := httptest.NewRecorder()
			problem.Writer{}.Write(w, r, err)
			if !strings.Contains(w.Body.String(), test.rule) {
				t.Errorf("got %s, want rule %q", w.Body, test.rule)
			}
		})
	}
}

func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{`{"token":"a"}`, `{"token":"a","token":"b"}`, `{"Token":1e400}`, `{"token":"\ud800"}`, `[`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		var v struct {
			Token string `json:"token"`
			Any   any    `json:"any"`
		}
		if err := problem.DecodeJSON(r, 4096, &v); err != nil {
			if _, ok := errors.AsType[*problem.Error](err); !ok {
				t.Fatalf("got %T %v, want *problem.Error", err, err)
			}
			return
		}
		if len(body) > 4096 {
			t.Fatalf("accepted %d bytes, want at most 4096", len(body))
		}
		if !json.Valid([]byte(body)) {
			t.Fatalf("accepted %q", body)
		}
	})
}
