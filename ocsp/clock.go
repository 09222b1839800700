package ocsp

import (
	"fmt"
	"sync/atomic"
	"time"
)

// A clock guards against one that goes back: what was signed with the later time would contradict what is signed now.
type clock struct {
	now     func() time.Time
	highest atomic.Int64 // seconds since 1970
}

// read returns the time. It refuses one that lies more than clockSlack before another that it returned.
func (c *clock) read() (time.Time, error) {
	now := c.now()
	for {
		highest := c.highest.Load()
		switch {
		case now.Unix() < highest-int64(clockSlack/time.Second):
			return now, fmt.Errorf("the clock says %v, and said %v before: want one that does not go back; set it right, or start again if it was wrong before",
				now.UTC(), time.Unix(highest, 0).UTC())
		case now.Unix() <= highest || c.highest.CompareAndSwap(highest, now.Unix()):
			return now, nil
		}
	}
}
