package agent

import (
	"bytes"
	"reflect"
	"sync"
)

// maxDecoded bounds how many values an agent remembers decoded.
const maxDecoded = 1024

// A copier is what a role keeps under a name and reads several times for each request, so that it is worth to be remembered
// decoded. Take makes it a copy of another one, in which nothing that the role changes in place is shared; false if the other
// is of another type.
type copier interface{ Take(from any) bool }

// decoded remembers what values of the store say. It is asked with the bytes that the transaction read: what it returns is
// what decoding them would, whatever was committed, or undone, meanwhile. The zero value is empty.
type decoded struct {
	mu     sync.Mutex
	values map[string]decodedValue // by name; guarded by mu
}

// A decodedValue is not changed once it is kept.
type decodedValue struct {
	raw   []byte
	value copier
}

// find makes v what raw says, if that is known.
func (d *decoded) find(name string, raw []byte, v any) bool {
	to, ok := v.(copier)
	if !ok {
		return false
	}
	d.mu.Lock()
	known := d.values[name]
	d.mu.Unlock()
	return known.value != nil && bytes.Equal(known.raw, raw) && to.Take(known.value)
}

// keep remembers that raw says v.
func (d *decoded) keep(name string, raw []byte, v any) {
	if _, ok := v.(copier); !ok {
		return
	}
	value := reflect.New(reflect.TypeOf(v).Elem()).Interface().(copier) // a copier is a pointer, or it could not take
	if !value.Take(v) {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.values == nil {
		d.values = map[string]decodedValue{}
	}
	if _, known := d.values[name]; !known && len(d.values) >= maxDecoded {
		for other := range d.values { // any one: it is decoded again when it is needed
			delete(d.values, other)
			break
		}
	}
	d.values[name] = decodedValue{bytes.Clone(raw), value}
}
