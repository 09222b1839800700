package agent

import (
	"strconv"
	"testing"
)

// a thing is worth remembering.
type thing struct{ n int }

func (t *thing) Take(from any) bool {
	other, ok := from.(*thing)
	if ok {
		*t = *other
	}
	return ok
}

func TestAnAgentThatRemembersTooMuchForgetsOneAtATime(t *testing.T) {
	t.Parallel()
	var d decoded
	const more = maxDecoded + 10
	for n := range more {
		name := strconv.Itoa(n)
		d.keep(name, []byte(name), &thing{n})
		d.keep(name, []byte(name), &thing{n}) // takes no room twice
	}
	found := 0
	for n := range more {
		name, got := strconv.Itoa(n), thing{}
		if d.find(name, []byte(name), &got) {
			found++
			if got.n != n {
				t.Errorf("under %s: got %d", name, got.n)
			}
		}
		if d.find(name, []byte("other"), &got) {
			t.Errorf("%s was found under other octets", name)
		}
	}
	if found != maxDecoded || len(d.values) != maxDecoded {
		t.Errorf("%d values found of %d, want %d", found, len(d.values), maxDecoded)
	}
}
