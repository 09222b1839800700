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
}

// A Client follows a list of changes. It is safe for concurrent use.
type Client struct {
	cfg   Config
	state atomic.Pointer[state] // nil before the first checkpoint

	mu    sync.Mutex // held while what was read is taken in
	key   string     // verifies checkpoints; guarded by mu
	known sync.Map   // serial -> Change; the last of each since the client began
}

// state is what the newest checkpoint says.
type state struct {
	Checkpoint
	began time.Time // when the client's first checkpoint was asked for: what is older is not in its list
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
		if err := c.follow(ctx, 0); err != nil {
			return err
		}
		if now := c.state.Load(); now != nil && now.Epoch < epoch && s != nil && now.Epoch == s.Epoch {
			return fmt.Errorf("status changes up to %d were read, want %d: who says so is ahead of the status service", now.Epoch, epoch)
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

// follow reads the first checkpoint, or the next changes, for which it waits.
func (c *Client) follow(ctx context.Context, wait time.Duration) error {
	s := c.state.Load()
	if s == nil {
		return c.begin(ctx)
	}
	var reply Reply
	path := ChangesPath + "?after=" + strconv.FormatUint(s.Epoch, 10) + "&wait=" + strconv.Itoa(int(wait.Seconds()))
	raw, err := c.get(ctx, path, wait)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &reply); err != nil {
		return fmt.Errorf("reading status changes: %w", err)
	}
	return c.take(s, reply)
}

// begin reads the first checkpoint.
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
	raw, err := c.get(ctx, CheckpointPath, 0)
	if err != nil {
		return err
	}
	checkpoint, err := c.checkpoint(raw)
	if err != nil {
		return err
	}
	c.state.Store(&state{checkpoint, began})
	return nil
}

// checkpoint reads one that holds; the caller holds mu.
func (c *Client) checkpoint(signed []byte) (Checkpoint, error) {
	checkpoint, err := ParseCheckpoint(signed, c.key)
	if err == nil && !c.cfg.Now().Before(checkpoint.Expires) {
		err = fmt.Errorf("checkpoint expired at %s, want one that holds", checkpoint.Expires.Format(time.RFC3339))
	}
	return checkpoint, err
}

// take checks that the changes lead from what is known to the checkpoint, and knows them from then on.
func (c *Client) take(from *state, reply Reply) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	checkpoint, err := c.checkpoint([]byte(reply.Checkpoint))
	if err != nil {
		return err
	}
	now := c.state.Load()
	if now.Epoch > from.Epoch { // another reader was faster
		return nil
	}
	epoch, hash := now.Epoch, now.Hash
	for _, change := range reply.Changes {
		if epoch++; change.Epoch != epoch {
			return fmt.Errorf("status change %d after %d, want the next", change.Epoch, epoch-1)
		}
		hash = hash.Next(change)
	}
	switch {
	case checkpoint.Epoch < epoch && !reply.More, checkpoint.Epoch < now.Epoch:
		return fmt.Errorf("checkpoint counts %d status changes after %d were seen: the list was put back", checkpoint.Epoch, epoch)
	case checkpoint.Epoch == epoch && hash != checkpoint.Hash:
		return fmt.Errorf("status changes up to %d have another hash than their checkpoint", epoch)
	}
	for _, change := range reply.Changes { // before the epoch moves: who sees it may rely on them
		c.known.Store(change.Serial, change)
	}
	next := &state{Checkpoint{Origin: checkpoint.Origin, Epoch: epoch, Hash: hash, Expires: now.Expires}, now.began}
	if checkpoint.Epoch == epoch {
		next.Expires = checkpoint.Expires // of what is known wholly
	}
	c.state.Store(next)
	return nil
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
