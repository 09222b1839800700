package strictjson

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"
	"unicode/utf8"
)

type inner struct {
	A int            `json:"a"`
	B []inner        `json:"b"`
	C map[string]int `json:"c"`
	D any            `json:"d"`
	E *inner         `json:"e"`
}

// FuzzPlain holds the quick look to the slow one: what it passes, the walker passes.
func FuzzPlain(f *testing.F) {
	for _, seed := range []string{`{"a":1,"b":[{"a":2}],"c":{"x":1},"d":{"any":[true,null]},"e":{}}`, `{"a":1,"a":2}`, `{"A":1}`, `{"a":1e5}`, `[1,2`, `{"c":{"x":1,"x":2}}`, `{"a":1} x`, "\"\ufffd\""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, v := range []any{&inner{}, new(any), &map[string]inner{}, &[]inner{}} {
			if !utf8.Valid(data) || !plain(data, reflect.TypeOf(v)) || json.Unmarshal(data, v) != nil {
				continue
			}
			dec := json.NewDecoder(bytes.NewReader(data))
			dec.UseNumber()
			w := walker{dec: dec}
			if err := w.value(reflect.TypeOf(v), 0); err != nil {
				t.Errorf("%q passes the quick look for %T, the walker says %v", data, v, err)
			}
		}
	})
}

func BenchmarkUnmarshal(b *testing.B) {
	data := []byte(`{"a":1,"b":[{"a":2},{"a":3}],"c":{"x":1,"y":2},"d":"some text that is a little longer than the others","e":{"a":4}}`)
	for b.Loop() {
		var v inner
		if err := Unmarshal(data, &v); err != nil {
			b.Fatal(err)
		}
	}
}
