package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	maxReply   = 1 << 20
	maxAhead   = 1 << 20 // changes that are read before a checkpoint proves them
	retryFirst = 100 * time.Millisecond
	retryMost  = 10 * time.Second
)

// Config is what a [Client] is made from. URL and HTTP are needed.
type Config struct {
	URL    string           // of the status service, without a path
	Key    string           // verifies checkpoints; "" to ask URL for it, which must be https then
	HTTP   *http.Client     // trusts the service's certificate
	Now    func() time.Time // nil for time.Now
	Logger *slog.Logger     // nil for none

	// From is a checkpoint up to which the caller knows the list; nil to begin with the newest one.
	From *Checkpoint
	// Apply is given the next changes and the checkpoint that proves them, before the client tells of either; with no changes a
	// newer checkpoint. With it, Lookup finds nothing. What it returns an error for is given again. Nil for nobody.
	Apply func(changes []Change, checkpoint Checkpoint, signed []byte) error
}

// A Client follows a list of changes. It is safe for concurrent use.
type Client struct {
	cfg   Config
	state atomic.Pointer[state] // nil before the first checkpoint

	mu    sync.Mutex // held while what was read is taken in
	key   string     // verifies checkpoints; guarded by mu
	ahead ahead      // guarded by mu
	known sync.Map   // serial -> Change; the last of each since the client began
}

// state is what the newest checkpoint says that proves all before it.
type state struct {
	Checkpoint
	began time.Time // when the client's first checkpoint was asked for: what is older is not in its list
}

// ahead is what was read after the state, and is not proved yet.
type ahead struct {
	epoch   uint64
	hash    Hash
	changes []Change
}

// NewClient makes a client; it knows nothing before [Client.Run] or [Client.CatchUp].
func NewClient(cfg Config) (*Client, error) {
	if cfg.URL == "" || cfg.HTTP == nil {
		return nil, errors.New("new feed client: want URL and HTTP")
	}
	if cfg.Key == "" && !strings.HasPrefix(cfg.URL, "https://") {
		return nil, fmt.Errorf("new feed client: URL %s without a Key, want https to ask for the key", cfg.URL)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.URL = strings.TrimSuffix(cfg.URL, "/")
	return &Client{cfg: cfg, key: cfg.Key}, nil
}

// Run follows the list until ctx ends.
func (c *Client) Run(ctx context.Context) error {
	pause := retryFirst
	for ctx.Err() == nil {
		err := c.follow(ctx, maxWait)
		if err == nil {
			pause = retryFirst
			continue
		}
		c.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "status changes not read", slog.Any("err", err))
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, retryMost)
	}
	return nil
}

// CatchUp reads the list as far as an epoch that another party has seen, if that is further than the client has read.
func (c *Client) CatchUp(ctx context.Context, epoch uint64) error {
	for s := c.state.Load(); s == nil || s.Epoch < epoch; s = c.state.Load() {
		before := c.reach()
		if err := c.follow(ctx, 0); err != nil {
			return err
		}
		if s != nil && c.reach() == before && before < epoch {
			return fmt.Errorf("status changes up to %d were read, want %d: who says so is ahead of the status service", before, epoch)
		}
	}
	return nil
}

// Refresh reads the newest checkpoint.
func (c *Client) Refresh(ctx context.Context) error { return c.follow(ctx, 0) }

// Epoch returns how many changes the client has read, 0 before it is live.
func (c *Client) Epoch() uint64 {
	if s := c.state.Load(); s != nil {
		return s.Epoch
	}
	return 0
}

// Live reports whether the client has a checkpoint that holds, and since when it knows every change.
func (c *Client) Live() (since time.Time, ok bool) {
	s := c.state.Load()
	if s == nil {
		return time.Time{}, false
	}
	return s.began, c.cfg.Now().Before(s.Expires)
}

// Lookup returns the last change of a serial, in hexadecimal as math/big writes it, since the client began. One that
// revoked stands even when the client is not live any more.
func (c *Client) Lookup(serial string) (Change, bool) {
	change, ok := c.known.Load(serial)
	if !ok {
		return Change{}, false
	}
	return change.(Change), true
}

// reach is up to which epoch changes were read, proved or not.
func (c *Client) reach() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ahead.epoch
}

