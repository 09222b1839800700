package strictjson

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxDepth is how deep arrays and objects may be nested.
const MaxDepth = 32

// An Error says why a document was refused.
type Error struct {
	Rule  string // stable name: json-syntax, json-utf8, json-depth, json-duplicate, json-unknown, json-number, json-trailing, json-type
	Field string // where: the member names from the top, joined by dots; "document" for the whole
	Got   string // what was found
	Want  string // what would be accepted
}

// Error renders the refusal on one line.
func (e *Error) Error() string { return e.Rule + ": " + e.Field + " is " + e.Got + ", want " + e.Want }

// Unmarshal decodes the one JSON value in data into v, a pointer that is not nil, as
// encoding/json does, and refuses what the package comment lists. Types with an
// UnmarshalJSON of their own answer for the member names below them.
// The error is an *[Error]; v may be partly filled then.
func Unmarshal(data []byte, v any) error {
	if !utf8.Valid(data) {
		return &Error{Rule: "json-utf8", Field: "document", Got: "not UTF-8", Want: "UTF-8 (RFC 8259 section 8.1)"}
	}
	if plain(data, reflect.TypeOf(v)) {
		if decode(data, v) {
			return nil
		}
		return fromJSON(json.Unmarshal(data, v))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	w := walker{dec: dec}
	if err := w.value(reflect.TypeOf(v), 0); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return &Error{Rule: "json-trailing", Field: "document", Got: "followed by more bytes", Want: "one value and nothing else"}
	}
	return fromJSON(json.Unmarshal(data, v))
}

// fromJSON turns an error of encoding/json into an *Error.
func fromJSON(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &wrong):
		field := wrong.Field
		if field == "" {
			field = "document"
		}
		return &Error{Rule: "json-type", Field: field, Got: "JSON " + wrong.Value, Want: wrong.Type.String()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &Error{Rule: "json-syntax", Field: "document", Got: "cut short", Want: "a complete JSON value"}
	}
	return &Error{Rule: "json-syntax", Field: "document", Got: "malformed (" + strings.TrimPrefix(err.Error(), "json: ") + ")", Want: "JSON (RFC 8259)"}
}

// A walker goes through the tokens of a document beside the type it is meant for.
type walker struct {
	dec  *json.Decoder
	path []string
}

func (w *walker) refuse(rule, got, want string) error {
	field := "document"
	if len(w.path) > 0 {
		field = strings.Join(w.path, ".")
	}
	return &Error{Rule: rule, Field: field, Got: got, Want: want}
}

// value checks one value. t is nil where any member name is accepted.
func (w *walker) value(t reflect.Type, depth int) error {
	token, err := w.dec.Token()
	if err != nil {
		return fromJSON(err)
	}
	switch token := token.(type) {
	case json.Delim:
		if depth == MaxDepth {
			return w.refuse("json-depth", fmt.Sprintf("nested deeper than %d", MaxDepth), fmt.Sprintf("at most %d levels", MaxDepth))
		}
		if token == '{' {
			return w.object(target(t), depth+1)
		}
		return w.array(element(target(t)), depth+1)
	case json.Number:
		if _, err := strconv.ParseFloat(token.String(), 64); err != nil {
			return w.refuse("json-number", shorten(token.String()), "a number in the range of float64")
		}
	case string:
		return w.text(token)
	}
	return nil
}

// text refuses U+FFFD, which encoding/json also writes for half a surrogate pair.
func (w *walker) text(s string) error {
	if strings.ContainsRune(s, utf8.RuneError) {
		return w.refuse("json-utf8", "text with U+FFFD or half a surrogate pair", "text from which nothing was lost")
	}
	return nil
}

func (w *walker) array(t reflect.Type, depth int) error {
	for w.dec.More() {
		if err := w.value(t, depth); err != nil {
			return err
		}
	}
	_, err := w.dec.Token() // the closing bracket
	return fromJSON(err)
}

func (w *walker) object(t reflect.Type, depth int) error {
	known, seen := members(t), map[string]bool{}
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return fromJSON(err)
		}
		name, ok := token.(string)
		if !ok {
			return w.refuse("json-syntax", "an object with a name that is no string", "JSON (RFC 8259)")
		}
		w.path = append(w.path, shorten(name))
		member, ok := known[name]
		switch {
		case seen[name]:
			return w.refuse("json-duplicate", "given twice", "each member once")
		case known != nil && !ok:
			return w.refuse("json-unknown", "not a member that is known here", list(known))
		}
		seen[name] = true
		if t != nil && t.Kind() == reflect.Map {
			member = t.Elem()
		}
		if err := w.text(name); err != nil {
			return err
		}
		if err := w.value(member, depth); err != nil {
			return err
		}
		w.path = w.path[:len(w.path)-1]
	}
	_, err := w.dec.Token() // the closing brace
	return fromJSON(err)
}

var (
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// target strips pointers; nil for types that decode themselves and for interfaces.
func target(t reflect.Type) reflect.Type {
	for t != nil {
		if p := reflect.PointerTo(t); p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler) {
			return nil
		}
		if t.Kind() != reflect.Pointer {
			break
		}
		t = t.Elem()
	}
	if t != nil && t.Kind() == reflect.Interface {
		return nil
	}
	return t
}

func element(t reflect.Type) reflect.Type {
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		return t.Elem()
	}
	return nil
}

// members maps the member names of a struct to their types; nil if t is no struct.
func members(t reflect.Type) map[string]reflect.Type {
	if t == nil || t.Kind() != reflect.Struct {
		return nil
	}
	known := map[string]reflect.Type{}
	for _, f := range reflect.VisibleFields(t) {
		tag, tagged := f.Tag.Lookup("json")
		name, _, _ := strings.Cut(tag, ",")
		switch {
		case tag == "-", !f.IsExported(), f.Anonymous && name == "":
			continue
		case !tagged || name == "":
			name = f.Name
		}
		if _, ok := known[name]; !ok {
			known[name] = f.Type
		}
	}
	return known
}
