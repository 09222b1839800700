package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// The forms of the two proofs.
const (
	ProofFormat       = "payca-audit-proof-1"
	ConsistencyFormat = "payca-audit-consistency-1"
)

// A Proof shows that one leaf is in the log that a head signs (RFC 6962 section 2.1.1).
type Proof struct {
	Format string      `json:"format"` // ProofFormat
	Index  uint64      `json:"index"`  // of the leaf
	Leaf   string      `json:"leaf"`   // the event, to the letter
	Hashes []tlog.Hash `json:"hashes"` // from the leaf to the root
	Head   string      `json:"head"`   // the signed head
}

// A Consistency shows that the log which a head signs continues an older, shorter
// one (RFC 6962 section 2.1.2).
type Consistency struct {
	Format string      `json:"format"` // ConsistencyFormat
	Old    uint64      `json:"old"`    // number of entries of the older log
	Hashes []tlog.Hash `json:"hashes"` // from the older root to the newer
	Head   string      `json:"head"`   // the signed head of the newer
}

// A Prover is a Reader that makes proofs itself: a server, in one request.
type Prover interface {
	Reader
	// Proof returns what Prove of its log returns.
	Proof(ctx context.Context, index uint64) (Proof, error)
	// Consistency returns what ProveConsistency of its log returns.
	Consistency(ctx context.Context, old uint64) (Consistency, error)
}

// A RangeError says that a log has no such entry, or was never of such a size.
type RangeError struct {
	What string // "entry", "size"
	Got  uint64
	Want string // "0 to 41"
}

// Error says what the log has.
func (e *RangeError) Error() string {
	return fmt.Sprintf("audit log: %s is %d, want %s", e.What, e.Got, e.Want)
}

// A ProofError says why a proof does not prove what it says.
type ProofError struct {
	What string // what is wrong
}

// Error says what is wrong.
func (e *ProofError) Error() string { return "audit proof: " + e.What }

// Prove proves that the leaf at the index is in the log, to its newest head. Who
// does not trust r verifies the proof. *[RangeError] if there is no such leaf.
func Prove(ctx context.Context, r Reader, index uint64) (Proof, error) {
	if p, ok := r.(Prover); ok {
		return p.Proof(ctx, index)
	}
	signed, size, err := newestHead(ctx, r)
	if err != nil {
		return Proof{}, err
	}
	if index >= size {
		return Proof{}, &RangeError{What: "entry", Got: index, Want: fmt.Sprintf("less than %d", size)}
	}
	leaves, err := r.Leaves(ctx, index, 1)
	if err == nil && len(leaves) == 0 {
		err = &Corruption{Index: index, What: "is missing"}
	}
	if err != nil {
		return Proof{}, fmt.Errorf("reading audit entry %d: %w", index, err)
	}
	hashes, err := tlog.ProveRecord(int64(size), int64(index), hashReader(ctx, r))
	if err != nil {
		return Proof{}, fmt.Errorf("proving audit entry %d: %w", index, err)
	}
	return Proof{Format: ProofFormat, Index: index, Leaf: string(leaves[0]), Hashes: append([]tlog.Hash{}, hashes...), Head: string(signed)}, nil
}

// ProveConsistency proves that the log continues what it was at an older size, to its
// newest head. *[RangeError] if it was never of that size.
func ProveConsistency(ctx context.Context, r Reader, old uint64) (Consistency, error) {
	if p, ok := r.(Prover); ok {
		return p.Consistency(ctx, old)
	}
	signed, size, err := newestHead(ctx, r)
	if err != nil {
		return Consistency{}, err
	}
	if old == 0 || old > size {
		return Consistency{}, &RangeError{What: "size", Got: old, Want: fmt.Sprintf("1 to %d", size)}
	}
	hashes, err := tlog.ProveTree(int64(size), int64(old), hashReader(ctx, r))
	if err != nil {
		return Consistency{}, fmt.Errorf("proving the audit log from size %d on: %w", old, err)
	}
	return Consistency{Format: ConsistencyFormat, Old: old, Hashes: append([]tlog.Hash{}, hashes...), Head: string(signed)}, nil
}

// newestHead reads the newest head and its size, without its signature: who
// verifies the proof verifies that.
func newestHead(ctx context.Context, r Reader) (signed []byte, size uint64, err error) {
	signed, err = r.Head(ctx)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	if len(signed) == 0 {
		return nil, 0, nil
	}
	head, err := parseText(string(signed))
	return signed, head.Size, err
}

func hashReader(ctx context.Context, r Reader) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) { return r.Hashes(ctx, indexes) })
}

// Verify returns the event that the proof proves, and the head it is proved to.
// It returns *[HeadError] for a head that the key did not sign, *[ProofError] for all else.
func (p Proof) Verify(verifierKey string) (Event, Head, error) {
	if p.Format != ProofFormat {
		return Event{}, Head{}, &ProofError{What: fmt.Sprintf("format is %q, want %q", p.Format, ProofFormat)}
	}
	head, err := ParseHead([]byte(p.Head), verifierKey)
	if err != nil {
		return Event{}, Head{}, err
	}
	if p.Index >= head.Size {
		return Event{}, Head{}, &ProofError{What: fmt.Sprintf("entry is %d, want less than %d, the size in its head", p.Index, head.Size)}
	}
	err = tlog.CheckRecord(p.Hashes, int64(head.Size), head.Root, int64(p.Index), tlog.RecordHash([]byte(p.Leaf)))
	if err != nil {
		return Event{}, Head{}, &ProofError{What: fmt.Sprintf("leaf and hashes do not lead from entry %d to the root %s of its head", p.Index, head.Root)}
	}
	event, err := ParseEvent([]byte(p.Leaf))
	if err != nil {
		return Event{}, Head{}, &ProofError{What: err.Error()}
	}
	return event, head, nil
}

// Verify returns the head of the newer log. old is a head that was verified before.
// It returns *[HeadError] for a head that the key did not sign, *[ForkError] for one that does
// not continue old, and *[ProofError] for all else.
func (c Consistency) Verify(verifierKey string, old Head) (Head, error) {
	if c.Format != ConsistencyFormat || c.Old != old.Size {
		return Head{}, &ProofError{What: fmt.Sprintf("it is %q from size %d, want %q from %d", c.Format, c.Old, ConsistencyFormat, old.Size)}
	}
	head, err := ParseHead([]byte(c.Head), verifierKey)
	if err != nil {
		return Head{}, err
	}
	if old.Origin != head.Origin || old.Size > head.Size || old.Size == 0 {
		return Head{}, &ForkError{Old: old, New: head}
	}
	if err := tlog.CheckTree(c.Hashes, int64(head.Size), head.Root, int64(old.Size), old.Root); err != nil {
		return Head{}, &ForkError{Old: old, New: head}
	}
	return head, nil
}

// A ForkError says that a log does not continue what a head says it was.
type ForkError struct {
	Old Head // what was seen before
	New Head // what the log is now
}

// Error names both sizes.
func (e *ForkError) Error() string {
	how := "it was rewritten"
	if e.New.Size < e.Old.Size {
		how = "it was cut"
	}
	return fmt.Sprintf("audit log %s has %d entries with root %s, and does not continue the %d entries with root %s that were seen before: %s",
		e.New.Origin, e.New.Size, e.New.Root, e.Old.Size, e.Old.Root, how)
}

// ParseProof decodes a proof; what it proves is for Verify to say.
func ParseProof(raw []byte) (p Proof, err error) {
	if err := decode(raw, &p); err != nil {
		return Proof{}, fmt.Errorf("decoding an audit proof: %w", err)
	}
	return p, nil
}
