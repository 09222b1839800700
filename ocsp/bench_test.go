package ocsp_test

import (
	"crypto"
	"encoding/base64"
	"net/http/httptest"
	"testing"

	"github.com/payca/payca/ocsp"
)

func BenchmarkParseRequest(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	der := request(b, ca.leaf(b, 1), ca.cert, crypto.SHA256, octets(32))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ocsp.ParseRequest(der); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponderCachedGET(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	src := &book{}
	leaf := ca.leaf(b, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(b, ca, src, nil)
	req := httptest.NewRequest("GET", "/ocsp/merchant/"+base64.StdEncoding.EncodeToString(request(b, leaf, ca.cert, crypto.SHA1, nil)), nil)
	b.ReportAllocs()
	for b.Loop() {
		r.ServeHTTP(httptest.NewRecorder(), req)
	}
}

func BenchmarkResponderLiveSignature(b *testing.B) {
	ca := newAuthority(b, "ca", "P-256")
	src := &book{}
	leaf := ca.leaf(b, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(b, ca, src, nil)
	der := request(b, leaf, ca.cert, crypto.SHA1, octets(16))
	for b.Loop() {
		post(r, der)
	}
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
	b.Run("TBS", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := ca.crl(1).TBS(entries(list...)); err != nil {
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
