package enroll

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// lockFile is the file of an identity directory that is locked while its key or certificate is being changed.
const lockFile = ".lock"

// errLocked says that another process, or another goroutine, has the lock.
var errLocked = errors.New("locked")

// A locked is an identity directory that nobody else changes, so that two who find a certificate due renew it once, and
// two with one token enroll once. The lock of a process that died is free.
type locked struct {
	dir  string
	file *os.File // nil while it is not locked
}

// lockDir locks a directory, which it makes if it is not there.
func lockDir(ctx context.Context, dir string) (*locked, error) {
	l := &locked{dir: dir}
	return l, l.lock(ctx)
}

// lock waits until ctx ends for who has the lock.
func (l *locked) lock(ctx context.Context) error {
	for {
		f, err := l.try()
		if err == nil {
			l.file = f
			return nil
		}
		if !errors.Is(err, errLocked) {
			return fmt.Errorf("locking the identity in %s: %w", l.dir, err)
		}
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("waiting for who changes the identity in %s: %w", l.dir, ctx.Err())
		case <-timer.C:
		}
	}
}

// try locks the file that has the name now: who had it before may have removed it.
func (l *locked) try() (*os.File, error) {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(l.dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errLocked // the directory was removed just now
	}
	if err != nil {
		return nil, err
	}
	if err := tryLock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	mine, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	named, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(mine, named) {
		err = errLocked
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// unlock lets others go on, and leaves no directory that holds nothing but the lock; more than once is once.
func (l *locked) unlock() {
	if l.file == nil {
		return
	}
	if entries, err := os.ReadDir(l.dir); err == nil && len(entries) == 1 && entries[0].Name() == lockFile {
		_ = os.Remove(l.file.Name())
		_ = os.Remove(l.dir) // unless somebody has put something there
	}
	_ = l.file.Close() // which unlocks
	l.file = nil
}
