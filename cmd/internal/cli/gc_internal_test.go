package cli

import (
	"runtime"
	"runtime/debug"
	"testing"
)

func TestALargeHeapGrowsAsUsual(t *testing.T) {
	runtime.GC()
	if live := liveHeap(); live == 0 {
		t.Error("the runtime does not say how much of the heap lives")
	}
	for live, want := range map[uint64]int{0: smallGrowth, smallHeap: smallGrowth, smallHeap + 1: usualGrowth, 1 << 30: usualGrowth} {
		if got := growth(live); got != want {
			t.Errorf("a heap of %d octets grows by %d %%, want %d %%", live, got, want)
		}
	}
	t.Setenv("GOGC", "")
	before := debug.SetGCPercent(73)
	defer debug.SetGCPercent(before)
	restore := collectLess()
	if now := debug.SetGCPercent(smallGrowth); now != smallGrowth {
		t.Errorf("%d %% while serving, want %d %%", now, smallGrowth)
	}
	restore()
	if after := debug.SetGCPercent(73); after != 73 {
		t.Errorf("%d %% afterwards, want the 73 %% of before", after)
	}
}
