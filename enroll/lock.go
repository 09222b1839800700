package enroll

import (
	"context"
	"errors"
	"fmt"
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
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &locked{dir: dir}
	return l, l.lock(ctx)
}

// lock waits until ctx ends for who has the lock.
func (l *locked) lock(ctx context.Context) error {
	f, err := os.OpenFile(filepath.Join(l.dir, lockFile), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	for err = tryLock(f); errors.Is(err, errLocked); err = tryLock(f) {
		timer := time.NewTimer(50 * time.Millisecond)
		select {
		case <-ctx.Done():
			timer.Stop()
			return errors.Join(fmt.Errorf("waiting for who changes the identity in %s: %w", l.dir, ctx.Err()), f.Close())
		case <-timer.C:
		}
	}
	if err != nil {
		return errors.Join(fmt.Errorf("locking the identity in %s: %w", l.dir, err), f.Close())
	}
	l.file = f
	return nil
}

// unlock lets others go on; more than once is once.
func (l *locked) unlock() {
	if l.file != nil {
		_ = l.file.Close() // which unlocks
		l.file = nil
	}
}
