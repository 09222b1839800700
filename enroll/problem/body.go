package problem

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/payca/payca/enroll/strictjson"
)

// DecodeJSON reads the body of a request, of at most limit bytes, into v as
// [strictjson.Unmarshal] does. The error is an *[Error]: 415 "media-type" if the content
// type is not application/json, 413 "too-large", or 400 "bad-json".
func DecodeJSON(r *http.Request, limit int64, v any) error {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if charset, ok := params["charset"]; err != nil || media != "application/json" || ok && !strings.EqualFold(charset, "utf-8") {
		return Errorf(http.StatusUnsupportedMediaType, "media-type", "content type is %q, want application/json", r.Header.Get("Content-Type"))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" {
		return Errorf(http.StatusUnsupportedMediaType, "media-type", "content encoding is %q, want none", encoding)
	}
	body, err := Body(r, limit)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return Errorf(http.StatusRequestEntityTooLarge, "too-large", "the body has more than %d bytes", tooLarge.Limit)
	}
	if err != nil {
		return &Error{Status: http.StatusBadRequest, Name: "bad-json", Detail: "the body ended early", Err: err}
	}
	if err := strictjson.Unmarshal(body, v); err != nil {
		return &Error{Status: http.StatusBadRequest, Name: "bad-json", Err: err}
	}
	return nil
}

// WriteJSON answers with JSON and a newline, which nobody may keep.
func WriteJSON(w http.ResponseWriter, status int, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	raw = append(raw, '\n')
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Length", strconv.Itoa(len(raw)))
	w.WriteHeader(status)
	_, err = w.Write(raw)
	return err
}

// Body reads the body of a request; the error for one of more than limit bytes is an *http.MaxBytesError. One that
// announces more is not read if its client waits for leave to send it. The rest of any other is read and thrown away, since
// a client that is cut off while it sends may not see why.
func Body(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		if r.Header.Get("Expect") == "" {
			_, _ = io.CopyN(io.Discard, r.Body, maxDiscarded)
		}
		return nil, &http.MaxBytesError{Limit: limit}
	}
	body, err := ReadAll(http.MaxBytesReader(nil, r.Body, limit), r.ContentLength)
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
		_, _ = io.CopyN(io.Discard, r.Body, maxDiscarded)
	}
	return body, err
}

// maxDiscarded is how much of a body that is too long is read, so that who sends it hears why it is refused.
const maxDiscarded = 16 << 20

// usual is how long a body is trusted to be before it is there.
const usual = 32 << 10

// ReadAll is io.ReadAll for what is said to be of that size; negative if it is not known.
func ReadAll(r io.Reader, size int64) ([]byte, error) {
	buffer := bytes.NewBuffer(make([]byte, 0, min(max(size, 0), usual)+bytes.MinRead))
	_, err := buffer.ReadFrom(r)
	return buffer.Bytes(), err
}

// maxProblem is how much of an answer [Read] reads.
const maxProblem = 64 << 10

// Read returns nil for a response of status 2xx, and for every other the *[Problem] that it
// holds; one is made up for an answer that is no problem document. Control characters in
// its texts are replaced, so that they can be shown. Read leaves the body for the caller to close.
func Read(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	p := &Problem{Type: "about:blank", Title: http.StatusText(resp.StatusCode), Status: resp.StatusCode}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return p
	}
	media, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	switch {
	case err == nil && media == ContentType:
		var doc Problem // read leniently: a newer server may say more
		if json.Unmarshal(body, &doc) == nil {
			doc.Status = resp.StatusCode
			p = &doc
		}
	case err == nil && media == "text/plain" && len(body) > 0:
		line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
		p.Detail = fmt.Sprintf("HTTP status %d: %.200s", resp.StatusCode, line)
	}
	for _, text := range []*string{&p.Type, &p.Title, &p.Detail, &p.Instance} {
		*text = printable(*text)
	}
	for i := range p.Violations {
		v := &p.Violations[i]
		v.Rule, v.Field, v.Got, v.Want = printable(v.Rule), printable(v.Field), printable(v.Got), printable(v.Want)
	}
	return p
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// maxReply is how much of a reply [Call] reads.
const maxReply = 64 << 20

// Call sends in as JSON, nothing if it is nil, and reads the JSON of the reply
// into out. A reply of another status than 2xx is the *[Problem] of [Read].
func Call(ctx context.Context, client *http.Client, method, url string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if err := Read(resp); err != nil {
		return err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxReply)).Decode(out); err != nil {
		return fmt.Errorf("reading the reply to %s %s: %w", method, req.URL.Path, err)
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 1<<10) // the end of the body, without which the server sees a caller who left
	return nil
}
