package strictjson

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
	"unicode/utf8"
)

// everything has a member of each kind that is read here, and some that are left to encoding/json.
type everything struct {
	inner
	S string            `json:"s"`
	T bool              `json:"t"`
	N int8              `json:"n"`
	P **string          `json:"p"`
	M map[string]inner  `json:"m"`
	L [][]int64         `json:"l"`
	R json.RawMessage   `json:"r"`
	W time.Time         `json:"w"`
	F float64           `json:"f"`
	B []byte            `json:"bytes"`
	U uint8             `json:"u"`
	K map[int]string    `json:"k"`
	O map[string]string `json:"o,omitempty"`
	X string            `json:"-"`
	Y string
}

// FuzzDecode holds the reader of plain documents to encoding/json: what it reads, encoding/json reads alike.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"s":"text","t":true,"n":-128,"p":"x","m":{"k":{"a":1,"e":{"b":[]}}},"l":[[1,-2],[],null],"r":{"any":[1]},"w":"2026-11-23T10:00:00Z"}`,
		`{"f":1.5,"bytes":"AAEC","u":255,"k":{"1":"one"},"o":null,"Y":"y","a":0}`, `{"n":128}`, `{"n":01}`, `{"n":-}`, `{"n":-0}`, `{"t":null,"p":null,"m":null}`, `{"t":truefalse}`, `{"-":"x"}`,
		`{"a":"text"}`, `[]`, `null`, `{"w":"yesterday"}`, `{"s":1}`, `{"m":[]}`, `{"l":{}}`, `{"c":{"x":1}}`, `{"d":{"x":[null]}}`, `{}`, ` { "s" : "" } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, kind := range []reflect.Type{reflect.TypeFor[everything](), reflect.TypeFor[map[string]everything](), reflect.TypeFor[[]map[string]any]()} {
			got, want := reflect.New(kind), reflect.New(kind)
			if !utf8.Valid(data) || !plain(data, got.Type()) {
				continue
			}
			read, err := decode(data, got.Interface()), json.Unmarshal(data, want.Interface())
			if read && err != nil {
				t.Errorf("%q is read as %s, encoding/json says %v", data, kind, err)
			}
			if read && !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Errorf("%q is read as %+v, by encoding/json as %+v", data, got.Elem(), want.Elem())
			}
			if err := Trusted(data, reflect.New(kind).Interface()); (err == nil) != (json.Unmarshal(data, reflect.New(kind).Interface()) == nil) {
				t.Errorf("Trusted says %v to %q", err, data)
			}
		}
	})
}
