// Package paytest runs a whole payment network inside a test: a CA, and the agents of a consumer, a merchant, a
// gateway, both banks and a confirmer, each with its own store, keys, certificates and listener on loopback.
//
// Call [New]; [World.Buy] takes an order through the whole flow.
package paytest
