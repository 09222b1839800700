package audit_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/payca/payca/ca/audit"
)

func TestEveryLeafOfEverySizeIsProved(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, size := range []int{1, 2, 3, 7, 8, 9, 33} {
		m := filled(t, log, size)
		for index := range uint64(size) {
			proof, err := audit.Prove(t.Context(), m, index)
			if err != nil {
				t.Fatal(err)
			}
			raw, err := json.Marshal(proof)
			if err != nil {
				t.Fatal(err)
			}
			read, err := audit.ParseProof(raw)
			if err != nil {
				t.Fatal(err)
			}
			event, head, err := read.Verify(log.VerifierKey())
			if err != nil || event.Actor != fmt.Sprint(index) || head.Size != uint64(size) {
				t.Errorf("entry %d of %d: got %+v of %d, %v", index, size, event, head.Size, err)
			}
		}
		if proof, err := audit.Prove(t.Context(), m, uint64(size)); !errors.As(err, new(*audit.RangeError)) {
			t.Errorf("entry %d of %d: got %+v, %v, want it refused", size, size, proof, err)
		}
	}
	if proof, err := audit.Prove(t.Context(), &memory{}, 0); !errors.As(err, new(*audit.RangeError)) {
		t.Errorf("an empty log: got %+v, %v, want it refused", proof, err)
	}
}

func TestAProofThatWasChangedProvesNothing(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	m := filled(t, log, 9)
	for name, change := range map[string]func(*audit.Proof){
		"another leaf":         func(p *audit.Proof) { p.Leaf = string(m.leaves[4]) },
		"another index":        func(p *audit.Proof) { p.Index = 4 },
		"an index past it all": func(p *audit.Proof) { p.Index = 9 },
		"a hash changed":       func(p *audit.Proof) { p.Hashes[1][0] ^= 1 },
		"a hash less":          func(p *audit.Proof) { p.Hashes = p.Hashes[1:] },
		"a hash more":          func(p *audit.Proof) { p.Hashes = append(p.Hashes, tlog.Hash{}) },
		"two hashes swapped":   func(p *audit.Proof) { p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0] },
		"another format":       func(p *audit.Proof) { p.Format = audit.ConsistencyFormat },
	} {
		proof, err := audit.Prove(t.Context(), m, 5)
		if err != nil {
			t.Fatal(err)
		}
		change(&proof)
		if event, head, err := proof.Verify(log.VerifierKey()); !errors.As(err, new(*audit.ProofError)) || head != (audit.Head{}) {
			t.Errorf("%s: got %+v, %v, want it refused", name, event, err)
		}
	}
	proof, err := audit.Prove(t.Context(), m, 5)
	if err != nil {
		t.Fatal(err)
	}
	if event, _, err := proof.Verify(newLog(t, "pay.example/ca", 2).VerifierKey()); !errors.As(err, new(*audit.HeadError)) {
		t.Errorf("another key: got %+v, %v, want it refused", event, err)
	}
}

func TestParseProofRefuses(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"nothing": "", "no JSON": "x", "an unknown member": `{"more":1}`, "a second proof": `{}{}`, "a short hash": `{"hashes":["AAAA"]}`,
	} {
		if proof, err := audit.ParseProof([]byte(raw)); err == nil {
			t.Errorf("%s: got %+v, want an error", name, proof)
		}
	}
}

func TestEveryLaterLogIsProvedToContinueEveryEarlier(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	for _, size := range []int{1, 2, 3, 8, 9, 33} {
		m := filled(t, log, size)
		for n := 1; n <= size; n++ {
			proof, err := audit.ProveConsistency(t.Context(), m, uint64(n))
			if err != nil {
				t.Fatal(err)
			}
			if head, err := proof.Verify(log.VerifierKey(), headOf(t, log, n)); err != nil || head.Size != uint64(size) {
				t.Errorf("from %d to %d: got %+v, %v", n, size, head, err)
			}
		}
		for _, n := range []uint64{0, uint64(size) + 1} {
			if proof, err := audit.ProveConsistency(t.Context(), m, n); !errors.As(err, new(*audit.RangeError)) {
				t.Errorf("from %d to %d: got %+v, %v, want it refused", n, size, proof, err)
			}
		}
	}
}

// headOf is the head of a log of so many events.
func headOf(t testing.TB, log *audit.Log, size int) audit.Head {
	t.Helper()
	head, err := audit.ParseHead(filled(t, log, size).head, log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	return head
}

func TestALogThatWasRewrittenIsNotProvedToContinue(t *testing.T) {
	t.Parallel()
	log := newLog(t, "pay.example/ca", 1)
	old := headOf(t, log, 5)
	for _, size := range []int{5, 6, 9} {
		m := &memory{} // other events, honestly signed
		events := slices.Repeat([]audit.Event{{Kind: audit.Started, Actor: "another"}}, size)
		if _, err := log.Append(m, events...); err != nil {
			t.Fatal(err)
		}
		if _, err := log.Seal(m); err != nil {
			t.Fatal(err)
		}
		proof, err := audit.ProveConsistency(t.Context(), m, 5)
		if err != nil {
			t.Fatal(err)
		}
		fork := (*audit.ForkError)(nil)
		head, err := proof.Verify(log.VerifierKey(), old)
		if !errors.As(err, &fork) || fork.Old != old || fork.New.Size != uint64(size) || !strings.Contains(err.Error(), "rewritten") {
			t.Errorf("size %d: got %+v, %v, want a fork", size, head, err)
		}
	}
	proof, err := audit.ProveConsistency(t.Context(), filled(t, log, 9), 5)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := proof.Verify(log.VerifierKey(), headOf(t, log, 6)); !errors.As(err, new(*audit.ProofError)) {
		t.Errorf("a proof from another size: got %+v, %v, want it refused", head, err)
	}
	if head, err := proof.Verify(newLog(t, "pay.example/ca", 2).VerifierKey(), old); !errors.As(err, new(*audit.HeadError)) {
		t.Errorf("another key: got %+v, %v, want it refused", head, err)
	}
}
