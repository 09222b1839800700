package audit

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"
)

func TestALeafIsTheJSONOfItsEvent(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 9, 8, 7, 60_000, time.UTC)
	full := Event{Time: at}
	for i := range reflect.TypeFor[Event]().NumField() { // no member is forgotten
		if f := reflect.ValueOf(&full).Elem().Field(i); f.Kind() == reflect.String {
			f.SetString("text " + reflect.TypeFor[Event]().Field(i).Name)
		}
	}
	full.Attrs = map[string]string{"b": "2", "a": "1", "": ""}
	events := map[string]Event{
		"every member": full, "no member": {}, "without a fraction": {Time: at.Truncate(time.Second), Kind: "k"},
		"empty attributes": {Time: at, Kind: "k", Attrs: map[string]string{}},
		"another zone":     {Time: at.In(time.FixedZone("", 3600)), Kind: "k"},
		"DEL":              {Time: at, Kind: "k", Reason: "\x7f"},
	}
	for _, odd := range []string{"é", "<a>", "&", `"`, `\`, "\n", "\u2028", "\xff", "\x00", "~"} {
		events["text with "+odd] = Event{Time: at, Kind: "k", Actor: "a" + odd}
		events["attribute with "+odd] = Event{Time: at, Kind: "k", Attrs: map[string]string{odd: "x", "y": odd}}
	}
	for name, event := range events {
		want, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := event.encode(); err != nil || string(got) != string(want) {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, want)
		}
	}
	if _, ok := full.plain(); !ok {
		t.Error("an event without odd text is not plain")
	}
}
