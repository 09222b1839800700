package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth is how deep arrays and objects may be nested.
const maxDepth = 32

// An Error says why a document was refused, and which HTTP status says so.
type Error struct {
	Status int    // 400, 413 or 415
	Reason string // what was found and what is wanted
}

// Error returns the reason.
func (e *Error) Error() string { return e.Reason }

func refuse(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Reason: "json: " + fmt.Sprintf(format, args...)}
}

// Decode decodes data into v, a pointer to a struct. *[Error] if the document is not strict.
func Decode(data []byte, v any) error {
	if !utf8.Valid(data) {
		return refuse("invalid UTF-8")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := walk(decoder, reflect.TypeOf(v), 0); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return refuse("data after the end of the document, want one value")
	}
	strict := json.NewDecoder(bytes.NewReader(data))
	strict.DisallowUnknownFields()
	if err := strict.Decode(v); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// DecodeRequest decodes the body of an HTTP request, at most limit octets of application/json.
func DecodeRequest(r *http.Request, limit int64, v any) error {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/json" {
		return &Error{Status: http.StatusUnsupportedMediaType, Reason: fmt.Sprintf("content type is %q, want application/json", r.Header.Get("Content-Type"))}
	}
	data, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	if int64(len(data)) > limit {
		return &Error{Status: http.StatusRequestEntityTooLarge, Reason: fmt.Sprintf("body is over %d octets", limit)}
	}
	return Decode(data, v)
}

// walk reads one value and checks what encoding/json would let pass. t is the
// type it will be decoded into, nil where that is not a struct's concern.
func walk(d *json.Decoder, t reflect.Type, depth int) error {
	token, err := d.Token()
	if err != nil {
		return refuse("%v", err)
	}
	switch token := token.(type) {
	case json.Number:
		return checkNumber(token)
	case json.Delim:
		if depth == maxDepth {
			return refuse("nested deeper than %d", maxDepth)
		}
		if token == '{' {
			return walkObject(d, t, depth)
		}
		for d.More() {
			if err := walk(d, elementOf(t), depth+1); err != nil {
				return err
			}
		}
		return closing(d)
	}
	return nil
}

func walkObject(d *json.Decoder, t reflect.Type, depth int) error {
	members := membersOf(t)
	seen := map[string]bool{}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return refuse("%v", err)
		}
		name, _ := token.(string)
		if seen[name] {
			return refuse("member %q stands twice", name)
		}
		seen[name] = true
		member, known := members[name]
		if members != nil && !known {
			return refuse("member %q is not known, want one of %s", name, names(members))
		}
		if members == nil {
			member = elementOf(t)
		}
		if err := walk(d, member, depth+1); err != nil {
			return err
		}
	}
	return closing(d)
}

func closing(d *json.Decoder) error {
	if _, err := d.Token(); err != nil {
		return refuse("%v", err)
	}
	return nil
}

// checkNumber refuses what implementations read differently: integers beyond
// 2^53-1, and numbers that no float64 holds.
func checkNumber(n json.Number) error {
	const limit = 1<<53 - 1
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		if i > limit || i < -limit {
			return refuse("number %s is beyond 2^53-1", n)
		}
		return nil
	}
	if f, err := n.Float64(); err != nil || math.IsInf(f, 0) || math.Abs(f) > limit {
		return refuse("number %s is out of range", n)
	}
	return nil
}

// membersOf lists the JSON members of a struct type by their exact names, nil
// for anything that is not a struct or decodes itself.
func membersOf(t reflect.Type) map[string]reflect.Type {
	t = pointed(t)
	if t == nil || t.Kind() != reflect.Struct || reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil
	}
	members := map[string]reflect.Type{}
	for field := range fields(t) {
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		switch {
		case name == "-" || !field.IsExported():
			continue
		case name == "" && field.Anonymous:
			for inner, innerType := range membersOf(field.Type) {
				members[inner] = innerType
			}
			continue
		case name == "":
			name = field.Name
		}
		members[name] = field.Type
	}
	return members
}

func fields(t reflect.Type) func(func(reflect.StructField) bool) {
	return func(yield func(reflect.StructField) bool) {
		for i := range t.NumField() {
			if !yield(t.Field(i)) {
				return
			}
		}
	}
}

func pointed(t reflect.Type) reflect.Type {
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t
}

// elementOf is the element type of a slice, array or map.
func elementOf(t reflect.Type) reflect.Type {
	if t = pointed(t); t == nil {
		return nil
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Array, reflect.Map:
		return t.Elem()
	}
	return nil
}

func names(members map[string]reflect.Type) string {
	list := make([]string, 0, len(members))
	for name := range members {
		list = append(list, name)
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}
