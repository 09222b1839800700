package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// An object is what inspect found: a kind and its fields in the order in which they
// are shown. Text and JSON are written from the same fields.
type object struct {
	fields []field
}

// A field has a string, a bool, an int, a list of strings or a list of objects.
type field struct {
	key   string
	value any
}

// newObject starts an object of that kind.
func newObject(kind string) *object {
	return &object{[]field{{"kind", kind}}}
}

// add adds a field, unless its value is an empty string or list.
func (o *object) add(key string, value any) {
	switch v := value.(type) {
	case string:
		if v == "" {
			return
		}
	case []string:
		if len(v) == 0 {
			return
		}
	case []*object:
		if len(v) == 0 {
			return
		}
	}
	o.fields = append(o.fields, field{key, value})
}

// drop removes the fields with these keys.
func (o *object) drop(keys ...string) {
	o.fields = slices.DeleteFunc(o.fields, func(f field) bool { return slices.Contains(keys, f.key) })
}

// MarshalJSON writes the fields in their order.
func (o *object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, f := range o.fields {
		value, err := json.Marshal(f.value)
		if err != nil {
			return nil, err
		}
		separator := ","
		if i == 0 {
			separator = "{"
		}
		fmt.Fprintf(&b, "%s%q:%s", separator, f.key, value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// maxShown is how many entries of a list text shows; JSON has them all.
const maxShown = 100

// text writes the object in lines, the kind first, what is below it indented.
func (o *object) text(b *strings.Builder, indent string) {
	for i, f := range o.fields {
		label := strings.ReplaceAll(f.key, "_", " ")
		switch v := f.value.(type) {
		case []*object:
			fmt.Fprintf(b, "%s%-20s %d\n", indent, label, len(v))
			for _, sub := range v[:min(len(v), maxShown)] {
				sub.text(b, indent+"  ")
			}
			more(b, indent+"  ", len(v))
		case []string:
			for j, s := range v[:min(len(v), maxShown)] {
				if j > 0 {
					label = ""
				}
				fmt.Fprintf(b, "%s%-20s %s\n", indent, label, printable(s))
			}
			more(b, indent, len(v))
		default:
			if f.key == "kind" && i == 0 {
				fmt.Fprintf(b, "%s%s\n", indent, printable(fmt.Sprint(v)))
				indent += "  "
				continue
			}
			fmt.Fprintf(b, "%s%-20s %s\n", indent, label, printable(fmt.Sprint(v)))
		}
	}
}

func more(b *strings.Builder, indent string, n int) {
	if n > maxShown {
		fmt.Fprintf(b, "%sand %d more, see --json\n", indent, n-maxShown)
	}
}

// stamp writes a time as all of payca does, "" for none.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// hexInt writes a serial or number in whole octets.
func hexInt(n *big.Int) string {
	if n == nil {
		return ""
	}
	text := new(big.Int).Abs(n).Text(16)
	if len(text)%2 == 1 {
		text = "0" + text
	}
	if n.Sign() < 0 {
		text = "-" + text
	}
	return text
}
