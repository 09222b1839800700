package listen

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A calmListener accepts connections whose deadlines cost little. Servers of net/http move them nine times for a request; on
// the listener for status that is a tenth of what a cached answer costs.
type calmListener struct{ net.Listener }

// Accept implements net.Listener.
func (l calmListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &calm{Conn: conn}, nil
}

// precision is by how much a deadline may be missed.
const precision = time.Second

// calm is a connection that is told a deadline when a read or write begins that it is for, unless the one that it has is
// nearly the same. Reads and writes under way are told at once.
type calm struct {
	net.Conn
	read, write deadline
	known       *connection // in the books of the server, nil before it is
}

// A deadline is that of one direction, in time since begun. It takes no lock unless there is something to tell.
type deadline struct {
	wanted atomic.Int64
	set    atomic.Int64 // what the connection was told; changed under mu
	busy   atomic.Int64 // reads or writes under way
	mu     sync.Mutex
}

// never is no deadline. As a time it is when the process began, which is nobody's deadline.
const never = 0

// begun is what deadlines are counted from, so that they keep the steady clock that time.Now has.
var begun = time.Now()

// want notes a deadline. Either it sees that a read or write is under way, or that one sees the deadline when it begins.
func (d *deadline) want(t time.Time, tell func(time.Time) error) error {
	at := int64(never)
	if !t.IsZero() {
		at = int64(t.Sub(begun))
	}
	d.wanted.Store(at)
	if d.busy.Load() == 0 {
		return nil
	}
	return d.tell(tell)
}

// begin tells the connection what it has to know for a read or write.
func (d *deadline) begin(tell func(time.Time) error) error {
	d.busy.Add(1)
	return d.tell(tell)
}

func (d *deadline) end() { d.busy.Add(-1) }

// tell tells the connection until it knows what is wanted, which may move meanwhile: who finds it told goes on without the lock.
func (d *deadline) tell(tell func(time.Time) error) error {
	if near(d.wanted.Load(), d.set.Load()) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for {
		at := d.wanted.Load()
		if near(at, d.set.Load()) {
			return nil
		}
		d.set.Store(at)
		var t time.Time
		if at != never {
			t = begun.Add(time.Duration(at))
		}
		if err := tell(t); err != nil {
			return err
		}
	}
}

// near reports whether two deadlines are as good as one.
func near(a, b int64) bool {
	if a == never || b == never {
		return a == b
	}
	return time.Duration(a-b).Abs() < precision
}

// Read implements net.Conn.
func (c *calm) Read(p []byte) (int, error) {
	defer c.read.end()
	if err := c.read.begin(c.Conn.SetReadDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Read(p)
}

// Write implements net.Conn.
func (c *calm) Write(p []byte) (int, error) {
	defer c.write.end()
	if err := c.write.begin(c.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
}

// ReadFrom implements io.ReaderFrom, by which the system sends files.
func (c *calm) ReadFrom(r io.Reader) (int64, error) {
	defer c.write.end()
	if err := c.write.begin(c.Conn.SetWriteDeadline); err != nil {
		return 0, err
	}
	return io.Copy(c.Conn, r)
}

// SetReadDeadline implements net.Conn.
func (c *calm) SetReadDeadline(t time.Time) error { return c.read.want(t, c.Conn.SetReadDeadline) }

// SetWriteDeadline implements net.Conn.
func (c *calm) SetWriteDeadline(t time.Time) error { return c.write.want(t, c.Conn.SetWriteDeadline) }

// SetDeadline implements net.Conn.
func (c *calm) SetDeadline(t time.Time) error {
	if err := c.SetReadDeadline(t); err != nil {
		return err
	}
	return c.SetWriteDeadline(t)
}
