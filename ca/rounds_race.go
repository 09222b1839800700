//go:build race

package ca

// SealRounds is smaller in a program built with the race detector, which is for tests alone: there 600,000 take seconds.
const SealRounds = 40_000
