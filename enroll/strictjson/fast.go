package strictjson

import (
	"bytes"
	"reflect"
	"sync"
)

// A shape is what a type accepts, found out once for each type.
type shape struct {
	members map[string]reflect.Type // of a struct; nil where any name is accepted
	values  reflect.Type            // of a map's members, nil if they are not restricted
	items   reflect.Type            // of an array's elements, nil if they are not restricted
}

var shapes sync.Map // reflect.Type -> *shape

var anything = &shape{}

func shapeOf(t reflect.Type) *shape {
	if t == nil {
		return anything
	}
	if known, ok := shapes.Load(t); ok {
		return known.(*shape)
	}
	aim := target(t)
	s := &shape{members: members(aim), items: element(aim)}
	if aim != nil && aim.Kind() == reflect.Map {
		s.values = aim.Elem()
	}
	shapes.Store(t, s)
	return s
}

// plain reports whether a document is certainly free of what this package refuses beyond encoding/json.
// It is false also for what it does not look into, such as escapes and long numbers, which the walker then judges.
func plain(data []byte, t reflect.Type) bool {
	s := scanner{data: data}
	return s.value(t, 0) && s.space() == 0 && s.at == len(data)
}

// A scanner goes through a document once, without taking anything out of it.
type scanner struct {
	data []byte
	at   int
}

// space skips white space and returns the byte behind it, 0 at the end.
func (s *scanner) space() byte {
	for ; s.at < len(s.data); s.at++ {
		switch c := s.data[s.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

func (s *scanner) value(t reflect.Type, depth int) bool {
	switch c := s.space(); c {
	case '{':
		return depth < MaxDepth && s.object(shapeOf(t), depth+1)
	case '[':
		return depth < MaxDepth && s.array(shapeOf(t).items, depth+1)
	case '"':
		_, ok := s.text()
		return ok
	default:
		return s.word()
	}
}

// longestNumber is how many characters every float64 can take in.
const longestNumber = 20

// word skips a number or literal, which encoding/json checks.
func (s *scanner) word() bool {
	begin := s.at
	for ; s.at < len(s.data); s.at++ {
		c := s.data[s.at]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' {
			break
		}
		if c == 'e' && s.data[begin] != 't' && s.data[begin] != 'f' { // an exponent, if it is no true or false
			return false
		}
	}
	n := s.at - begin
	return n > 0 && n <= longestNumber
}

var lost = []byte("\uFFFD")

// text skips a string without escapes and returns what is in it.
func (s *scanner) text() ([]byte, bool) {
	s.at++ // the quote
	end := bytes.IndexByte(s.data[s.at:], '"')
	if end < 0 {
		return nil, false
	}
	inside := s.data[s.at : s.at+end]
	s.at += end + 1
	high := false
	for _, c := range inside {
		if c < ' ' || c == '\\' {
			return nil, false
		}
		high = high || c >= 0x80
	}
	return inside, !high || !bytes.Contains(inside, lost)
}

func (s *scanner) object(known *shape, depth int) bool {
	s.at++ // the brace
	var room [24][]byte
	seen := room[:0]
	if s.space() == '}' {
		s.at++
		return true
	}
	for {
		if s.space() != '"' {
			return false
		}
		name, ok := s.text()
		if !ok {
			return false
		}
		for _, other := range seen {
			if bytes.Equal(name, other) {
				return false
			}
		}
		seen = append(seen, name)
		member := known.values
		if known.members != nil {
			if member, ok = known.members[string(name)]; !ok {
				return false
			}
		}
		if s.space() != ':' {
			return false
		}
		s.at++
		if !s.value(member, depth) {
			return false
		}
		switch s.space() {
		case ',':
			s.at++
		case '}':
			s.at++
			return true
		default:
			return false
		}
	}
}

func (s *scanner) array(items reflect.Type, depth int) bool {
	s.at++ // the bracket
	if s.space() == ']' {
		s.at++
		return true
	}
	for {
		if !s.value(items, depth) {
			return false
		}
		switch s.space() {
		case ',':
			s.at++
		case ']':
			s.at++
			return true
		default:
			return false
		}
	}
}
