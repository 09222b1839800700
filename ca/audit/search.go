package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// IndexSince returns the index of the first event at or after that time, the size of the log if there is none. It
// reads some twenty leaves of a million: events stand in the order of their times, but for those that overtook each other
// on their way into the log, and for clocks that were set back.
func IndexSince(ctx context.Context, r Reader, since time.Time) (uint64, error) {
	_, size, err := newestHead(ctx, r)
	if err != nil {
		return 0, err
	}
	low, high := uint64(0), size // every event before low is earlier, none from high on
	for low < high {
		middle := low + (high-low)/2
		at, err := timeOf(ctx, r, middle)
		if err != nil {
			return 0, fmt.Errorf("looking for the events since %s: %w", since.UTC().Format(time.RFC3339), err)
		}
		if at.Before(since) {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return low, nil
}

func timeOf(ctx context.Context, r Reader, index uint64) (time.Time, error) {
	leaves, err := r.Leaves(ctx, index, 1)
	if err != nil {
		return time.Time{}, err
	}
	if len(leaves) != 1 {
		return time.Time{}, fmt.Errorf("entry %d: got %d leaves, want 1", index, len(leaves))
	}
	var event struct {
		Time time.Time `json:"time"`
	}
	if err := json.Unmarshal(leaves[0], &event); err != nil {
		return time.Time{}, fmt.Errorf("entry %d: %w", index, err)
	}
	return event.Time, nil
}
