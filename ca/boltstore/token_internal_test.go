package boltstore

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/payca/payca/ca"
)

// fill gives every field below v a value that is not zero, so that a field which the codec forgets is missed.
func fill(t testing.TB, v reflect.Value) {
	t.Helper()
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(time.Date(2031, 2, 3, 4, 5, 6, 7, time.UTC)))
	case v.Kind() == reflect.String:
		v.SetString("word " + v.Type().String())
	case v.Kind() == reflect.Array:
		v.Index(0).SetUint(9)
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(t, v.Elem())
	case v.Kind() == reflect.Struct:
		for _, field := range v.Fields() {
			fill(t, field)
		}
	default:
		t.Fatalf("a field of type %s, which this test does not know", v.Type())
	}
}

func tokens(t testing.TB) []ca.Token {
	t.Helper()
	var full ca.Token
	fill(t, reflect.ValueOf(&full).Elem())
	used, cancelled := full, full
	used.Cancelled, cancelled.Used = nil, nil
	return []ca.Token{full, used, cancelled, {ID: "a"}, {}}
}

func TestATokenIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for _, token := range tokens(t) {
		value, err := encodeToken(token)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseToken(value); err != nil || !reflect.DeepEqual(got, token) {
			t.Errorf("got %+v, %v, want %+v", got, err, token)
		}
		old, err := json.Marshal(token)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseToken(old); err != nil || !reflect.DeepEqual(got, token) {
			t.Errorf("of layout 4: got %+v, %v, want %+v", got, err, token)
		}
	}
	if _, err := encodeToken(ca.Token{Party: string(make([]byte, maxWord+1))}); err == nil {
		t.Error("a word that is too long: got nil, want a refusal")
	}
}

func FuzzParseToken(f *testing.F) {
	for _, token := range tokens(f) {
		value, err := encodeToken(token)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(value)
	}
	f.Add([]byte(`{"id":"a"}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		token, err := parseToken(value)
		if err != nil || value[0] == '{' {
			return
		}
		again, err := encodeToken(token)
		if err != nil {
			return
		}
		if got, err := parseToken(again); err != nil || !reflect.DeepEqual(got, token) {
			t.Errorf("%x is read as %+v, written as %x and read as %+v, %v", value, token, again, got, err)
		}
	})
}
