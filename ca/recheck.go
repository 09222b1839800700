package ca

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/payca/payca/ca/audit"
)

// Rechecks is what is kept of the re-checks of the inventory; see [Authority.Recheck].
type Rechecks interface {
	// Recheck returns what SaveRecheck kept last, the zero value before the first.
	Recheck(ctx context.Context) (Recheck, error)
	// SaveRecheck keeps r, puts what was found in the place of what stood against the same certificates, drops what was
	// cleared and appends the events, in one commit.
	SaveRecheck(ctx context.Context, r Recheck, found []Finding, cleared []Serial, events ...audit.Event) error
	// Finding finds what stands against a certificate; ErrNotFound.
	Finding(ctx context.Context, serial Serial) (Finding, error)
	// Findings yields what stands against certificates by ascending serial, after the given one; all of it after the zero serial.
	Findings(ctx context.Context, after Serial) iter.Seq2[Finding, error]
}

// A Recheck is one walk over the inventory, done or under way.
type Recheck struct {
	Started  time.Time  `json:"started"`            // names the walk, too
	Finished time.Time  `json:"finished,omitzero"`  // zero while it is under way
	Next     uint64     `json:"next"`               // the least index that was not looked at
	Checked  int        `json:"checked"`            // certificates that were looked at
	Found    int        `json:"found"`              // of these, with a finding
	New      int        `json:"new"`                // of these, without one before
	Cleared  int        `json:"cleared"`            // findings of before that stand no more
	By       string     `json:"by,omitempty"`       // who asked for it, "payca" for the nightly one
	Previous *time.Time `json:"previous,omitempty"` // when the walk before was finished
}

// A Finding is what a re-check has against one certificate.
type Finding struct {
	Serial  Serial    `json:"serial"`
	Index   uint64    `json:"index"` // in the inventory
	Issuer  string    `json:"issuer"`
	Profile string    `json:"profile"`
	Party   string    `json:"party"`
	Faults  []Fault   `json:"faults"`
	Since   time.Time `json:"since"` // start of the walk that found it first
	Seen    time.Time `json:"seen"`  // start of the walk that found it last
}

// A Fault is one thing that is wrong with a certificate.
type Fault struct {
	Rule   string `json:"rule"`   // name of the lint or rule
	Detail string `json:"detail"` // what was found
}

// FaultsOf returns what a [Linter] found: what its error says by a method Faults() []Fault, or else the error as a whole.
func FaultsOf(err error) []Fault {
	if err == nil {
		return nil
	}
	var several interface{ Faults() []Fault }
	if errors.As(err, &several) {
		return several.Faults()
	}
	return []Fault{{Rule: "lint", Detail: err.Error()}}
}