// follow reads the first checkpoint, or the next changes, for which it waits.
func (c *Client) follow(ctx context.Context, wait time.Duration) error {
	if c.state.Load() == nil {
		return c.begin(ctx)
	}
	after := c.reach()
	var reply Reply
	path := ChangesPath + "?after=" + strconv.FormatUint(after, 10) + "&wait=" + strconv.Itoa(int(wait.Seconds()))
	raw, err := c.get(ctx, path, wait)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return fmt.Errorf("reading status changes: %w", err)
	}
	return c.take(after, reply)
}

// begin reads the first checkpoint, or takes the one that is given.
func (c *Client) begin(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Load() != nil {
		return nil
	}
	if c.key == "" {
		raw, err := c.get(ctx, KeyPath, 0)
		if err != nil {
			return err
		}
		c.key = strings.TrimSpace(string(raw))
	}
	began := c.cfg.Now()
	if c.cfg.From != nil {
		c.set(&state{*c.cfg.From, began})
		return nil
	}
	raw, err := c.get(ctx, CheckpointPath, 0)
	if err != nil {
		return err
	}
	checkpoint, err := c.checkpoint(raw)
	if err != nil {
		return err
	}
	if c.cfg.Apply != nil {
		if err := c.cfg.Apply(nil, checkpoint, raw); err != nil {
			return err
		}
	}
	c.set(&state{checkpoint, began})
	return nil
}

// set makes the state the one that is told of; the caller holds mu.
func (c *Client) set(s *state) {
	c.ahead = ahead{epoch: s.Epoch, hash: s.Hash}
	c.state.Store(s)
}

// checkpoint reads one that holds; the caller holds mu.
func (c *Client) checkpoint(signed []byte) (Checkpoint, error) {
	checkpoint, err := ParseCheckpoint(signed, c.key)
	if err == nil && !c.cfg.Now().Before(checkpoint.Expires) {
		err = fmt.Errorf("checkpoint expired at %s, want one that holds", checkpoint.Expires.Format(time.RFC3339))
	}
	return checkpoint, err
}

// take checks that the changes lead from what was read to the checkpoint, and knows them from then on. What leads to no
// checkpoint yet is kept until one proves it; what contradicts one is read again from the last that did not.
func (c *Client) take(after uint64, reply Reply) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ahead.epoch != after { // another reader was faster
		return nil
	}
	now := c.state.Load()
	defer func() {
		if err != nil {
			c.ahead = ahead{epoch: now.Epoch, hash: now.Hash}
		}
	}()
	checkpoint, err := c.checkpoint([]byte(reply.Checkpoint))
	if err != nil {
		return err
	}
	next := ahead{epoch: after, hash: c.ahead.hash, changes: append(c.ahead.changes, reply.Changes...)}
	for _, change := range reply.Changes {
		if next.epoch++; change.Epoch != next.epoch {
			return fmt.Errorf("status change %d after %d, want the next", change.Epoch, next.epoch-1)
		}
		next.hash = next.hash.Next(change)
	}
	switch {
	case checkpoint.Epoch < next.epoch && !reply.More, checkpoint.Epoch < now.Epoch:
		return fmt.Errorf("checkpoint counts %d status changes after %d were seen: the list was put back", checkpoint.Epoch, next.epoch)
	case checkpoint.Epoch == next.epoch && next.hash != checkpoint.Hash:
		return fmt.Errorf("status changes up to %d have another hash than their checkpoint", next.epoch)
	case checkpoint.Epoch != next.epoch && len(next.changes) > maxAhead:
		return fmt.Errorf("%d status changes and no checkpoint of them, want one after at most %d", len(next.changes), maxAhead)
	case checkpoint.Epoch != next.epoch:
		c.ahead = next
		return nil
	case checkpoint.Signed.Before(now.Signed): // of a mirror that lags behind
		checkpoint.Signed, checkpoint.Expires = now.Signed, now.Expires
	}
	if c.cfg.Apply != nil {
		err = c.cfg.Apply(next.changes, checkpoint, []byte(reply.Checkpoint))
	} else {
		for _, change := range next.changes { // before the epoch moves: who sees it may rely on them
			c.known.Store(change.Serial, change)
		}
	}
	if err == nil {
		c.set(&state{checkpoint, now.began})
	}
	return err
}

func (c *Client) get(ctx context.Context, path string, wait time.Duration) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, wait+5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.cfg.URL+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.cfg.HTTP.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s, want 200", path, resp.Status)
	}
	return raw, nil
}
