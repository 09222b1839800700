package agent

import "sync/atomic"

// Counts say what an agent has done since it was made.
type Counts struct {
	Signed   uint64 // objects
	Verified uint64 // signatures of objects
	Served   uint64 // requests of other parties
	Commits  uint64 // transactions asked for; those that wait at the same time share a commit
}

// counters are behind Counts.
type counters struct{ signed, verified, served, commits atomic.Uint64 }

// Counts returns what the agent has done so far.
func (a *Agent) Counts() Counts {
	c := &a.counters
	return Counts{Signed: c.signed.Load(), Verified: c.verified.Load(), Served: c.served.Load(), Commits: c.commits.Load()}
}
