package agent

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/payca/payca/enroll/problem"
	"github.com/payca/payca/payment"
)

// checkpointHeader tells the other side how many status changes this one knows, so that it does not act before it knows them.
const checkpointHeader = "Pay-Checkpoint"

// catchUpTime is how long an agent reads status changes that another one knows before it gives a message up.
const catchUpTime = 2 * time.Second

// announce writes the epoch of the agent's feed into a header.
func (a *Agent) announce(h http.Header) {
	if a.cfg.Feed != nil {
		h.Set(checkpointHeader, strconv.FormatUint(a.cfg.Feed.Epoch(), 10))
	}
}

// catchUp reads the status changes that the other side announced, before anything it says is acted on.
func (a *Agent) catchUp(ctx context.Context, h http.Header) error {
	text := h.Get(checkpointHeader)
	if a.cfg.Feed == nil || text == "" {
		return nil
	}
	epoch, err := strconv.ParseUint(text, 10, 62)
	if err != nil {
		return payment.Refuse(payment.BadJSON, checkpointHeader, strconv.Quote(clip(text)), "the number of an epoch")
	}
	if epoch <= a.cfg.Feed.Epoch() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	if err := a.cfg.Feed.CatchUp(ctx, epoch); err != nil {
		return &payment.Refusal{Code: payment.StatusUnknown, Field: checkpointHeader, Got: text + ", not read", Want: "an epoch that the status service tells; ask again", Err: err}
	}
	return nil
}

// following reads what callers announce, and announces, before the identity of the caller is looked at.
func (a *Agent) following(writer problem.Writer, next http.Handler) http.Handler {
	if a.cfg.Feed == nil {
		return next
	}
	return problem.Handler(writer, func(w http.ResponseWriter, r *http.Request) error {
		if err := a.catchUp(r.Context(), r.Header); err != nil {
			return err
		}
		a.announce(w.Header())
		next.ServeHTTP(w, r)
		return nil
	})
}

// mayAct refuses to do anything while the agent has no checkpoint that holds: then it cannot know who was revoked. What
// gives money back goes on.
func (a *Agent) mayAct(ctx context.Context, pattern string) error {
	if a.cfg.Feed == nil || strings.HasSuffix(pattern, "/void") || strings.HasSuffix(pattern, "/voids") {
		return nil
	}
	if _, live := a.cfg.Feed.Live(); live {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTime)
	defer cancel()
	err := a.cfg.Feed.Refresh(ctx)
	if _, live := a.cfg.Feed.Live(); live {
		return nil
	}
	return &payment.Refusal{Code: payment.StatusUnknown, Field: "checkpoint", Got: "none that holds", Want: "one of the status service; ask again", Err: err}
}
