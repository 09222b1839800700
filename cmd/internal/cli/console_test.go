package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// A command is one prompt of a console block with the output below it.
//
//	$ payca version
//	payca …
//
// A prompt may have a name, as in merchant$: each name has its own home and
// working directory. In output, "…" stands for anything on a line, and alone on a
// line for any lines. In a command, a word that ends in "…" stands for the newest word of
// earlier output that begins like it. A command that ends in "&" stays in the
// background; the next one waits until the output below it has appeared, and when the console
// ends, the command must end in good order on SIGTERM. A command must succeed, unless its output has a
// line that begins with "payca: error:".
type command struct {
	line int      // in the document, from 1
	name string   // of the prompt
	text string   // what follows the prompt
	want []string // output lines
}

var prompt = regexp.MustCompile(`^([a-z0-9-]*)\$ (.+)$`)

// parseConsole returns the commands of all console blocks of a Markdown document.
func parseConsole(markdown string) []command {
	var commands []command
	inside := false
	for i, line := range strings.Split(markdown, "\n") {
		switch found := prompt.FindStringSubmatch(line); {
		case strings.HasPrefix(line, "```"):
			inside = line == "```console"
		case inside && found != nil:
			commands = append(commands, command{line: i + 1, name: found[1], text: found[2]})
		case inside && len(commands) > 0:
			last := &commands[len(commands)-1]
			last.want = append(last.want, line)
		}
	}
	return commands
}

// matches reports whether the output lines are what is wanted.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if want[0] == "…" {
		return matches(want[1:], got) || len(got) > 0 && matches(want, got[1:])
	}
	return len(got) > 0 && matchLine(want[0], got[0]) && matches(want[1:], got[1:])
}

func matchLine(want, got string) bool {
	parts := strings.Split(strings.TrimRight(want, " "), "…")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile("^" + strings.Join(parts, ".*") + "$").MatchString(strings.TrimRight(got, " "))
}

// A console runs commands. Its strings are rewritten on the way in and out, so that a document can
// name the default ports while the test uses free ones.
type console struct {
	dir     string            // homes are below it
	env     []string          // added to the environment of every command
	rewrite map[string]string // in commands; backwards in their output
	seen    []string          // words of all output so far
	running []*background
}

// A background is a command that ends in "&".
type background struct {
	command
	cmd *exec.Cmd
	out *buffer
}

// A buffer is written by a command while the test reads it.
type buffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

// run runs one command and compares its output, standard output and error together.
func (c *console) run(ctx context.Context, cmd command) error {
	text, err := c.expand(cmd.text)
	if err != nil {
		return err
	}
	text, inBackground := strings.CutSuffix(text, " &")
	if inBackground {
		text = "exec " + text
	}
	home := filepath.Join(c.dir, cmd.name)
	if err := os.MkdirAll(home, 0o700); err != nil {
		return err
	}
	out := &buffer{}
	shell := exec.CommandContext(ctx, "sh", "-c", text)
	shell.Dir = home
	shell.Env = append(append(os.Environ(), "HOME="+home), c.env...)
	shell.Stdout, shell.Stderr = out, out
	shell.WaitDelay = 5 * time.Second
	if inBackground {
		if err := shell.Start(); err != nil {
			return err
		}
		c.running = append(c.running, &background{cmd, shell, out})
		return c.await(ctx, cmd, out)
	}
	err = shell.Run()
	got := c.lines(out.String())
	if !matches(cmd.want, got) {
		return fmt.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(cmd.want, "\n"))
	}
	refused := slices.ContainsFunc(cmd.want, func(l string) bool { return strings.HasPrefix(l, "payca: error:") })
	if refused && err == nil {
		return errors.New("got exit status 0, want failure")
	}
	if !refused && err != nil {
		return fmt.Errorf("got %w, want success", err)
	}
	return nil
}

// await waits for the wanted output of a command in the background.
func (c *console) await(ctx context.Context, cmd command, out *buffer) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		if got := c.lines(out.String()); matches(append(slices.Clone(cmd.want), "…"), got) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("got\n%s\nwithin 30 s, want\n%s", out.String(), strings.Join(cmd.want, "\n"))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// close ends what runs in the background, the newest first.
func (c *console) close() error {
	for _, b := range slices.Backward(c.running) {
		if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return fmt.Errorf("line %d: %s: ended before its end: %w\n%s", b.line, b.text, err, b.out)
		}
		if err := b.cmd.Wait(); err != nil {
			return fmt.Errorf("line %d: %s: got %w on SIGTERM, want a good end\n%s", b.line, b.text, err, b.out)
		}
	}
	return nil
}

var abbreviated = regexp.MustCompile(`\S+…`)

// expand completes the words that end in "…" and rewrites the text.
func (c *console) expand(text string) (string, error) {
	var err error
	text = abbreviated.ReplaceAllStringFunc(text, func(word string) string {
		start := strings.TrimSuffix(word, "…")
		for _, seen := range slices.Backward(c.seen) {
			if strings.HasPrefix(seen, start) {
				return seen
			}
		}
		err = fmt.Errorf("no earlier output has a word that begins with %q", start)
		return word
	})
	for from, to := range c.rewrite {
		text = strings.ReplaceAll(text, from, to)
	}
	return text, err
}

// lines splits output as the document shows it, and remembers its words.
func (c *console) lines(out string) []string {
	for from, to := range c.rewrite {
		out = strings.ReplaceAll(out, to, from)
	}
	c.seen = append(c.seen, strings.Fields(out)...)
	if out = strings.TrimSuffix(out, "\n"); out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}
