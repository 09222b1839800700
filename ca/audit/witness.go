package audit

import (
	"context"
	"errors"
	"fmt"
)

// Witness reads the newest head and proves that the log still continues the one that
// seen, a head which was verified before, says it was; a zero seen is the first look, and
// anything signed is taken. It returns the signed head, to be kept for the next time: who
// keeps it apart from the log finds out a log that was cut or rewritten together with its
// head. *[ForkError] for such a log.
func Witness(ctx context.Context, r Reader, verifierKey string, seen Head) (signed []byte, head Head, err error) {
	signed, err = r.Head(ctx)
	if err != nil {
		return nil, Head{}, fmt.Errorf("reading the head of the audit log: %w", err)
	}
	if len(signed) == 0 {
		if seen.Size > 0 {
			return nil, Head{}, &ForkError{Old: seen, New: Head{Origin: seen.Origin}}
		}
		return nil, Head{}, errors.New("the audit log has no signed head, want at least one entry")
	}
	if head, err = ParseHead(signed, verifierKey); err != nil || seen.Size == 0 {
		return signed, head, err
	}
	if err := head.wantSince(seen); err != nil {
		return nil, Head{}, err
	}
	consistency, err := ProveConsistency(ctx, r, seen.Size)
	if err != nil {
		return nil, Head{}, err
	}
	head, err = consistency.Verify(verifierKey, seen)
	return []byte(consistency.Head), head, err
}
