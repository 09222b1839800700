package problem

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"

	"github.com/payca/payca/enroll/strictjson"
	"github.com/payca/payca/policy"
)

// TypeBase is what every type URI starts with; the name of the error follows.
const TypeBase = "https://payca.dev/errors/"

// ContentType is the media type of a problem document (RFC 9457 section 3).
const ContentType = "application/problem+json"

// requestIDHeader carries the id of a request, a UUID, in both directions.
const requestIDHeader = "X-Request-Id"

// A Problem is a problem document (RFC 9457). As an error it is what a client
// got from [Read].
type Problem struct {
	Type       string      `json:"type"`                 // TypeBase and the name of the error
	Title      string      `json:"title"`                // the name in words
	Status     int         `json:"status"`               // the HTTP status
	Detail     string      `json:"detail,omitempty"`     // what was wrong this time, for the caller
	Instance   string      `json:"instance,omitempty"`   // urn:uuid of the request
	Violations []Violation `json:"violations,omitempty"` // every rule that was broken
}

// A Violation is one broken rule.
type Violation = policy.Violation

// Error returns the detail, or the violations, or the title if there is none.
func (p *Problem) Error() string {
	switch {
	case len(p.Violations) > 0:
		parts := make([]string, len(p.Violations))
		for i, v := range p.Violations {
			parts[i] = v.Error()
		}
		return strings.Join(parts, "; ")
	case p.Detail != "":
		return p.Detail
	}
	return fmt.Sprintf("HTTP status %d: %s", p.Status, p.Title)
}

// Name returns the name of the error, "" if the type is not one of ours.
func (p *Problem) Name() string {
	name, ours := strings.CutPrefix(p.Type, TypeBase)
	if !ours {
		return ""
	}
	return name
}

// An Error is an error that says how it is to be answered.
type Error struct {
	Status int    // HTTP status, 400 to 599
	Name   string // of the type URI: lower case with hyphens
	Detail string // for the caller; the text of Err if it is empty and Status is below 500
	Err    error  // the cause, may be nil; violations in it are listed in the document
}

// Error returns the name, the detail and the cause.
func (e *Error) Error() string {
	text := e.Name
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf returns an *[Error] with that detail; %w in the format sets its cause,
// whose text is then part of the detail.
func Errorf(status int, name, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Status: status, Name: name, Detail: err.Error(), Err: errors.Unwrap(err)}
}

// A Mapper says how an error of some package is to be answered, nil if it does not know it.
type Mapper func(error) *Error

// A Writer answers with problem documents.
type Writer struct {
	Mappers []Mapper     // asked in this order, after *Error and before everything else
	Logger  *slog.Logger // gets every error once; nil for none
	// Render, if set, writes answers in the form of another protocol, in the place of a problem document.
	Render func(Problem) (mediaType string, body []byte)
}

// Write answers the request with the document for err. Headers that were set
// before, such as Allow or Retry-After, are sent along. Nothing may have been
// written to w yet.
func (wr Writer) Write(w http.ResponseWriter, r *http.Request, err error) {
	answer := wr.answer(err)
	id := requestID(w, r)
	doc := Problem{
		Type: TypeBase + answer.Name, Title: strings.ReplaceAll(answer.Name, "-", " "),
		Status: answer.Status, Detail: answer.Detail, Instance: "urn:uuid:" + id,
	}
	if answer.Status < 500 {
		doc.Violations = violations(answer)
		if doc.Detail == "" && answer.Err != nil {
			doc.Detail = answer.Err.Error()
		}
	}
	wr.log(r, id, answer.Status, err)
	body, err := json.Marshal(doc)
	mediaType := ContentType
	if wr.Render != nil {
		mediaType, body = wr.Render(doc)
	}
	if err != nil { // a document of texts and a number cannot fail
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Del("Content-Length")
	h.Set("Content-Type", mediaType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(answer.Status)
	w.Write(append(body, '\n')) //nolint:errcheck // a caller who has gone needs no answer
}

// answer finds out how err is to be answered.
func (wr Writer) answer(err error) *Error {
	if e, ok := errors.AsType[*Error](err); ok && e.Status >= 400 && e.Status < 600 && e.Name != "" {
		return e
	}
	for _, mapper := range wr.Mappers {
		if e := mapper(err); e != nil {
			return e
		}
	}
	if vs := policy.ViolationsOf(err); vs != nil {
		return &Error{Status: http.StatusForbidden, Name: "policy-violation", Err: vs}
	}
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Errorf(http.StatusRequestEntityTooLarge, "too-large", "the body has more than %d bytes", tooLarge.Limit)
	}
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return &Error{Status: http.StatusServiceUnavailable, Name: "timeout", Detail: "the request was not finished in time; its effect is unknown"}
	}
	return &Error{Status: http.StatusInternalServerError, Name: "internal-error", Detail: "internal error", Err: err}
}

// violations lists the broken rules that an error carries.
func violations(err error) []Violation {
	if e, ok := errors.AsType[*strictjson.Error](err); ok {
		return []Violation{{Rule: e.Rule, Field: e.Field, Got: e.Got, Want: e.Want}}
	}
	var list []Violation
	for _, v := range policy.ViolationsOf(err) {
		list = append(list, *v)
	}
	return list
}

func (wr Writer) log(r *http.Request, id string, status int, err error) {
	if wr.Logger == nil {
		return
	}
	level := slog.LevelInfo
	if status >= 500 {
		level = slog.LevelError
	}
	wr.Logger.LogAttrs(r.Context(), level, "request refused",
		slog.String("request_id", id), slog.Int("status", status),
		slog.String("method", r.Method), slog.String("path", r.URL.Path), slog.Any("err", err))
}

// requestID returns the id of the request and puts it into the answer: the
// caller's if it is a UUID, else a new one.
func requestID(w http.ResponseWriter, r *http.Request) string {
	if id := w.Header().Get(requestIDHeader); isUUID(id) {
		return id
	}
	id := r.Header.Get(requestIDHeader)
	if !isUUID(id) {
		id = newUUID()
	}
	w.Header().Set(requestIDHeader, id)
	return id
}

func isUUID(s string) bool {
	if len(s) != 36 {
		return false
	}
	for i, c := range s {
		switch i {
		case 8, 13, 18, 23:
			if c != '-' {
				return false
			}
		default:
			if !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
				return false
			}
		}
	}
	return true
}

// newUUID returns a random UUID (RFC 9562 version 4).
func newUUID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// Handler runs f for each request and answers with the error that it returns. f must
// return an error only before it has written.
func Handler(w Writer, f func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		requestID(rw, r)
		if err := f(rw, r); err != nil {
			w.Write(rw, r, err)
		}
	})
}
