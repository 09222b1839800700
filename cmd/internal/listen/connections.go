package listen

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// maxConnections bounds the connections of a listener: those above it cost whoever has been silent for longest.
const maxConnections = 4096

// connections keeps a server's connections below a bound. The zero value is not usable; make one with newConnections.
type connections struct {
	most int

	mu    sync.Mutex
	open  map[net.Conn]*list.Element // its place in turns; owned by mu
	turns *list.List                 // of *connection, those of which nothing was heard for longest first; owned by mu
}

// A connection is one that is open.
type connection struct {
	net.Conn
	busy  atomic.Bool // a request is served
	moved time.Time   // when it went to the end of the turns; of the goroutine that serves it
}

// precise is how exactly it is known who has been silent for longest: whoever says something more often does not wait for the
// books each time.
const precise = time.Second

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}, turns: list.New()}
}

// watch is an http.Server's ConnState.
func (c *connections) watch(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		_ = victim.Close() // its own goroutine sees that
	}
}

// note keeps the books, and returns the connection that has to go.
func (c *connections) note(conn net.Conn, state http.ConnState) net.Conn {
	quick, ok := conn.(*calm)
	if ok && quick.known != nil && quick.known.heard(state) {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch at := c.open[conn]; {
	case at != nil && (state == http.StateActive || state == http.StateIdle):
		at.Value.(*connection).busy.Store(state == http.StateActive)
		c.turns.MoveToBack(at)
	case at != nil:
		c.forget(at)
	case state == http.StateNew:
		known := &connection{Conn: conn}
		c.open[conn] = c.turns.PushBack(known)
		if ok {
			quick.known = known
		}
	}
	if len(c.open) <= c.most {
		return nil
	}
	for at := c.turns.Front(); at != nil; at = at.Next() {
		if known := at.Value.(*connection); !known.busy.Load() {
			c.forget(at)
			return known.Conn
		}
	}
	return nil
}

// heard notes a state, and reports whether the books can stay as they are.
func (c *connection) heard(state http.ConnState) bool {
	if state != http.StateActive && state != http.StateIdle {
		return false
	}
	c.busy.Store(state == http.StateActive)
	if time.Since(c.moved) < precise {
		return true
	}
	c.moved = time.Now()
	return false
}

func (c *connections) forget(at *list.Element) {
	delete(c.open, c.turns.Remove(at).(*connection).Conn)
}
