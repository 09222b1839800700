// Package storetest is the suite that every [ca.Store] passes.
//
// A store's own tests call [Run] and, if it keeps its data in a place that can
// be opened again, [RunDurable]. Both take a function that opens an empty store,
// whose audit log must be the one that [Log] returns, so that the suite can verify
// what was signed. Each subtest is one sentence of the contract in package ca, has a
// store to itself, and ends with the proof of the whole audit log.
package storetest
