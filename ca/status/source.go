package status

import (
	"context"
	"iter"

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
	case known.Revocation != nil:
		return ocsp.Status{
			State: ocsp.Revoked, Reason: int(known.Revocation.Reason),
			RevokedAt: known.Revocation.At, Since: known.Revocation.At,
		}, nil
	case known.Issued:
		return ocsp.Status{State: ocsp.Good}, nil
	}
	return ocsp.Status{}, nil
}

// entries turns revocations into CRL entries and leaves out what keep refuses.
func entries(revocations iter.Seq2[ca.Revocation, error], keep func(ca.Revocation) bool) iter.Seq2[ocsp.Entry, error] {
	return func(yield func(ocsp.Entry, error) bool) {
		for rev, err := range revocations {
			if err == nil && !keep(rev) {
				continue
			}
			entry := ocsp.Entry{Serial: rev.Serial.Int().Bytes(), At: rev.At, Reason: int(rev.Reason)}
			if !yield(entry, err) || err != nil {
				return
			}
		}
	}
}
