package bench

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math/big"
	"runtime"
	"time"

	"github.com/payca/payca/ca"
	"github.com/payca/payca/ca/bulk"
	"github.com/payca/payca/ocsp"
)

// scale measures what status costs where there is a lot of it.
func scale(ctx context.Context, r *runner) error {
	if err := r.parsing(); err != nil {
		return err
	}
	if err := r.lists(); err != nil {
		return err
	}
	if err := r.index(ctx); err != nil || r.Certificates == 0 {
		return err
	}
	return r.revoking(ctx)
}

// parsing measures reading a request for a status.
func (r *runner) parsing() error {
	issuer, key, err := listIssuer()
	if err != nil {
		return err
	}
	serial := serialNumber(1)
	leaf := &x509.Certificate{SerialNumber: new(big.Int).SetBytes(serial[:]), RawIssuer: issuer.RawSubject, PublicKey: key.Public()}
	der, err := ocsp.NewRequest(leaf, issuer, crypto.SHA256, make([]byte, 32))
	if err != nil {
		return err
	}
	var req ocsp.Request
	parse := func(n int) error {
		for range n {
			if err := req.Parse(der); err != nil {
				return err
			}
		}
		return nil
	}
	n := r.n(1_000_000)
	costs, _, err := r.compare(n, parse)
	if err != nil {
		return err
	}
	objects, _, err := allocated(func() error { return parse(n) })
	r.add("parsing a request", float64(costs[0].cpu.Nanoseconds()), "ns", 150)
	r.add("parsing a request, allocations", float64(objects)/float64(n), "each", 0.01)
	return err
}

// lists measures writing a CRL beside what crypto/x509 takes for it.
func (r *runner) lists() error {
	issuer, key, err := listIssuer()
	if err != nil {
		return err
	}
	n := r.n(1_000_000)
	list := ocsp.CRL{Issuer: issuer, Number: 1, ThisUpdate: bulk.Epoch, NextUpdate: bulk.Epoch.AddDate(0, 0, 1)}
	ours := func(int) error {
		return list.Write(io.Discard, revoked(n), func(tbs func(io.Writer) error) ([]byte, error) {
			digest := sha256.New()
			if err := tbs(digest); err != nil {
				return nil, err
			}
			return key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
		})
	}
	template := &x509.RevocationList{Number: big.NewInt(1), ThisUpdate: list.ThisUpdate, NextUpdate: list.NextUpdate}
	for e, err := range revoked(n) {
		if err != nil {
			return err
		}
		template.RevokedCertificateEntries = append(template.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: new(big.Int).SetBytes(e.Serial), RevocationTime: e.At, ReasonCode: e.Reason,
		})
	}
	theirs := func(int) error {
		_, err := x509.CreateRevocationList(rand.Reader, template, issuer, key)
		return err
	}
	costs, ratios, err := r.compare(1, theirs, ours)
	if err != nil {
		return err
	}
	_, octets, err := allocated(func() error { return ours(1) })
	r.add("CRL of a million by crypto/x509, CPU", millis(costs[0].cpu), "ms", 0)
	r.add("CRL of a million, CPU", millis(costs[1].cpu), "ms", 0)
	r.add("CRL of a million over that of crypto/x509", ratios[1], "x", 0.05)
	r.add("CRL of a million, memory allocated in all", float64(octets)/(1<<20), "MB", 16)
	return err
}

// listIssuer is a CA that may sign lists.
func listIssuer() (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "list"}, NotBefore: bulk.Epoch, NotAfter: bulk.Epoch.AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCRLSign, SubjectKeyId: make([]byte, 20),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	c, err := x509.ParseCertificate(der)
	return c, key, err
}

// serialNumber is one of 16 octets, the greater the greater i is.
func serialNumber(i uint64) (serial [16]byte) {
	binary.BigEndian.PutUint64(serial[:], 0x4000_0000_0000_0000|i)
	binary.BigEndian.PutUint64(serial[8:], i*0x9e3779b97f4a7c15)
	return serial
}

// revoked yields n entries of a list without holding them.
func revoked(n int) iter.Seq2[ocsp.Entry, error] {
	reasons, start := []int{0, 1, 4, 5}, bulk.Epoch.Unix()
	return func(yield func(ocsp.Entry, error) bool) {
		var serial [16]byte
		for i := range n {
			serial = serialNumber(uint64(i))
			if !yield(ocsp.Entry{Serial: serial[:], At: time.Unix(start-int64(i), 0).UTC(), Reason: reasons[i%4]}, nil) {
				return
			}
		}
	}
}

// allocated is how much work allocates, also what it gives back.
func allocated(work func() error) (objects, octets uint64, err error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = work()
	runtime.ReadMemStats(&after)
	return after.Mallocs - before.Mallocs, after.TotalAlloc - before.TotalAlloc, err
}

// nothing is a Source that knows no certificate.
type nothing struct{}

