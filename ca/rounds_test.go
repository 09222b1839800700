//go:build !race

package ca_test

import (
	"testing"

	"github.com/payca/payca/ca"
)

// A program that is not for tests seals with what the documents promise; with the race detector it does not.
func TestWhatIsSealedStandsBehindAllRounds(t *testing.T) {
	t.Parallel()
	if ca.SealRounds != 600_000 {
		t.Errorf("got %d rounds of PBKDF2, want 600000", ca.SealRounds)
	}
}
