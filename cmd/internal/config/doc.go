// Package config reads and writes the files in which an operator states what a CA and its network are.
//
// # What to call
//
// [Load] reads the configuration of a CA, [Default] and [Loopback] make one, [Config.Marshal] writes one
// with a comment above every key. [LoadNetwork] reads a network with its parties.
//
// # What is guaranteed
//
// A key that is left out has its default. What [Load] returns is valid ([Config.Validate]).
// The comments in a written file are the doc comments of the fields of [Config].
//
// # What is refused
//
// A key that is not known, with its line and the nearest right key; a key given twice; aliases
// and anchors; a second document; a file over 64 KiB. All errors of a file are told at once, each with its
// line and path. Secrets have no place in these files: they are named by path.
package config
