// Package storetest is the suite that every [ca.Store] passes.
//
// A store's own tests call [Run] and, if it keeps its data in a place that can
// be opened again, [RunDurable]. Both take a function that opens an empty store,
// whose audit log must be the one that [Log] returns, so that the suite can verify
// what was signed. Each subtest is one sentence of the contract in package ca, has a
// store to itself, and ends with the proof of the whole audit log. A store that can be told to fail at a commit
// runs [RunFaults] too: each write in turn is lost, or persists while its caller is told an error.
//
// Package ca/bulk fills a store with a million certificates, for measuring it.
package storetest
