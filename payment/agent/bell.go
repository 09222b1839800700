package agent

import "sync"

// bells tell who waits that something changed. The zero value is ready.
type bells struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// wait returns a channel that is closed at the next ring.
func (b *bells) wait(name string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = map[string]chan struct{}{}
	}
	c := b.waiting[name]
	if c == nil {
		c = make(chan struct{})
		b.waiting[name] = c
	}
	return c
}

func (b *bells) ring(name string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.waiting[name]; c != nil {
		close(c)
		delete(b.waiting, name)
	}
}

// Wait returns a channel that is closed when the name is rung next. Look at the state after Wait, not before.
func (a *Agent) Wait(name string) <-chan struct{} { return a.bells.wait(name) }

// Ring wakes who waits for the name once the transaction is committed.
func (tx *Tx) Ring(name string) {
	tx.wake = append(tx.wake, func() { tx.agent.bells.ring(name) })
}