func (nothing) Status(context.Context, string, []byte) (ocsp.Status, error) {
	return ocsp.Status{}, nil
}

// index measures the memory of statuses and looking them up.
func (r *runner) index(ctx context.Context) error {
	const issuer, page = "merchant", 1000
	before := anonymous()
	x, err := ocsp.NewIndex(ocsp.IndexConfig{Source: nothing{}, Issuers: []string{issuer}})
	if err != nil {
		return err
	}
	n := r.n(10_000_000)
	err = x.Fill(func(yield func([]ocsp.IndexEntry, error) bool) {
		for from := 0; from < n; from += page {
			var entries []ocsp.IndexEntry
			for i := from; i < min(n, from+page); i++ {
				serial := serialNumber(uint64(i))
				entries = append(entries, ocsp.IndexEntry{Issuer: issuer, Serial: serial[:], Status: ocsp.Status{State: ocsp.Good}})
			}
			if !yield(entries, nil) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	size := anonymous() - before
	asked := make([][16]byte, 1<<16) // as a request has its serial at hand
	for i := range asked {
		asked[i] = serialNumber(uint64(i) * 0x9e3779b1 % uint64(n))
	}
	turn := 0
	costs, _, err := r.compare(r.n(2_000_000), func(n int) error {
		for range n {
			turn++
			st, err := x.Status(ctx, issuer, asked[turn%len(asked)][:])
			if err != nil || st.State != ocsp.Good {
				return errors.Join(err, errors.New("the index forgot a certificate"))
			}
		}
		return nil
	})
	runtime.KeepAlive(x)
	r.add("ten million statuses, memory", float64(size)/1e6, "MB", 1300)
	r.add("looking one of them up, CPU", float64(costs[0].cpu.Nanoseconds()), "ns", 150)
	return err
}

// revoking measures a revocation durable: in a new network, and in one with a lot of certificates before and after they are revoked.
func (r *runner) revoking(ctx context.Context) (err error) {
	n := r.n(20)
	fresh, closeFresh, err := r.revoker(ctx, 0, 2*n*r.Pairs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFresh()) }()
	full, closeFull, err := r.revoker(ctx, r.Certificates, 2*n*r.Pairs)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeFull()) }()
	before, _, err := r.compare(n, fresh.revoke, full.revoke)
	if err != nil {
		return err
	}
	r.Progress("  revoking %d certificates", r.Certificates)
	// Few revocations share a commit, as in life: large ones would leave a long list of free pages for each later one to write.
	if err := bulk.Revoke(ctx, full.Store(), r.Certificates, 32); err != nil {
		return err
	}
	after, _, err := r.compare(n, fresh.revoke, full.revoke)
	if err != nil {
		return err
	}
	over := func(c []cost) float64 { return float64(c[1].wall) / float64(c[0].wall) }
	r.add("revoking in a new network", millis(before[0].wall), "ms", 0)
	r.add("revoking where --certificates are issued, none revoked", millis(before[1].wall), "ms", 0)
	r.add("revoking where so many are revoked", millis(after[1].wall), "ms", 0)
	r.add("the same, over a new network at that time", over(after), "x", 0)
	r.add("the same, over what it was before they were revoked", over(after)/over(before), "x", 1.25)
	return nil
}

// A revoker is a network with certificates that can be revoked.
type revoker struct {
	*site
	serials <-chan ca.Serial
}

// revoker serves a network with so many certificates, and n more to be revoked.
func (r *runner) revoker(ctx context.Context, most, n int) (v *revoker, closeSite func() error, err error) {
	s, closeSite, err := r.served(ctx)
	if err != nil {
		return nil, nil, err
	}
	if most > 0 {
		r.Progress("  issuing %d certificates", most)
	}
	if err := bulk.Load(ctx, s.Store(), most, 512); err != nil {
		return nil, nil, errors.Join(err, closeSite())
	}
	serials, err := s.some(ctx, n)
	if err != nil {
		return nil, nil, errors.Join(err, closeSite())
	}
	return &revoker{s, serials}, closeSite, nil
}

func (v *revoker) revoke(n int) error {
	for range n {
		if _, err := v.Revoke(context.Background(), ca.RevokeRequest{Serial: <-v.serials, Reason: ca.Superseded, By: "bench"}); err != nil {
			return err
		}
	}
	return nil
}

// some issues certificates that can be revoked.
func (s *site) some(ctx context.Context, n int) (<-chan ca.Serial, error) {
	p := party("revoked")
	if err := s.Register(ctx, p); err != nil {
		return nil, err
	}
	csrs, err := requests(n)
	if err != nil {
		return nil, err
	}
	serials := make(chan ca.Serial, n)
	return serials, together(n, callers, func() error {
		issued, err := s.Issue(ctx, ca.Request{Party: p.ID, CSR: <-csrs, Requester: "bench", Protocol: "token"})
		if err == nil {
			serials <- issued.Record.Serial
		}
		return err
	})
}
