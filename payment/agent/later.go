package agent

import (
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// laterThan is how long what was left to the next commit waits for one.
const laterThan = time.Second

// A later holds writes that need no commit of their own: should the process end before the next one, nothing is lost that is
// not done, or found out, again. The zero value is empty.
type later struct {
	mu     sync.Mutex
	writes map[place][]byte // guarded by mu
	timer  *time.Timer
	flush  func() // called laterThan after the first write
}

// A place is where a value goes; one that is nil removes what is there.
type place struct{ bucket, key string }

// add leaves a write to the next commit, in the place of one of the same key.
func (l *later) add(bucket []byte, key string, value []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.writes == nil {
		l.writes = map[place][]byte{}
	}
	l.writes[place{string(bucket), key}] = value
	if l.timer == nil {
		l.timer = time.AfterFunc(laterThan, l.flush)
	} else if len(l.writes) == 1 {
		l.timer.Reset(laterThan)
	}
}

// drop takes a write back.
func (l *later) drop(bucket []byte, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.writes, place{string(bucket), key})
}

// get returns the value that waits under a key, nil for one that is to be removed; false if nothing waits.
func (l *later) get(bucket []byte, key string) ([]byte, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	value, waits := l.writes[place{string(bucket), key}]
	return value, waits
}

// list returns what waits.
func (l *later) list() map[place][]byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.writes)
}

// settle forgets what was committed, unless it was replaced meanwhile.
func (l *later) settle(done map[place][]byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for at, value := range done {
		now, waits := l.writes[at]
		if waits && len(now) == len(value) && (len(value) == 0 || &now[0] == &value[0]) {
			delete(l.writes, at)
		}
	}
}

// defers writes what waits. It runs before what the transaction is for, which may write one of the keys anew.
func (tx *Tx) defers(writes map[place][]byte) error {
	for at, value := range writes {
		bucket := tx.bolt.Bucket([]byte(at.bucket))
		var err error
		if value == nil {
			err = bucket.Delete([]byte(at.key))
		} else {
			err = bucket.Put([]byte(at.key), value)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// flush commits what waits, if anything does.
func (a *Agent) flush(ctx context.Context) error {
	if len(a.later.list()) == 0 {
		return nil
	}
	return a.Write(ctx, func(*Tx) error { return nil })
}

// flushed is flush by the clock: what fails waits for the next commit.
func (a *Agent) flushed() {
	if err := a.flush(context.Background()); err != nil {
		a.cfg.Logger.LogAttrs(context.Background(), slog.LevelDebug, "put off", slog.Any("err", err))
	}
}
