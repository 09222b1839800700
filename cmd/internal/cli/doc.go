// Package cli is the command line of payca, and the only place that wires the packages together.
//
// # What to call
//
// [Main] runs the process; [Run] runs one command line against given streams and
// a given environment. [Code] maps an error to the exit code.
//
// # How a command is made
//
// A command is an options struct with three methods: addFlags binds its flags,
// validate checks what was given (an error there is a usage error), run does the work.
// It lives in one file named after it, takes the streams, the clock and the global flags from app,
// and is added to the tree in root.go.
//
// # What is guaranteed
//
// The result goes to standard output, as text or, with --json, as one JSON object;
// the story and the errors go to standard error. Text from outside is written with its control
// characters escaped. Every flag can be set by the environment variable that its help names.
package cli
