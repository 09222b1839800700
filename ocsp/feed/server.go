package feed

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// The paths of a feed.
const (
	ChangesPath    = "/v1/status/changes"    // ?after=EPOCH&wait=SECONDS
	CheckpointPath = "/v1/status/checkpoint" // the signed note
	KeyPath        = "/v1/status/key"        // the verifier key; to be asked for over TLS
)

const (
	maxWait    = 10 * time.Second // under what servers give a request to be read
	maxChanges = 1000             // in one reply
	maxWaiters = 20_000
)

// A Source has the list of changes.
type Source interface {
	// Checkpoint returns a signed checkpoint that holds.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Changes returns at most limit changes after an epoch, in order.
	Changes(ctx context.Context, after uint64, limit int) ([]Change, error)
	// Changed returns a channel that is closed at the next change. Read Changes after it, not before.
	Changed() <-chan struct{}
	// VerifierKey returns the key that checkpoints verify with.
	VerifierKey() string
}

// A Reply is the answer to GET /v1/status/changes. The changes lead to the checkpoint unless there are more.
type Reply struct {
	Checkpoint string   `json:"checkpoint"` // signed note, read after the changes
	Changes    []Change `json:"changes"`
	More       bool     `json:"more"` // ask again at once
}

// Handler serves a source.
func Handler(s Source) http.Handler {
	h := &handler{source: s}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+ChangesPath, h.changes)
	mux.HandleFunc("GET "+CheckpointPath, h.checkpoint)
	mux.HandleFunc("GET "+KeyPath, func(w http.ResponseWriter, _ *http.Request) { text(w, s.VerifierKey()+"\n") })
	return mux
}

type handler struct {
	source  Source
	waiting atomic.Int64
}

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(body)) // the client is gone if this does not work
}

func (h *handler) checkpoint(w http.ResponseWriter, r *http.Request) {
	signed, err := h.source.Checkpoint(r.Context())
	if err != nil {
		http.Error(w, "no checkpoint can be made now", http.StatusServiceUnavailable)
		return
	}
	text(w, string(signed))
}

func (h *handler) changes(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	after, err := strconv.ParseUint(query.Get("after"), 10, 62)
	if err != nil {
		http.Error(w, "after is "+strconv.Quote(query.Get("after"))+", want the number of an epoch", http.StatusBadRequest)
		return
	}
	wait := time.Duration(0)
	if given := query.Get("wait"); given != "" {
		seconds, err := strconv.ParseUint(given, 10, 16)
		if err != nil {
			http.Error(w, "wait is "+strconv.Quote(given)+", want seconds", http.StatusBadRequest)
			return
		}
		wait = min(maxWait, time.Duration(seconds)*time.Second)
	}
	reply, err := h.reply(r.Context(), after, wait)
	if err != nil {
		http.Error(w, "the list of changes cannot be read now", http.StatusServiceUnavailable)
		return
	}
	body, err := json.Marshal(reply)
	if err != nil {
		http.Error(w, "the list of changes cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(body) // the client is gone if this does not work
}

// reply waits for a change after an epoch for as long as wait.
func (h *handler) reply(ctx context.Context, after uint64, wait time.Duration) (Reply, error) {
	defer h.waiting.Add(-1)
	if h.waiting.Add(1) > maxWaiters {
		wait = 0 // they ask again, which costs less than to keep them
	}
	changed := h.source.Changed()
	list, err := h.source.Changes(ctx, after, maxChanges)
	if err == nil && len(list) == 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-changed:
			list, err = h.source.Changes(ctx, after, maxChanges)
		case <-timer.C:
		case <-ctx.Done():
			return Reply{}, ctx.Err()
		}
	}
	if err != nil {
		return Reply{}, err
	}
	signed, err := h.source.Checkpoint(ctx)
	if list == nil {
		list = []Change{}
	}
	return Reply{Checkpoint: string(signed), Changes: list, More: len(list) == maxChanges}, err
}
