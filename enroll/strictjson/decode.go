package strictjson

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"sync"
)

// Trusted reads what this program wrote itself, as encoding/json does: nothing is refused that encoding/json reads.
func Trusted(data []byte, v any) error {
	if plain(data, nil) && decode(data, v) {
		return nil
	}
	return json.Unmarshal(data, v)
}

// A way says how values of a type are read.
type way struct {
	kind    reflect.Kind // reflect.Invalid to leave it to encoding/json
	own     bool         // the type has an UnmarshalJSON
	fields  map[string]field
	element reflect.Type // of slice, map or pointer
}

// A field is a member of a struct and where it is.
type field struct {
	index []int
	t     reflect.Type
}

var ways sync.Map // reflect.Type -> *way

func wayOf(t reflect.Type) *way {
	if known, ok := ways.Load(t); ok {
		return known.(*way)
	}
	w := newWay(t)
	ways.Store(t, w)
	return w
}

func newWay(t reflect.Type) *way {
	p := reflect.PointerTo(t)
	if t.Kind() != reflect.Pointer && p.Implements(jsonUnmarshaler) {
		return &way{own: true}
	}
	if p.Implements(jsonUnmarshaler) || p.Implements(textUnmarshaler) {
		return &way{}
	}
	switch kind := t.Kind(); kind {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return &way{kind: kind}
	case reflect.Pointer:
		return &way{kind: kind, element: t.Elem()}
	case reflect.Slice:
		if t.Elem().Kind() != reflect.Uint8 { // which is base64
			return &way{kind: kind, element: t.Elem()}
		}
	case reflect.Map:
		if key := t.Key(); key.Kind() == reflect.String && !reflect.PointerTo(key).Implements(textUnmarshaler) {
			return &way{kind: kind, element: t.Elem()}
		}
	case reflect.Struct:
		fields := map[string]field{}
		if addFields(fields, t, nil) {
			return &way{kind: kind, fields: fields}
		}
	}
	return &way{}
}

// addFields collects the members of a struct. It is false where encoding/json has rules of its own: names given
// twice, embedded pointers, options.
func addFields(fields map[string]field, t reflect.Type, above []int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		index := append(append([]int(nil), above...), i)
		switch {
		case tag == "-":
			continue
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct || !addFields(fields, f.Type, index) {
				return false
			}
			continue
		case !f.IsExported():
			continue
		case strings.Contains(options, "string"):
			return false
		case name == "":
			name = f.Name
		}
		if _, again := fields[name]; again {
			return false
		}
		fields[name] = field{index, f.Type}
	}
	return true
}

// decode reads a document that is plain into v. When it is false v may be partly filled, with nothing that
// encoding/json would not put there too.
func decode(data []byte, v any) bool {
	to := reflect.ValueOf(v)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return false
	}
	d := decoder{scanner{data: data}}
	return d.read(to.Elem())
}

// A decoder takes the values out of a document that is plain.
type decoder struct{ scanner }

// read reads the next value. It is false for what does not fit.
func (d *decoder) read(to reflect.Value) bool {
	w, c := wayOf(to.Type()), d.space()
	if c == 'n' && w.kind != reflect.Invalid {
		return d.null(to, w)
	}
	switch w.kind {
	case reflect.Invalid:
		return d.other(to, w)
	case reflect.String:
		if c != '"' {
			return false
		}
		text, ok := d.text()
		to.SetString(string(text))
		return ok
	case reflect.Bool:
		text := d.literal()
		to.SetBool(text == "true")
		return text == "true" || text == "false"
	case reflect.Struct:
		return c == '{' && d.fields(to, w)
	case reflect.Map:
		return c == '{' && d.entries(to, w)
	case reflect.Slice:
		return c == '[' && d.elements(to, w)
	case reflect.Pointer:
		if to.IsNil() {
			to.Set(reflect.New(w.element))
		}
		return d.read(to.Elem())
	}
	return d.number(to)
}

// null reads null, which empties what can be empty and leaves the rest.
func (d *decoder) null(to reflect.Value, w *way) bool {
	if d.literal() != "null" {
		return false
	}
	switch w.kind {
	case reflect.Map, reflect.Slice, reflect.Pointer:
		to.SetZero()
	}
	return true
}

// literal takes a word.
func (d *decoder) literal() string {
	begin := d.at
	d.word()
	return string(d.data[begin:d.at])
}

func (d *decoder) number(to reflect.Value) bool {
	text := d.literal()
	digits := strings.TrimPrefix(text, "-")
	if digits == "" || digits[0] < '0' || digits[0] > '9' || digits[0] == '0' && len(digits) > 1 {
		return false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || to.OverflowInt(n) {
		return false
	}
	to.SetInt(n)
	return true
}

// other leaves a value to its type, or to encoding/json.
func (d *decoder) other(to reflect.Value, w *way) bool {
	begin := d.at
	if !d.value(nil, 0) {
		return false
	}
	raw, into := d.data[begin:d.at], to.Addr().Interface()
	if own, ok := into.(json.Unmarshaler); ok && w.own && json.Valid(raw) {
		return own.UnmarshalJSON(raw) == nil
	}
	return json.Unmarshal(raw, into) == nil
}

// next is behind a value in an array or object: more says that another follows.
func (d *decoder) next() (more bool) {
	c := d.space()
	d.at++
	return c == ','
}

func (d *decoder) fields(to reflect.Value, w *way) bool {
	d.at++ // the brace
	if d.space() == '}' {
		d.at++
		return true
	}
	for {
		d.space()
		name, _ := d.text()
		f, known := w.fields[string(name)]
		d.space()
		d.at++ // the colon
		if !known || !d.read(to.FieldByIndex(f.index)) {
			return false
		}
		if !d.next() {
			return true
		}
	}
}

func (d *decoder) entries(to reflect.Value, w *way) bool {
	if to.IsNil() {
		to.Set(reflect.MakeMap(to.Type()))
	}
	d.at++ // the brace
	if d.space() == '}' {
		d.at++
		return true
	}
	for {
		d.space()
		name, _ := d.text()
		key := reflect.New(to.Type().Key()).Elem()
		key.SetString(string(name))
		d.space()
		d.at++ // the colon
		value := reflect.New(w.element).Elem()
		if !d.read(value) {
			return false
		}
		to.SetMapIndex(key, value)
		if !d.next() {
			return true
		}
	}
}

func (d *decoder) elements(to reflect.Value, w *way) bool {
	list := reflect.MakeSlice(to.Type(), 0, 0)
	d.at++ // the bracket
	if d.space() == ']' {
		d.at++
		to.Set(list)
		return true
	}
	for {
		value := reflect.New(w.element).Elem()
		if !d.read(value) {
			return false
		}
		list = reflect.Append(list, value)
		if !d.next() {
			to.Set(list)
			return true
		}
	}
}
