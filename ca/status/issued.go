package status

import (
	"context"
	"sync"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp/feed"
)

// pageSize is how many certificates a page of [Service.Issued] has at most.
const pageSize = 4000

// A bell wakes whoever waits for it. The zero bell is ready.
type bell struct {
	mu    sync.Mutex
	rings chan struct{} // closed when it rings; guarded by mu
}

// listen returns a channel that is closed when the bell rings next.
func (b *bell) listen() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings == nil {
		b.rings = make(chan struct{})
	}
	return b.rings
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.rings != nil {
		close(b.rings)
		b.rings = nil
	}
}

// OnIssue tells the service of a certificate that was issued. It is meant for ca.Config.OnIssue.
func (s *Service) OnIssue(string, ca.Serial) { s.issued.ring() }

// Issued returns the signed page of the certificates from a position of the log on, and the status of each; see feed.Page. If
// there are none it waits for one, for as long as wait. Without a feed it is [ca.ErrNotFound].
func (s *Service) Issued(ctx context.Context, from uint64, wait time.Duration) ([]byte, error) {
	if s.changes == nil {
		return nil, ca.ErrNotFound
	}
	next := s.issued.listen() // before the store is read
	page, err := s.page(ctx, from)
	if err == nil && len(page.Certificates) == 0 && wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-next:
			page, err = s.page(ctx, from)
		case <-timer.C:
			page.AsOf = s.cfg.Now()
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return page.Sign(s.cfg.Feed.Key)
}

// page reads the certificates from a position on.
func (s *Service) page(ctx context.Context, from uint64) (feed.Page, error) {
	page := feed.Page{Origin: s.cfg.Feed.Origin, From: from, Next: from, AsOf: s.cfg.Now()}
	filter := ca.Filter{Limit: pageSize}
	if from > 0 {
		filter.From, filter.After = true, from-1
	}
	for record, err := range s.cfg.Store.Certificates(ctx, filter) {
		if err != nil {
			return page, err
		}
		c := feed.Certificate{Issuer: record.Issuer, Serial: record.Serial.Int().Bytes(), State: feed.Good}
		if rev := record.Revocation; rev != nil {
			c.State, c.Reason, c.At, c.Invalidity = feed.Revoked, int(rev.Reason), rev.At, rev.Invalidity
			if rev.Reason == ca.CertificateHold {
				c.State = feed.Held
			}
		}
		page.Certificates = append(page.Certificates, c)
		page.Next = record.Index + 1
	}
	page.End = len(page.Certificates) < pageSize
	return page, nil
}
