package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"syscall"
)

// A crowd is connections to one server that one goroutine keeps busy and never sleeps over. What sleeps until its answer is
// there must be woken by the server that writes it, which on one machine, and more so on a virtual one, costs the server as
// much as the whole request: then a server that is slower than its clients would pay for it, and one that is faster would not.
type crowd struct{ askers []*asker }

// newCrowd opens so many connections to a server, over HTTP.
func newCrowd(ctx context.Context, server string, size int) (*crowd, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, err
	}
	c := &crowd{}
	for range size {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", u.Host)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		a := &asker{conn: conn, got: make([]byte, 0, maxAnswer)}
		c.askers = append(c.askers, a)
		if a.raw, err = conn.(syscall.Conn).SyscallConn(); err != nil {
			return nil, errors.Join(err, c.close())
		}
	}
	return c, nil
}

func (c *crowd) close() error {
	var errs []error
	for _, a := range c.askers {
		errs = append(errs, a.conn.Close())
	}
	return errors.Join(errs...)
}

// ask sends a request n times and wants each answered with the status.
func (c *crowd) ask(ctx context.Context, n int, request []byte, want int) error {
	for asked, done := 0, 0; done < n; {
		for _, a := range c.askers {
			if a.waits {
				answered, err := a.look(want)
				if err != nil {
					return err
				}
				if !answered {
					continue
				}
				a.waits = false
				done++
			}
			if asked == n {
				continue
			}
			if _, err := a.conn.Write(request); err != nil {
				return err
			}
			a.waits = true
			asked++
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// maxAnswer is how long an answer may be, with its header.
const maxAnswer = 64 << 10

// An asker is one connection of a crowd.
type asker struct {
	conn  net.Conn
	raw   syscall.RawConn
	got   []byte // of the answer
	waits bool   // for the answer
}

// look reads what is there, and reports whether that is the whole answer.
func (a *asker) look(want int) (answered bool, err error) {
	if len(a.got) == cap(a.got) {
		return false, fmt.Errorf("the server's answer has more than %d octets", maxAnswer)
	}
	n := 0
	failed := a.raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), a.got[len(a.got):cap(a.got)])
		return true // not to wait
	})
	switch {
	case failed != nil:
		return false, failed
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EINTR):
		return false, nil
	case err != nil:
		return false, err
	case n == 0:
		return false, fmt.Errorf("the server has closed after %d octets of its answer", len(a.got))
	}
	a.got = a.got[:len(a.got)+n]
	err = readAnswer(bufio.NewReader(bytes.NewReader(a.got)), want)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	a.got = a.got[:0]
	return true, nil
}
