package listen

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// told notes the deadlines that a connection is told.
type told struct {
	net.Conn
	read, write []time.Time
}

func (c *told) SetReadDeadline(t time.Time) error {
	c.read = append(c.read, t)
	return c.Conn.SetReadDeadline(t)
}

func (c *told) SetWriteDeadline(t time.Time) error {
	c.write = append(c.write, t)
	return c.Conn.SetWriteDeadline(t)
}

func piped(t *testing.T) (*calm, *told, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	t.Cleanup(func() { _, _ = near.Close(), far.Close() })
	inner := &told{Conn: near}
	return &calm{Conn: inner}, inner, far
}

func TestADeadlineIsKept(t *testing.T) {
	t.Parallel()
	for name, expire := range map[string]func(c *calm) error{
		"set before a read": func(c *calm) error {
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"set during a read": func(c *calm) error {
			_ = c.SetReadDeadline(time.Now().Add(time.Hour))
			time.AfterFunc(20*time.Millisecond, func() { _ = c.SetReadDeadline(time.Unix(1, 0)) })
			_, err := c.Read(make([]byte, 1))
			return err
		},
		"set before a write": func(c *calm) error {
			_ = c.SetDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := c.Write(make([]byte, 1))
			return err
		},
		"set before a file": func(c *calm) error {
			_ = c.SetWriteDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := io.Copy(c, strings.NewReader("file"))
			return err
		},
		"past again after it was lifted": func(c *calm) error {
			for _, at := range []time.Time{time.Unix(1, 0), {}, time.Unix(1, 0)} {
				_ = c.SetWriteDeadline(at)
			}
			_, err := c.Write(make([]byte, 1))
			return err
		},
		"brought forward": func(c *calm) error {
			_ = c.SetReadDeadline(time.Now().Add(time.Hour))
			_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			_, err := c.Read(make([]byte, 1))
			return err
		},
	} {
		c, _, _ := piped(t)
		if err := expire(c); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: got %v, want the deadline to end it", name, err)
		}
	}
}

func TestADeadlineThatIsLiftedEndsNothing(t *testing.T) {
	t.Parallel()
	c, _, far := piped(t)
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("got %v", err)
	}
	_ = c.SetReadDeadline(time.Time{})
	go func() { _, _ = far.Write([]byte{7}) }()
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("got %d octets, %v, want one", n, err)
	}
}

// What net/http does for a request reaches the connection only where it matters.
func TestDeadlinesCostLittle(t *testing.T) {
	t.Parallel()
	c, inner, far := piped(t)
	go func() {
		for range 3 {
			_, _ = far.Write([]byte{1})
			_, _ = far.Read(make([]byte, 1))
		}
	}()
	for range 3 {
		_ = c.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		for _, at := range []time.Time{time.Now().Add(10 * time.Second), {}, time.Unix(1, 0), {}} {
			_ = c.SetReadDeadline(at)
		}
		_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
		if _, err := c.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		_ = c.SetWriteDeadline(time.Time{})
	}
	if len(inner.read) != 1 || len(inner.write) != 1 {
		t.Errorf("told %d deadlines of reads and %d of writes, want one of each", len(inner.read), len(inner.write))
	}
}
