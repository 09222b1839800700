// Package demo runs a whole network in one process, over real sockets: it
// creates the network, enrolls its parties, lets them talk by mutual TLS,
// attacks it, revokes a party and shows that it is refused.
//
// Every step is an assertion: [Run] returns an error unless all of it happened.
package demo
