package status

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

// A RootList is what a CRL of the root says.
type RootList struct {
	Number   uint64        // higher than that of every CRL of the root before
	Now      time.Time     // thisUpdate
	Validity time.Duration // from thisUpdate to nextUpdate
	Revoked  []ocsp.Entry  // issuing CAs, by ascending serial
}

// RootCRL has the ceremony sign a CRL of the root, and returns it in DER.
func RootCRL(ceremony *ca.Ceremony, list RootList) ([]byte, error) {
	now := list.Now.UTC().Truncate(time.Second)
	crl := ocsp.CRL{Issuer: ceremony.Root, Number: list.Number, ThisUpdate: now, NextUpdate: now.Add(list.Validity)}
	var der bytes.Buffer
	var entries iter.Seq2[ocsp.Entry, error] = func(yield func(ocsp.Entry, error) bool) {
		for _, e := range list.Revoked {
			if !yield(e, nil) {
				return
			}
		}
	}
	if err := crl.Write(&der, entries, ceremony.SignRootCRL); err != nil {
		return nil, err
	}
	if _, err := CheckRootCRL(ceremony.Root, der.Bytes(), nil); err != nil {
		return nil, err
	}
	return der.Bytes(), nil
}

// CheckRootCRL reads a CRL of the root and says whether it may follow the one before, nil for none: its number is
// higher, and everything that was revoked is. One that is the same may follow too.
func CheckRootCRL(root *x509.Certificate, der []byte, before *ocsp.List) (*ocsp.List, error) {
	list, err := ocsp.ParseCRL(der)
	if err != nil {
		return nil, err
	}
	if err := list.CheckSignatureFrom(root); err != nil {
		return nil, err
	}
	if list.Delta || list.URIs != nil || list.OnlyUser {
		return nil, errors.New("CRL: a part of the root's list, want the whole")
	}
	if before == nil {
		return list, nil
	}
	if list.Number < before.Number || list.Number == before.Number && !list.ThisUpdate.Equal(before.ThisUpdate) {
		return nil, fmt.Errorf("the root's CRL has number %d, want more than %d, which was published", list.Number, before.Number)
	}
	for e := range before.All() {
		if _, still := list.Lookup(e.Serial); !still {
			return nil, fmt.Errorf("the root's CRL does not list %x, want everything that was revoked", e.Serial)
		}
	}
	return list, nil
}

// rootCRL is the CRL of the root as it is served.
type rootCRL struct {
	file
	list *ocsp.List
}

// loadRootCRL serves the CRL of the root if it is another than before. One that may not follow is refused, and the one before
// is served on.
func (s *Service) loadRootCRL(ctx context.Context) error {
	der, err := s.cfg.RootCRL()
	if err != nil {
		return fmt.Errorf("reading the root's CRL: %w", err)
	}
	before := s.root.Load()
	var stands *ocsp.List
	if before != nil {
		if bytes.Equal(before.body, der) {
			return nil
		}
		stands = before.list
	}
	list, err := CheckRootCRL(s.cfg.Root, der, stands)
	if err != nil {
		return fmt.Errorf("loading the root's CRL: %w", err)
	}
	if before != nil {
		if err := s.authority.RecordRootCRL(ctx, list.Number); err != nil {
			return fmt.Errorf("recording the root's CRL: %w", err)
		}
		s.cfg.Logger.LogAttrs(ctx, slog.LevelInfo, "root crl renewed", slog.Uint64("number", list.Number), slog.Time("next_update", list.NextUpdate))
	}
	s.root.Store(&rootCRL{file: newFile("application/pkix-crl", der, list.ThisUpdate, list.NextUpdate), list: list})
	return nil
}
