package network

import (
	"context"
	"encoding/hex"
	"log/slog"
	"time"
)

const (
	collectEvery = time.Hour
	collectBatch = 500 // tokens in one commit, which issuance waits for

	// tokenKept is how long a token is kept after its end, so that who comes late is still told by whom it was used.
	tokenKept = 24 * time.Hour
)

// collect deletes tokens that ended and settles requests that nobody approved in time, now and every hour, until ctx ends.
func (n *Network) collect(ctx context.Context) error {
	ticker := time.NewTicker(collectEvery)
	defer ticker.Stop()
	for {
		if err := n.collectOnce(ctx); err != nil && ctx.Err() == nil {
			n.logger.LogAttrs(ctx, slog.LevelError, "cannot collect what has ended", slog.Any("err", err))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func (n *Network) collectOnce(ctx context.Context) error {
	if err := n.authority.ExpireRequests(ctx); err != nil {
		return err
	}
	for {
		done, err := n.store.Collect(ctx, n.now().Add(-tokenKept), collectBatch)
		if err != nil || done < collectBatch {
			return err
		}
	}
}

// knowsToken says whether the CA handed out exactly the token with that id and SHA-256.
func (c *core) knowsToken(ctx context.Context, id string, sum [32]byte) bool {
	token, err := c.store.Token(ctx, id)
	return err == nil && token.Digest == hex.EncodeToString(sum[:])
}
