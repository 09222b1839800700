package status

import (
	"context"
	"crypto/ed25519"
	"sync"
	"time"

	"github.com/payca/payca/ocsp/feed"
)

// FeedOptions shape the list of changes that relying parties follow; see package ocsp/feed.
type FeedOptions struct {
	Key    ed25519.PrivateKey // signs checkpoints; nil for no feed
	Origin string             // NETWORK/status
	Life   time.Duration      // of a checkpoint, 0 for 10 min: how long relying parties go on without a newer one
}

// checkpointAge is which part of its life a checkpoint is signed for anew when nothing changes.
const checkpointAge = 10

// changes is the list of status changes, as feed.Source.
type changes struct {
	options  FeedOptions
	store    Store
	verifier string
	now      func() time.Time

	mu      sync.Mutex
	changed chan struct{} // closed at the next change; guarded by mu
	signed  []byte        // newest checkpoint; guarded by mu
	epoch   uint64        // of signed; guarded by mu
	at      time.Time     // when it was signed; guarded by mu
}

func newChanges(options FeedOptions, store Store, now func() time.Time) (*changes, error) {
	if options.Life == 0 {
		options.Life = 10 * time.Minute
	}
	verifier, err := feed.VerifierKey(options.Origin, options.Key)
	return &changes{options: options, store: store, verifier: verifier, now: now, changed: make(chan struct{})}, err
}

// VerifierKey implements feed.Source.
func (c *changes) VerifierKey() string { return c.verifier }

// Changed implements feed.Source.
func (c *changes) Changed() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.changed
}

// ring wakes who waits for a change. The change is in the store already.
func (c *changes) ring() {
	c.mu.Lock()
	defer c.mu.Unlock()
	close(c.changed)
	c.changed = make(chan struct{})
}

// Changes implements feed.Source.
func (c *changes) Changes(ctx context.Context, after uint64, limit int) ([]feed.Change, error) {
	return c.store.Changes(ctx, after, limit)
}

// Checkpoint implements feed.Source.
func (c *changes) Checkpoint(ctx context.Context) ([]byte, error) {
	now := c.now() // before the head is read: the checkpoint says what was known then
	epoch, hash, err := c.store.ChangeHead(ctx)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if age := now.Sub(c.at); c.signed != nil && (c.epoch > epoch || c.epoch == epoch && age >= 0 && age < c.options.Life/checkpointAge) {
		return c.signed, nil
	}
	signed, err := feed.Checkpoint{Origin: c.options.Origin, Epoch: epoch, Hash: hash, Expires: now.Add(c.options.Life), Signed: now}.Sign(c.options.Key)
	if err != nil {
		return nil, err
	}
	c.signed, c.epoch, c.at = signed, epoch, now
	return signed, nil
}
