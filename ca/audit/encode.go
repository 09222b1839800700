package audit

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// encode returns the leaf of an event: its JSON, as encoding/json writes it.
func (e *Event) encode() ([]byte, error) {
	if leaf, ok := e.plain(); ok {
		return leaf, nil
	}
	return json.Marshal(e)
}

// plain encodes an event without violations whose text needs no escapes, as nearly all have none. It is false for every other.
func (e *Event) plain() ([]byte, bool) {
	at := e.Time
	if len(e.Violations) > 0 {
		return nil, false
	}
	if year := at.Year(); at.Location() != time.UTC || year < 0 || year > 9999 {
		return nil, false
	}
	leaf := make([]byte, 0, 512)
	leaf = append(leaf, `{"time":"`...)
	leaf = at.AppendFormat(leaf, time.RFC3339Nano)
	leaf, ok := appendText(append(leaf, `","kind":`...), string(e.Kind))
	for _, member := range []struct{ name, value string }{
		{`,"actor":`, e.Actor},
		{`,"from":`, e.From},
		{`,"party":`, e.Party},
		{`,"role":`, e.Role},
		{`,"issuer":`, e.Issuer},
		{`,"profile":`, e.Profile},
		{`,"serial":`, e.Serial},
		{`,"thumbprint":`, e.Thumbprint},
		{`,"reason":`, e.Reason},
	} {
		if ok && member.value != "" {
			leaf, ok = appendText(append(leaf, member.name...), member.value)
		}
	}
	if ok && len(e.Attrs) > 0 {
		leaf, ok = appendAttrs(append(leaf, `,"attrs":`...), e.Attrs)
	}
	return append(leaf, '}'), ok
}

func appendAttrs(leaf []byte, attrs map[string]string) ([]byte, bool) {
	var room [8]string
	names, ok := slices.AppendSeq(room[:0], maps.Keys(attrs)), true
	slices.Sort(names)
	for i, name := range names {
		separator := byte(',')
		if i == 0 {
			separator = '{'
		}
		if leaf, ok = appendText(append(leaf, separator), name); !ok {
			return leaf, false
		}
		if leaf, ok = appendText(append(leaf, ':'), attrs[name]); !ok {
			return leaf, false
		}
	}
	return append(leaf, '}'), true
}

// appendText appends text in quotes; false if encoding/json would escape something in it.
func appendText(leaf []byte, text string) ([]byte, bool) {
	for i := range len(text) {
		switch c := text[i]; {
		case c < ' ', c > '~', c == '"', c == '\\', c == '<', c == '>', c == '&':
			return leaf, false
		}
	}
	leaf = append(leaf, '"')
	leaf = append(leaf, text...)
	return append(leaf, '"'), true
}
