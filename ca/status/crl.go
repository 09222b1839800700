package status

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ocsp"
)

// An issuer is what the service keeps for one issuing CA.
type issuer struct {
	name        string
	certificate *x509.Certificate
	signer      atomic.Pointer[ocsp.Signer]
	crl         atomic.Pointer[published]

	dirty atomic.Bool // a revocation is in no CRL yet

	mu sync.Mutex // held while a CRL is made, so that numbers appear in order
}

// published is a CRL as it is served.
type published struct {
	file
	number uint64
}

// Publish signs and serves a new full CRL of the named issuer and returns its number. It holds
// every revocation committed before the call. Expired certificates stay
// listed for one more validity, so at least one CRL past their end names them
// (RFC 5280 section 3.3).
func (s *Service) Publish(ctx context.Context, name string) (uint64, error) {
	is, ok := s.issuers[name]
	if !ok {
		return 0, fmt.Errorf("publishing a CRL of %q: %w", name, ca.ErrNotFound)
	}
	is.mu.Lock()
	defer is.mu.Unlock()
	published, err := s.publish(ctx, is)
	if err != nil {
		is.dirty.Store(true)
		return 0, err
	}
	return published, nil
}

// publish makes the CRL; the caller holds is.mu.
func (s *Service) publish(ctx context.Context, is *issuer) (uint64, error) {
	is.dirty.Store(false) // before the revocations are read, so that none slips through
	name := is.name
	now := s.cfg.Now().UTC().Truncate(time.Second)
	crl := ocsp.CRL{Issuer: is.certificate, ThisUpdate: now, NextUpdate: now.Add(s.cfg.CRLValidity)}
	keep := func(rev ca.Revocation) bool { return now.Before(rev.NotAfter.Add(s.cfg.CRLValidity)) }
	tbs, signature, err := s.authority.SignCRL(ctx, name, func(number uint64) ([]byte, error) {
		crl.Number = number
		return crl.TBS(entries(s.cfg.Store.Revocations(ctx, name), keep))
	})
	if err != nil {
		return 0, fmt.Errorf("signing the CRL of %s: %w", name, err)
	}
	der, err := crl.Assemble(tbs, signature)
	if err != nil {
		return 0, fmt.Errorf("assembling the CRL of %s: %w", name, err)
	}
	if err := selfCheck(der, crl, is.crl.Load()); err != nil {
		return 0, fmt.Errorf("checking the CRL of %s before publishing: %w", name, err)
	}
	is.crl.Store(&published{file: newFile("application/pkix-crl", der, now), number: crl.Number})
	return crl.Number, nil
}

// RootCRL has the ceremony sign an empty CRL of the root, which holds from now
// for the validity, and returns it in DER.
func RootCRL(ceremony *ca.Ceremony, number uint64, now time.Time, validity time.Duration) ([]byte, error) {
	now = now.UTC().Truncate(time.Second)
	crl := ocsp.CRL{Issuer: ceremony.Root, Number: number, ThisUpdate: now, NextUpdate: now.Add(validity)}
	tbs, err := crl.TBS(func(func(ocsp.Entry, error) bool) {})
	if err != nil {
		return nil, err
	}
	signature, err := ceremony.SignRootCRL(tbs)
	if err != nil {
		return nil, err
	}
	return crl.Assemble(tbs, signature)
}

// selfCheck reads a CRL back as a relying party would, before it replaces previous.
func selfCheck(der []byte, crl ocsp.CRL, previous *published) error {
	list, err := ocsp.ParseCRL(der)
	if err != nil {
		return err
	}
	if err := list.CheckSignatureFrom(crl.Issuer); err != nil {
		return err
	}
	if previous != nil && crl.Number <= previous.number {
		return fmt.Errorf("number %d, want more than %d", crl.Number, previous.number)
	}
	return nil
}

// A file is something served as it is, with its validators.
type file struct {
	contentType string
	body        []byte
	etag        string
	modified    time.Time
}

func newFile(contentType string, body []byte, modified time.Time) file {
	sum := sha256.Sum256(body)
	return file{contentType: contentType, body: body, etag: `"` + hex.EncodeToString(sum[:]) + `"`, modified: modified}
}

// serve answers GET and HEAD with caching headers; conditional requests get 304.
func (f file) serve(w http.ResponseWriter, r *http.Request, maxAge time.Duration) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("ETag", f.etag)
	header.Set("Cache-Control", "public, no-transform, must-revalidate, max-age="+strconv.Itoa(int(min(maxAge, 5*time.Minute).Seconds())))
	http.ServeContent(w, r, "", f.modified, bytes.NewReader(f.body))
}
