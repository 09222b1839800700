package agent

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/payca/payca/enroll/mtls"
)

// atTheDoor is the status checker of handshakes: each request is checked again by that of its own.
func (a *Agent) atTheDoor() mtls.StatusChecker {
	if a.cfg.Enquiry != nil {
		return a.cfg.Enquiry
	}
	return a.cfg.Status
}

// drain waits for everything that runs. The first error, or the end of ctx, ends the rest.
func drain(ctx context.Context, cancel func(), ended <-chan error, running int, servers []*http.Server) (err error) {
	for range running {
		if failed := <-ended; err == nil && failed != nil && !errors.Is(failed, context.Canceled) {
			err = failed
		}
		if ctx.Err() != nil || err != nil {
			cancel()
			for _, srv := range servers {
				_ = srv.Close() // what is under way is done again at the next start
			}
		}
	}
	return err
}

// lines passes what net/http has to say to the logger.
type lines struct{ logger *slog.Logger }

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	l.logger.LogAttrs(context.Background(), slog.LevelInfo, "connection refused", slog.String("err", strings.TrimSpace(string(p))))
	return len(p), nil
}
