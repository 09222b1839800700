package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// verifyBatch is how many leaves Verify holds at a time.
const verifyBatch = 1000

// A Report says what Verify proved.
type Report struct {
	Size uint64    // number of leaves
	Root tlog.Hash // root over them, which the head signs
}

// A Corruption is the first place at which a log does not prove itself.
type Corruption struct {
	Index uint64 // of the leaf
	What  string // what is wrong there
}

// Error names the place.
func (c *Corruption) Error() string { return fmt.Sprintf("audit log, entry %d: %s", c.Index, c.What) }

// Verify recomputes the tree from the leaves, in bounded memory, and compares
// it with the signed head. It returns *[Corruption] for the first bad place: a
// leaf that differs from its stored hash (changed, removed or swapped), leaves that the
// head counts but the log lacks, or the other way round. A head that was not
// signed with the key is an error too. The log may grow meanwhile: each head that
// is read is compared, and the report is about the last.
func Verify(ctx context.Context, r Reader, verifierKey string) (Report, error) {
	return VerifyAgainst(ctx, r, verifierKey, Head{})
}

// VerifyAgainst is [Verify], and the log must continue the one that witnessed, a head which
// was verified before, says it was: *[ForkError] if it was cut or rewritten since.
func VerifyAgainst(ctx context.Context, r Reader, verifierKey string, witnessed Head) (Report, error) {
	head, err := readHead(ctx, r, verifierKey)
	if err != nil {
		return Report{}, err
	}
	if err := head.wantSince(witnessed); err != nil {
		return Report{}, err
	}
	tree := frontier{watch: witnessed.Size}
	for {
		leaves, err := r.Leaves(ctx, tree.size, verifyBatch)
		if err != nil {
			return Report{}, fmt.Errorf("reading audit entries from %d: %w", tree.size, err)
		}
		if len(leaves) == 0 {
			break
		}
		if tree.size == head.Size {
			// The log may have grown; a head read after a leaf counts it.
			if err := head.wantRoot(tree); err != nil {
				return Report{}, err
			}
			if head, err = readHead(ctx, r, verifierKey); err != nil {
				return Report{}, err
			}
		}
		if tree.size >= head.Size {
			return Report{}, &Corruption{Index: head.Size, What: fmt.Sprintf("is past the end that the signed head gives, %d entries", head.Size)}
		}
		leaves = leaves[:min(uint64(len(leaves)), head.Size-tree.size)]
		if err := tree.add(ctx, r, leaves); err != nil {
			return Report{}, err
		}
	}
	if tree.size < head.Size {
		return Report{}, &Corruption{Index: tree.size, What: fmt.Sprintf("is missing: the signed head counts %d entries", head.Size)}
	}
	if err := head.wantRoot(tree); err != nil {
		return Report{}, err
	}
	if witnessed.Size > 0 && tree.watched != witnessed.Root {
		return Report{}, &ForkError{Old: witnessed, New: head}
	}
	return Report{Size: tree.size, Root: tree.root()}, nil
}

// readHead reads and verifies the newest head; that of an empty log is zero.
func readHead(ctx context.Context, r Reader, verifierKey string) (Head, error) {
	signed, err := r.Head(ctx)
	if err != nil {
		return Head{}, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	if len(signed) == 0 {
		return Head{}, nil
	}
	return ParseHead(signed, verifierKey)
}

// wantSince refuses a log that is shorter than it was, or another's.
func (h Head) wantSince(witnessed Head) error {
	if witnessed.Size > 0 && (h.Size < witnessed.Size || h.Origin != witnessed.Origin) {
		return &ForkError{Old: witnessed, New: h}
	}
	return nil
}

// wantRoot compares the tree with a head of its size.
func (h Head) wantRoot(tree frontier) error {
	if root := tree.root(); h.Origin != "" && root != h.Root {
		return &Corruption{Index: h.Size, What: fmt.Sprintf("root over the entries before it is %s, the signed head has %s", root, h.Root)}
	}
	return nil
}

// A frontier is the right edge of a growing tree: one hash for every complete
// subtree, from the largest to the smallest.
type frontier struct {
	size    uint64
	hashes  []tlog.Hash
	watch   uint64    // the size whose root is kept, 0 for none
	watched tlog.Hash // that root
}

// add appends leaves and compares each with its stored hash.
func (f *frontier) add(ctx context.Context, r Reader, leaves [][]byte) error {
	indexes := make([]int64, len(leaves))
	for i := range leaves {
		indexes[i] = tlog.StoredHashIndex(0, int64(f.size)+int64(i))
	}
	stored, err := r.Hashes(ctx, indexes)
	if err != nil {
		return fmt.Errorf("reading stored hashes from entry %d: %w", f.size, err)
	}
	for i, leaf := range leaves {
		hash := tlog.RecordHash(leaf)
		if hash != stored[i] {
			return &Corruption{Index: f.size, What: "differs from its stored hash: it was changed, removed or moved"}
		}
		f.push(hash)
	}
	return nil
}

// push appends the hash of a leaf.
func (f *frontier) push(hash tlog.Hash) {
	f.hashes = append(f.hashes, hash)
	f.size++
	for n := f.size; n&1 == 0; n >>= 1 {
		last := len(f.hashes) - 1
		f.hashes[last-1] = tlog.NodeHash(f.hashes[last-1], f.hashes[last])
		f.hashes = f.hashes[:last]
	}
	if f.size == f.watch {
		f.watched = f.root()
	}
}

// root folds the frontier into the root of the tree (RFC 6962 section 2.1).
func (f *frontier) root() tlog.Hash {
	if len(f.hashes) == 0 {
		empty, _ := tlog.TreeHash(0, nil)
		return empty
	}
	root := f.hashes[len(f.hashes)-1]
	for i := len(f.hashes) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.hashes[i], root)
	}
	return root
}
