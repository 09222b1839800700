package problem

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/policy"
)

// TypeBase is the start of every type URI; the name of the problem follows.
const TypeBase = "https://payca.dev/errors/"

// mediaType is that of RFC 9457.
const mediaType = "application/problem+json"

// maxDocument bounds what Read reads.
const maxDocument = 64 << 10

// A Problem is a problem document, and on the client's side the error that it means.
type Problem struct {
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail,omitempty"`
	Instance   string      `json:"instance,omitempty"`
	Violations []Violation `json:"violations,omitempty"`
}

// A Violation is one broken rule of a refused request; see policy.Violation.
type Violation struct {
	Rule  string `json:"rule"`
	Field string `json:"field"`
	Got   string `json:"got"`
	Want  string `json:"want"`
}

// Error returns the detail.
func (p *Problem) Error() string {
	if p.Detail == "" {
		return p.Title
	}
	return p.Detail
}

// Name returns the last part of the type, such as token-used.
func (p *Problem) Name() string { return strings.TrimPrefix(p.Type, TypeBase) }

// An Error is an error that knows how it looks to a client.
type Error struct {
	Status int    // HTTP status
	Name   string // of the problem type: "token-used"
	Detail string // for the caller; "" for the words of Err
	Err    error  // the cause, nil for none

	violations []Violation
}

// Error returns the detail.
func (e *Error) Error() string {
	if e.Detail == "" && e.Err != nil {
		return e.Err.Error()
	}
	return e.Detail
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// A Mapper says how an error looks to a client, nil if it does not know.
type Mapper func(error) *Error

// A Writer writes problem documents.
type Writer struct {
	Mappers []Mapper     // asked in order, after what this package knows itself
	Logger  *slog.Logger // nil for none
}

// Handler runs f and writes the error that it returns.
func Handler(w Writer, f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if err := f(rw, r); err != nil {
			w.Write(rw, r, err)
		}
	})
}

// Write answers a request with an error.
func (w Writer) Write(rw http.ResponseWriter, r *http.Request, err error) {
	e := w.resolve(err)
	id := "urn:payca:request:" + strings.ToLower(rand.Text())
	if e.Status >= http.StatusInternalServerError && w.Logger != nil {
		w.Logger.LogAttrs(r.Context(), slog.LevelError, "request failed",
			slog.String("request_id", id), slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err))
	}
	document := Problem{
		Type: TypeBase + e.Name, Title: strings.ReplaceAll(e.Name, "-", " "), Status: e.Status,
		Detail: e.Error(), Instance: id, Violations: e.violations,
	}
	header := rw.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Cache-Control", "no-store")
	rw.WriteHeader(e.Status)
	_ = json.NewEncoder(rw).Encode(document)
}

func (w Writer) resolve(err error) *Error {
	var known *Error
	var strict *strictjson.Error
	if errors.As(err, &known) {
		return known
	}
	if violations := policy.ViolationsOf(err); violations != nil {
		e := &Error{Status: http.StatusForbidden, Name: "policy-violation", Err: violations}
		for _, v := range violations {
			e.violations = append(e.violations, Violation(*v))
		}
		return e
	}
	if errors.As(err, &strict) {
		return &Error{Status: strict.Status, Name: "bad-request", Err: strict}
	}
	for _, mapper := range w.Mappers {
		if e := mapper(err); e != nil {
			return e
		}
	}
	return &Error{Status: http.StatusInternalServerError, Name: "internal-error", Detail: "internal error"}
}

// Read returns the problem that a response carries, or one made from its status.
func Read(resp *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument))
	p := &Problem{}
	if err == nil && strings.HasPrefix(resp.Header.Get("Content-Type"), mediaType) && json.Unmarshal(body, p) == nil && p.Type != "" {
		return p
	}
	return &Problem{Type: "about:blank", Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode, Detail: fmt.Sprintf("the server answers %s", resp.Status)}
}
