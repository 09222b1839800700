package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// What one payment needs of transport and stores at least, as the agents have their roles.
const (
	bareExchanges = 17
	bareCommits   = 14
	bareStores    = 6       // one for each role
	bareRequest   = 2 << 10 // octets of a request, of an answer and of what a commit writes
)

// bare is transport and stores with nothing of ours: net/http over mutual TLS, and bbolt.
type bare struct {
	server *httptest.Server
	client *http.Client
	stores []*bbolt.DB
	dir    string
	turn   atomic.Uint64
}

func (r *runner) newBare(noSync bool) (b *bare, err error) {
	b = &bare{}
	if b.dir, err = os.MkdirTemp(r.Dir, "payca-bench-"); err != nil {
		return nil, err
	}
	for i := range bareStores {
		db, err := bbolt.Open(filepath.Join(b.dir, strconv.Itoa(i)), 0o600, &bbolt.Options{NoSync: noSync, FreelistType: bbolt.FreelistMapType})
		if err != nil {
			return nil, errors.Join(err, b.close())
		}
		b.stores = append(b.stores, db)
	}
	answer := bytes.Repeat([]byte{'x'}, bareRequest)
	b.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = w.Write(answer)
	}))
	b.server.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS13}
	b.server.StartTLS()
	pool := x509.NewCertPool()
	pool.AddCert(b.server.Certificate())
	b.client = &http.Client{Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: pool, Certificates: b.server.TLS.Certificates, MinVersion: tls.VersionTLS13},
		MaxIdleConnsPerHost: buyers,
	}}
	return b, nil
}

func (b *bare) close() error {
	var errs []error
	if b.server != nil {
		b.client.CloseIdleConnections()
		b.server.Close()
	}
	for _, db := range b.stores {
		errs = append(errs, db.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// do does what one payment needs.
func (b *bare) do(ctx context.Context) error {
	for range bareExchanges {
		if err := b.exchange(ctx); err != nil {
			return err
		}
	}
	for range bareCommits {
		if err := b.commit(); err != nil {
			return err
		}
	}
	return nil
}

func (b *bare) exchange(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.server.URL, bytes.NewReader(make([]byte, bareRequest)))
	if err != nil {
		return err
	}
	resp, err := b.client.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func (b *bare) commit() error {
	n := b.turn.Add(1)
	return b.stores[n%bareStores].Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("bare"))
		if err != nil {
			return err
		}
		return bucket.Put(fmt.Appendf(nil, "%016x", n), make([]byte, bareRequest))
	})
}
