package cli

import (
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// How far the heap of a program that serves grows between two collections: a small one further than usual, because
// what is waited for costs more than the memory; a large one, such as that of the status of millions of certificates, as usual.
const (
	smallHeap   = 64 << 20 // octets that live
	smallGrowth = 400      // percent
	usualGrowth = 100      // percent
)

// collectLess lets a small heap grow until restore is called. GOGC in the environment stands.
func collectLess() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	before := debug.SetGCPercent(smallGrowth)
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for now := smallGrowth; ; {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			if want := growth(liveHeap()); want != now {
				debug.SetGCPercent(want)
				now = want
			}
		}
	}()
	return func() {
		close(stop)
		<-stopped
		debug.SetGCPercent(before)
	}
}

// growth is how many percent a heap may grow of which so many octets live.
func growth(live uint64) int {
	if live > smallHeap {
		return usualGrowth
	}
	return smallGrowth
}

// liveHeap is how many octets the last collection left.
func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	if sample[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return sample[0].Value.Uint64()
}
