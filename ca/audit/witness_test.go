package audit_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/payca/payca/ca/audit"
)

// rewritten is a log of other events, honestly signed.
func rewritten(t testing.TB, log *audit.Log, size int) *memory {
	t.Helper()
	m := &memory{}
	for range size {
		if _, err := log.Append(m, audit.Event{Kind: audit.Started, Actor: "another"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Seal(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAWitnessFollowsTheLog(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	var seen audit.Head
	for _, size := range []int{1, 1, 2, 7, 8, 9, 64, 64} {
		m := filled(t, log, size)
		signed, head, err := audit.Witness(t.Context(), m, log.VerifierKey(), seen)
		if err != nil || head.Size != uint64(size) || !bytes.Equal(signed, m.head) {
			t.Fatalf("from %d to %d: got %+v, %v", seen.Size, size, head, err)
		}
		seen = head
	}
}

func TestWhoKeptANewerHeadFindsACutOrRewrittenLog(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	seen := headOf(t, log, 9)
	for name, m := range map[string]*memory{
		"cut, with its head":                filled(t, log, 5),
		"rewritten, of the same size":       rewritten(t, log, 9),
		"rewritten, and longer":             rewritten(t, log, 12),
		"cut by its last entry":             filled(t, log, 8),
		"rewritten, and shorter":            rewritten(t, log, 3),
		"rewritten in its first entry only": spliced(t, log, 11),
	} {
		key := log.VerifierKey()
		if _, err := audit.Verify(t.Context(), m, key); err != nil {
			t.Fatalf("%s: got %v, want it to agree with itself", name, err)
		}
		lines := exported(t, log, m)
		_, _, witnessed := audit.Witness(t.Context(), m, key, seen)
		_, verified := audit.VerifyAgainst(t.Context(), m, key, seen)
		_, _, offline := audit.VerifyExportAgainst(bytes.NewReader(bytes.Join(lines, nil)), key, seen)
		for _, err := range []error{witnessed, verified, offline} {
			if fork := (*audit.ForkError)(nil); !errors.As(err, &fork) || fork.Old != seen || fork.New.Size != uint64(len(m.leaves)) {
				t.Errorf("%s: got %v, want a fork from %d to %d", name, err, seen.Size, len(m.leaves))
			}
		}
	}
	if signed, _, err := audit.Witness(t.Context(), &memory{}, log.VerifierKey(), seen); !errors.As(err, new(*audit.ForkError)) {
		t.Errorf("an empty log: got %q, %v, want a fork", signed, err)
	}
	if signed, _, err := audit.Witness(t.Context(), &memory{}, log.VerifierKey(), audit.Head{}); err == nil {
		t.Errorf("an empty log, never seen: got %q, want an error", signed)
	}
}

// spliced is a filled log with another first entry, honestly signed.
func spliced(t testing.TB, log *audit.Log, size int) *memory {
	t.Helper()
	m := rewritten(t, log, 1)
	for _, leaf := range filled(t, log, size).leaves[1:] {
		event, err := audit.ParseEvent(leaf)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := log.Append(m, event); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := log.Seal(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func TestALogThatContinuesWhatWasSeenVerifies(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	m := filled(t, log, 1100)
	lines := bytes.Join(exported(t, log, m), nil)
	for _, size := range []int{1, 2, 999, 1000, 1001, 1100} {
		seen := headOf(t, log, size)
		if _, err := audit.VerifyAgainst(t.Context(), m, log.VerifierKey(), seen); err != nil {
			t.Errorf("seen at %d: got %v", size, err)
		}
		if _, _, err := audit.VerifyExportAgainst(bytes.NewReader(lines), log.VerifierKey(), seen); err != nil {
			t.Errorf("seen at %d, an export: got %v", size, err)
		}
	}
}
