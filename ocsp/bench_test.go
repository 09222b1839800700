package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/payca/payca/ocsp"
)

// writer is an http.ResponseWriter that costs as little as can be.
type writer struct{ header http.Header }

func (w *writer) Header() http.Header         { return w.header }
func (w *writer) WriteHeader(int)             {}
func (w *writer) Write(p []byte) (int, error) { return len(p), nil }

// BenchmarkResponder measures what the handler adds to net/http: from the cache, around a kept signature, and signed for one
// request; bare is a handler that writes as much and signature one signature alone.
func BenchmarkResponder(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	src := &book{}
	leaf, another := ca.leaf(b, 1), ca.leaf(b, 2)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	src.set("merchant", another, ocsp.Status{State: ocsp.Good})
	key := newKey(b, "P-256")
	signer, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: ca.cert, Certificate: ca.issue(b, 9, key.Public(), asDelegate), Key: key})
	if err != nil {
		b.Fatal(err)
	}
	cached := newResponder(b, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Issuers[0].Signer = func() *ocsp.Signer { return signer } })
	rebuilt := newResponder(b, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Cached = 1 })
	plain, other := request(b, leaf, ca.cert, crypto.SHA1, nil), request(b, another, ca.cert, crypto.SHA1, nil)
	body := post(cached, plain).Body.Bytes()
	bare := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/ocsp-response")
		_, _ = w.Write(body)
	})
	run := func(name string, h http.Handler, method, path string, ders ...[]byte) {
		b.Run(name, func(b *testing.B) {
			req := httptest.NewRequest(method, path, nil)
			w := &writer{header: http.Header{}}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				req.Body = io.NopCloser(bytes.NewReader(ders[i%len(ders)]))
				clear(w.header)
				h.ServeHTTP(w, req)
			}
		})
	}
	run("bare", bare, "POST", "/ocsp/merchant", plain)
	run("cachedPOST", cached, "POST", "/ocsp/merchant", plain)
	run("cachedGET", cached, "GET", "/ocsp/merchant/"+base64.StdEncoding.EncodeToString(plain), plain)
	run("rebuilt", rebuilt, "POST", "/ocsp/merchant", plain, other)
	run("live", cached, "POST", "/ocsp/merchant", request(b, leaf, ca.cert, crypto.SHA1, octets(16)))
	b.Run("signature", func(b *testing.B) {
		digest := make([]byte, 32)
		for b.Loop() {
			if _, err := key.Sign(rand.Reader, digest, crypto.SHA256); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkVerifyResponse(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	leaf := ca.leaf(b, 1)
	der := mustSign(b, ca.signer(b, "P-256"), epoch, nil, fresh(b, leaf, ca.cert))
	for b.Loop() {
		if _, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: epoch}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckerHit(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	leaf := ca.leaf(b, 1)
	staple := mustSign(b, ca.signer(b, "P-256"), epoch, nil, fresh(b, leaf, ca.cert))
	for name, staple := range map[string][]byte{"staple": staple, "memory": nil} {
		b.Run(name, func(b *testing.B) {
			c, err := ocsp.NewChecker(ocsp.CheckerConfig{Now: fixed(epoch), Mode: ocsp.SoftFail})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Check(b.Context(), leaf, ca.cert, staple); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCRL(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	list := manyEntries(100_000)
	der := ca.signCRL(b, ca.crl(1), list...)
	b.Run("Write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := ca.crl(1).Write(io.Discard, entries(list...), ca.sign); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Scan", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ocsp.ScanCRL(bytes.NewReader(der), ca.cert, func(ocsp.Entry) error { return nil }); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ocsp.ParseCRL(der); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Lookup", func(b *testing.B) {
		l, err := ocsp.ParseCRL(der)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if _, ok := l.Lookup(list[777].Serial); !ok {
				b.Fatal("not found")
			}
		}
	})
}
