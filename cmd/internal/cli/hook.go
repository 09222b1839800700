package cli

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/payca/payca/enroll"
)

// hookTime bounds how long a hook may run.
const hookTime = 5 * time.Minute

// A hook is a command that runs after a certificate changed: a program and its arguments, for which no shell is asked.
type hook []string

// file is the file of an identity directory that names the certificate after which this hook ran last.
func (h hook) file(dir string) string {
	sum := sha256.Sum256([]byte(strings.Join(h, "\x00")))
	return filepath.Join(dir, fmt.Sprintf("hook-%x.done", sum[:6]))
}

// begin takes the certificate of dir for one that needs no hook any more, if there was no hook before.
func (h hook) begin(dir string, c *enroll.Credential) error {
	if len(h) == 0 {
		return nil
	}
	_, err := os.Stat(h.file(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return h.done(dir, c)
	}
	return err
}

// done records after which certificate the hook ran.
func (h hook) done(dir string, c *enroll.Credential) error {
	return enroll.WriteFile(h.file(dir), fmt.Appendf(nil, "%x\n", c.Leaf().SerialNumber), 0o644)
}

// after runs the hook for the certificate of dir, unless it ran for that one. So it runs once for each, and also for
// one whose process crashed before the hook had run. What the hook prints goes to standard error.
func (h hook) after(ctx context.Context, a *app, dir string, c *enroll.Credential) error {
	if len(h) == 0 {
		return nil
	}
	last, err := os.ReadFile(h.file(dir))
	if err != nil || strings.TrimSpace(string(last)) == fmt.Sprintf("%x", c.Leaf().SerialNumber) {
		return err
	}
	if err := h.run(ctx, a, dir, c); err != nil {
		return err
	}
	return h.done(dir, c)
}

func (h hook) run(ctx context.Context, a *app, dir string, c *enroll.Credential) error {
	ctx, cancel := context.WithTimeout(ctx, hookTime)
	defer cancel()
	absolute, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, h[0], h[1:]...)
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdout, cmd.Stderr = a.err, a.err
	// No names that start with PAYCA_: those would be flags to a payca that the hook calls.
	cmd.Env = append(os.Environ(), "RENEWED_DIR="+absolute, "RENEWED_PARTY="+c.Identity.Party, fmt.Sprintf("RENEWED_SERIAL=%x", c.Leaf().SerialNumber), "RENEWED_NOT_AFTER="+c.Leaf().NotAfter.UTC().Format(time.RFC3339))
	a.storyf("Running %s", strings.Join(h, " "))
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("the hook %q: %w", h[0], err)
	}
	return nil
}

// check finds the program before it is needed.
func (h hook) check() error {
	if len(h) == 0 {
		return nil
	}
	if _, err := exec.LookPath(h[0]); err != nil {
		return usageErrorf("the hook: %w", err)
	}
	return nil
}
