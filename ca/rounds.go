//go:build !race

package ca

// SealRounds is how many rounds of PBKDF2 stand between a passphrase and what is sealed with it.
const SealRounds = 600_000
