package bench

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
)

// connections is how many the loader keeps open: more than there are processors, so that a server always has something to do.
const connections = 64

// Load is the process that loads a server: each line that it reads, METHOD URL COUNT BODY, the body in base64 or "-", is
// so many requests over kept-alive connections, answered by a line: ok, or what went wrong.
func Load(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // another would sleep until an answer is there
	servers := map[string]*crowd{}                  // by URL
	defer func() {
		for _, server := range servers {
			err = errors.Join(err, server.close())
		}
	}()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 64<<10)
	for lines.Scan() {
		answer := "ok"
		if err := load(ctx, servers, strings.Fields(lines.Text())); err != nil {
			answer = strings.ReplaceAll(err.Error(), "\n", " ")
		}
		if _, err := fmt.Fprintln(out, answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func load(ctx context.Context, servers map[string]*crowd, order []string) error {
	if len(order) != 4 {
		return fmt.Errorf("%d words, want METHOD URL COUNT BODY", len(order))
	}
	n, err := strconv.Atoi(order[2])
	if err != nil || n < 1 {
		return fmt.Errorf("count %q, want a number", order[2])
	}
	var body []byte
	if order[3] != "-" {
		if body, err = base64.StdEncoding.DecodeString(order[3]); err != nil {
			return err
		}
	}
	raw, err := request(ctx, order[0], order[1], "", body)
	if err != nil {
		return err
	}
	server, ok := servers[order[1]]
	if !ok {
		if server, err = newCrowd(ctx, order[1], connections); err != nil {
			return err
		}
		servers[order[1]] = server
	}
	if err := server.ask(ctx, n, raw, http.StatusOK); err != nil {
		delete(servers, order[1]) // its connections are in the middle of something
		return errors.Join(err, server.close())
	}
	return nil
}

// A loader is the running process of [Load].
type loader struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
}

func (r *runner) startLoader(ctx context.Context) (*loader, error) {
	if len(r.Loader) == 0 {
		return nil, errNoLoader
	}
	l := &loader{cmd: exec.CommandContext(ctx, r.Loader[0], r.Loader[1:]...)}
	var err error
	if l.in, err = l.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	l.out = bufio.NewReader(out)
	return l, l.cmd.Start()
}

// send has the process make n requests.
func (l *loader) send(method, url string, n int, body []byte) error {
	text := "-"
	if body != nil {
		text = base64.StdEncoding.EncodeToString(body)
	}
	if _, err := fmt.Fprintf(l.in, "%s %s %d %s\n", method, url, n, text); err != nil {
		return err
	}
	answer, err := l.out.ReadString('\n')
	if err == nil && answer != "ok\n" {
		err = errors.New(strings.TrimSpace(answer))
	}
	return err
}

func (l *loader) stop() error { return errors.Join(l.in.Close(), l.cmd.Wait()) }
