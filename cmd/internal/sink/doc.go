// Package sink delivers the events of an audit log to where others read them: a
// file, a syslog server, a webhook.
//
// # Guarantees
//
// Every event is delivered after its commit, in order, at least once. The position
// is kept in a file and moves only after a delivery, so that a restart continues where it
// ended; whoever reads sees an event twice, with the same index, if the process ended between
// the two. Nothing waits for a sink: it reads what was committed. A sink that is down is tried
// again after 1 s, 2 s, 4 s and so on, up to a minute, and falls behind; no other sink does.
package sink
