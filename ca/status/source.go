package status

import (
	"context"
	"log/slog"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

// source answers a responder from the store.
type source struct{ store ca.StatusStore }

// Status implements ocsp.Source.
func (s source) Status(ctx context.Context, issuer string, serial []byte) (ocsp.Status, error) {
	if len(serial) > len(ca.Serial{}) {
		return ocsp.Status{}, nil // longer than any serial we issue
	}
	var number ca.Serial
	copy(number[len(number)-len(serial):], serial)
	known, err := s.store.Status(ctx, issuer, number)
	switch {
	case err != nil:
		return ocsp.Status{}, err
	case known.Issued || known.Revocation != nil:
		status := statusOf(known.Revocation)
		if known.Revocation == nil {
			status.Since = known.Released
		}
		return status, nil
	}
	return ocsp.Status{}, nil
}

// warmPage is how many certificates are read into the index at a time.
const warmPage = 1000

// warmUp reads all statuses into the index. What fails is logged: the index asks the store for what it does not know.
func (s *Service) warmUp(ctx context.Context) {
	err := s.index.Load().Fill(func(yield func([]ocsp.IndexEntry, error) bool) {
		filter := ca.Filter{Limit: warmPage}
		for {
			page := make([]ocsp.IndexEntry, 0, warmPage)
			for record, err := range s.cfg.Store.Certificates(ctx, filter) {
				if err == nil {
					err = ctx.Err()
				}
				if err != nil {
					yield(nil, err)
					return
				}
				page = append(page, ocsp.IndexEntry{Issuer: record.Issuer, Serial: record.Serial.Int().Bytes(), Status: statusOf(record.Revocation)})
				filter.From, filter.After = true, record.Index
			}
			if !yield(page, nil) || len(page) < warmPage {
				return
			}
		}
	})
	if err != nil && ctx.Err() == nil {
		s.cfg.Logger.LogAttrs(ctx, slog.LevelWarn, "cannot read all statuses ahead", slog.Any("err", err))
	}
}

// statusOf is the status of a certificate that was issued; rev is nil while it is good.
func statusOf(rev *ca.Revocation) ocsp.Status {
	if rev == nil {
		return ocsp.Status{State: ocsp.Good}
	}
	return ocsp.Status{State: ocsp.Revoked, Reason: int(rev.Reason), RevokedAt: rev.At, Since: rev.At, Invalidity: rev.Invalidity}
}
