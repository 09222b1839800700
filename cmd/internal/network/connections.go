package network

import (
	"container/list"
	"net"
	"net/http"
	"sync"
)

// maxConnections bounds the connections of a listener: those above it cost whoever has been silent for longest.
const maxConnections = 4096

// connections keeps a server's connections below a bound. The zero value is not usable; make one with newConnections.
type connections struct {
	most int

	mu     sync.Mutex
	open   map[net.Conn]*list.Element // its place in silent, nil while a request is served; owned by mu
	silent *list.List                 // of net.Conn, the longest silent first; owned by mu
}

func newConnections(most int) *connections {
	return &connections{most: most, open: map[net.Conn]*list.Element{}, silent: list.New()}
}

// watch is an http.Server's ConnState.
func (c *connections) watch(conn net.Conn, state http.ConnState) {
	if victim := c.note(conn, state); victim != nil {
		_ = victim.Close() // its own goroutine sees that
	}
}

// note keeps the books, and returns the connection that has to go.
func (c *connections) note(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.open[conn]; at != nil {
		c.silent.Remove(at)
	}
	switch state {
	case http.StateNew, http.StateIdle:
		c.open[conn] = c.silent.PushBack(conn)
	case http.StateActive:
		c.open[conn] = nil
	default:
		delete(c.open, conn)
		return nil
	}
	if len(c.open) <= c.most || c.silent.Len() == 0 {
		return nil
	}
	first := c.silent.Front()
	victim := first.Value.(net.Conn)
	c.silent.Remove(first)
	delete(c.open, victim)
	return victim
}
