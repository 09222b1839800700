package listen

import (
	"io"
	"net"
	"sync"
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
}

// A deadline is that of one direction.
type deadline struct {
	mu     sync.Mutex
	wanted time.Time // zero for none; guarded by mu
	set    time.Time // what the connection was told; guarded by mu
	busy   int       // reads or writes under way; guarded by mu
}

// want notes a deadline.
func (d *deadline) want(t time.Time, tell func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wanted = t
	if d.busy == 0 {
		return nil
	}
	return d.tell(tell)
}

// begin tells the connection what it has to know for a read or write.
func (d *deadline) begin(tell func(time.Time) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy++
	return d.tell(tell)
}

func (d *deadline) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.busy--
}

func (d *deadline) tell(tell func(time.Time) error) error {
	if d.wanted.IsZero() == d.set.IsZero() && d.wanted.Sub(d.set).Abs() < precision {
		return nil
	}
	d.set = d.wanted
	return tell(d.wanted)
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
