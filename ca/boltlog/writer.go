package boltlog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
)

// maxBatch bounds how many operations share a commit.
const maxBatch = 512

// errClosed refuses writes after Close.
var errClosed = errors.New("the store is closed")

// errReadOnly refuses writes to a store opened by OpenReadOnly.
var errReadOnly = errors.New("the store is open for reading only")

// An operation is one caller's change. apply checks first and writes last: when it
// returns an error it has written nothing.
type operation struct {
	apply func(tx *bbolt.Tx) error
	err   error
	done  chan struct{}
}

// A writer is the goroutine that owns all writing.
type writer struct {
	db      *DB
	queue   chan *operation
	stopped chan struct{}
	last    int // how many operations the last commit served; run's alone

	mu     sync.RWMutex // held for reading while an operation is queued
	closed bool         // guarded by mu
}

func startWriter(d *DB) *writer {
	w := &writer{db: d, queue: make(chan *operation, maxBatch), stopped: make(chan struct{})}
	go w.run()
	return w
}

// Write queues a change and waits until it is on the disk. apply runs in the transaction
// of a commit that others share, perhaps more than once, and maybe still after ctx has ended; what it
// returns is returned. It checks first and writes last, or marks its error as the package comment says.
func (d *DB) Write(ctx context.Context, apply func(tx *bbolt.Tx) error) error {
	if d.writer == nil {
		return errReadOnly
	}
	return d.writer.do(ctx, apply)
}

func (w *writer) do(ctx context.Context, apply func(tx *bbolt.Tx) error) error {
	op := &operation{apply: apply, done: make(chan struct{})}
	if err := w.enqueue(ctx, op); err != nil {
		return err
	}
	select {
	case <-op.done:
		return op.err
	case <-ctx.Done():
		return fmt.Errorf("waiting for a commit, which may still happen: %w", ctx.Err())
	}
}

func (w *writer) enqueue(ctx context.Context, op *operation) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return errClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case w.queue <- op:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stop lets queued operations finish; it is false if the writer was stopped before.
func (w *writer) stop() bool {
	w.mu.Lock()
	was := w.closed
	w.closed = true
	if !was {
		close(w.queue)
	}
	w.mu.Unlock()
	<-w.stopped
	return !was
}

func (w *writer) run() {
	defer close(w.stopped)
	for op := range w.queue {
		batch := w.gather(op)
		w.last = len(batch)
		w.commit(batch)
	}
}

// How long a writer that is busy waits for company: a commit costs the processor as much as several operations.
const linger = 300 * time.Microsecond

// gather takes what is queued. A commit costs much more than an operation, so whoever is ready to run may first
// run on to where it queues one. Only a writer whose last commit served several waits a moment for those whom it
// served to come again: one caller alone never waits.
func (w *writer) gather(first *operation) []*operation {
	batch := []*operation{first}
	for yielded, lingered := false, false; len(batch) < maxBatch; {
		select {
		case next, ok := <-w.queue:
			if !ok {
				return batch
			}
			batch, yielded = append(batch, next), false
			continue
		default:
		}
		switch {
		case !yielded:
			runtime.Gosched()
			yielded = true
		case w.last > 1 && !lingered:
			time.Sleep(linger)
			lingered = true
		default:
			return batch
		}
	}
	return batch
}

// commit applies a batch in one transaction and tells every caller. An
// operation that fails after it began to write is taken out, and the
// transaction of the others starts again without it.
func (w *writer) commit(batch []*operation) {
	for len(batch) > 0 {
		broken := -1
		err := w.db.db.Update(func(tx *bbolt.Tx) (err error) {
			broken, err = w.apply(tx, batch)
			return err
		})
		if broken >= 0 {
			batch[broken].finish(batch[broken].err)
			batch = slices.Delete(batch, broken, broken+1)
			continue
		}
		if err == nil && w.db.cfg.AfterCommit != nil {
			err = w.db.cfg.AfterCommit()
		}
		for _, op := range batch {
			if err != nil {
				op.err = fmt.Errorf("committing: %w", err)
			}
			op.finish(op.err)
		}
		return
	}
}

// finish hands the outcome to the caller.
func (op *operation) finish(err error) {
	op.err = err
	close(op.done)
}

// apply does the whole batch and signs the new head. broken is the operation that
// spoilt the transaction, -1 for none.
func (w *writer) apply(tx *bbolt.Tx, batch []*operation) (broken int, err error) {
	before, err := logTx{tx}.Size()
	if err != nil {
		return -1, err
	}
	for i, op := range batch {
		op.err = op.apply(tx)
		if fatal := (*writeError)(nil); errors.As(op.err, &fatal) {
			return i, op.err
		}
	}
	after, err := logTx{tx}.Size()
	if err != nil {
		return -1, err
	}
	if after != before {
		if _, err := w.db.cfg.Log.Seal(logTx{tx}); err != nil {
			return -1, err
		}
	}
	if w.db.cfg.BeforeCommit != nil {
		return -1, w.db.cfg.BeforeCommit()
	}
	return -1, nil
}

// A writeError is an error met after an operation began to write: the
// transaction must start again without it.
type writeError struct{ err error }

// Error returns the cause's words.
func (e *writeError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *writeError) Unwrap() error { return e.err }

// Undo marks an error after which nothing of the operation may be committed. It is nil for nil.
func Undo(err error) error {
	if err == nil {
		return nil
	}
	return &writeError{err}
}

// Writing runs the writes of an operation, after its checks; the first error undoes all of them.
func Writing(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return Undo(err)
		}
	}
	return nil
}
