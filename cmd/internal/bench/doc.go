// Package bench measures payca against what its work costs at least.
//
// Call [Run] with the [Config]; it measures the cases in order and returns a [Report].
//
// # How it is measured
//
// A speed is a ratio of CPU time: of the process, by getrusage, over that of a floor which does only what cannot be left
// out, taken in turns in one run, ten pairs, of which the median counts. So the machine, and what else it does, matter
// little. Load on HTTP comes from a process of its own, so that the server's CPU time is the server's. Limits are stated
// beside the figures; a figure that misses its limit is reported like any other, and says so.
package bench
