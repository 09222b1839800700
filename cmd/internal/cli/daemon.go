package cli

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/payca/payca/cmd/internal/config"
	"github.com/payca/payca/enroll"
)

// A daemon keeps identities fresh until it is told to stop.
type daemon struct {
	*app
	*renewOptions

	mu     sync.Mutex // guards ended, what is shown and what is written; hooks run one at a time
	ended  []error    // why identities came to their end
	logger *slog.Logger
}

// stay renews each identity when it is due. It ends when ctx ends, or when none is left that could be renewed. SIGHUP makes
// it read all files anew, at once.
func (o *renewOptions) stay(ctx context.Context, a *app, dirs []string) error {
	d := &daemon{app: a, renewOptions: o, logger: a.logger(config.Default("").Log)}
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	defer signal.Stop(hangUp)
	shown := map[string]*enroll.Credential{}
	for {
		round, cancel := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- d.run(round, dirs, shown) }()
		var err error
		again := false
		select {
		case err = <-done:
		case <-hangUp:
			again = true
			cancel()
			err = <-done
		}
		cancel()
		if !again || err != nil || ctx.Err() != nil {
			return err
		}
		a.storyf("Reading all files anew")
	}
}

// run keeps the identities until ctx ends. shown has the last certificate of each that was shown.
func (d *daemon) run(ctx context.Context, dirs []string, shown map[string]*enroll.Credential) error {
	d.ended = nil
	var sources []*enroll.Source
	for _, dir := range dirs {
		c, err := enroll.Open(dir)
		if err == nil {
			err = d.hook.begin(dir, c)
		}
		if err != nil {
			return err
		}
		if shown[dir] == nil {
			shown[dir] = c
			d.storyf("Keeping %s as %s until %s, renews after %s", c.Identity.Party, c.Identity.Role, c.Leaf().NotAfter.Format(timeLayout), enroll.RenewAfter(c.Leaf()).Format(timeLayout))
		}
		source, err := enroll.OpenSource(enroll.SourceConfig{Dir: dir, Logger: d.logger, EndExpired: true, Changed: d.changed(dir, shown)})
		if err != nil {
			return err
		}
		sources = append(sources, source)
	}
	var group sync.WaitGroup
	for _, source := range sources {
		group.Go(func() {
			if err := source.Run(ctx); err != nil {
				d.end(ctx, err)
			}
		})
	}
	group.Wait()
	if err := errors.Join(d.ended...); err != nil && ctx.Err() == nil {
		return fail(ExitInvalid, err, "enroll again, with a new token: payca enroll TOKEN")
	}
	return nil
}

// end records that an identity cannot be renewed any more, while others may be.
func (d *daemon) end(ctx context.Context, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = append(d.ended, err)
	d.logger.LogAttrs(ctx, slog.LevelError, "certificate has expired", slog.Any("err", err))
}

// changed does what is to be done for each certificate, and shows those that take the place of another.
func (d *daemon) changed(dir string, shown map[string]*enroll.Credential) func(context.Context, *enroll.Credential) error {
	return func(ctx context.Context, c *enroll.Credential) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		if err := d.exports.write(d.app, c); err != nil {
			return err
		}
		if err := d.hook.after(ctx, d.app, dir, c); err != nil {
			return err
		}
		if c.Leaf().Equal(shown[dir].Leaf()) {
			return nil
		}
		shown[dir] = c
		return d.showOutcome(c.Outcome(enroll.Renewed, dir))
	}
}
