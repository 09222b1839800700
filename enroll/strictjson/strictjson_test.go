package strictjson_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/enroll/strictjson"
)

type inner struct {
	A int `json:"a"`
}

type document struct {
	Token string            `json:"token"`
	N     float64           `json:"n"`
	Inner *inner            `json:"inner"`
	List  []inner           `json:"list"`
	Map   map[string]inner  `json:"map"`
	Any   any               `json:"any"`
	Raw   json.RawMessage   `json:"raw"`
	At    time.Time         `json:"at"`
	Texts map[string]string `json:"texts"`
}

func TestUnmarshalRefusesWhatReadersDisagreeOn(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 33) + strings.Repeat("]", 33)
	for name, test := range map[string]struct{ text, rule, field string }{
		"a member given twice":                       {`{"token":"a","token":"b"}`, "json-duplicate", "token"},
		"a member given twice, once as an escape":    {`{"token":"a","\u0074oken":"b"}`, "json-duplicate", "token"},
		"a member given twice below any":             {`{"any":{"x":1,"x":2}}`, "json-duplicate", "any.x"},
		"a member given twice in raw JSON":           {`{"raw":{"x":1,"x":2}}`, "json-duplicate", "raw.x"},
		"a map key given twice":                      {`{"map":{"x":{},"x":{}}}`, "json-duplicate", "map.x"},
		"a member in another case":                   {`{"Token":"a"}`, "json-unknown", "Token"},
		"a member in another case in a nested value": {`{"inner":{"A":1}}`, "json-unknown", "inner.A"},
		"an unknown member in a list":                {`{"list":[{"a":1},{"b":1}]}`, "json-unknown", "list.b"},
		"an unknown member in a map":                 {`{"map":{"x":{"b":1}}}`, "json-unknown", "map.x.b"},
		"an unknown member":                          {`{"more":1}`, "json-unknown", "more"},
		"a second value":                             {`{} {}`, "json-trailing", "document"},
		"a byte after the value":                     {`{}x`, "json-trailing", "document"},
		"a number beyond float64":                    {`{"any":1e400}`, "json-number", "any"},
		"nesting of 33 levels":                       {deep, "json-depth", "document"},
		"nesting of 10,000 levels":                   {strings.Repeat(`{"any":`, 10000), "json-depth", "any." + strings.Repeat("any.", 30) + "any"},
		"bytes that are not UTF-8":                   {"{\"token\":\"\xff\"}", "json-utf8", "document"},
		"half a surrogate pair":                      {`{"token":"\ud800"}`, "json-utf8", "token"},
		"half a surrogate pair in a name":            {`{"texts":{"\ud800":"","\ud801":""}}`, "json-utf8", `texts."\ufffd"`},
		"text where a number belongs":                {`{"n":"1"}`, "json-type", "n"},
		"an array where an object belongs":           {`[]`, "json-type", "document"},
		"nothing":                                    {``, "json-syntax", "document"},
		"a document cut short":                       {`{"token":"a"`, "json-syntax", "document"},
		"a comma too many":                           {`{"token":"a",}`, "json-syntax", "document"},
		"a comma too few":                            {`{"token":"a" "n":1}`, "json-syntax", "document"},
		"a comment":                                  {`{/**/}`, "json-syntax", "document"},
		"a byte order mark":                          {"\ufeff{}", "json-syntax", "document"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var doc document
			err := strictjson.Unmarshal([]byte(test.text), &doc)
			refused, ok := errors.AsType[*strictjson.Error](err)
			if !ok {
				t.Fatalf("got %v, want *strictjson.Error", err)
			}
			if refused.Rule != test.rule || refused.Field != test.field {
				t.Errorf("got rule %q at %q, want %q at %q", refused.Rule, refused.Field, test.rule, test.field)
			}
			if refused.Got == "" || refused.Want == "" || strings.ContainsAny(err.Error(), "\r\n") {
				t.Errorf("got message %q, want one line with what was found and what is wanted", err)
			}
		})
	}
}

func TestUnmarshalReadsWhatItsTargetHolds(t *testing.T) {
	t.Parallel()
	text := ` {"token":"é\u00e9","n":-1.5e3,"inner":{"a":1},"list":[{"a":2}],"map":{"x":{"a":3}},
		"any":{"Free":[1,{"form":null}]},"raw":{"kept":true},"at":"2026-11-23T00:00:00Z"} ` + "\n"
	var doc document
	if err := strictjson.Unmarshal([]byte(text), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Token != "éé" || doc.N != -1500 || doc.Inner.A != 1 || doc.List[0].A != 2 || doc.Map["x"].A != 3 ||
		string(doc.Raw) != `{"kept":true}` || doc.At.Year() != 2026 {
		t.Errorf("got %+v", doc)
	}
	var nested any
	if err := strictjson.Unmarshal([]byte(strings.Repeat("[", 32)+strings.Repeat("]", 32)), &nested); err != nil {
		t.Errorf("32 levels: got %v, want none", err)
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, seed := range []string{`{"token":"a","n":1e400}`, `{"any":{"x":1,"x":2}}`, `[1,]`, `{"a":1}x`, `{"list":[{"a":1}]}`, `null`, `"\ud800"`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var doc any
		if strictjson.Unmarshal(data, &doc) != nil {
			return
		}
		again, err := json.Marshal(doc)
		if err != nil {
			t.Fatalf("accepted %q, which cannot be written: %v", data, err)
		}
		var same any
		if err := strictjson.Unmarshal(again, &same); err != nil {
			t.Fatalf("accepted %q but not its own writing %q: %v", data, again, err)
		}
		var typed document
		if strictjson.Unmarshal(data, &typed) == nil {
			if err := json.Unmarshal(data, &document{}); err != nil {
				t.Fatalf("accepted %q, which encoding/json refuses: %v", data, err)
			}
		}
	})
}
