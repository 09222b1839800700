package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// A forgery is an OCSP response of which every part can be wrong.
type forgery struct {
	ids                  [][]byte // CertIDs, DER
	states               []byte   // tags of the statuses, one for each CertID
	produced, this, next time.Time
	nonce                []byte // as sent
	critical             bool   // with an unknown critical extension
	version2             bool
	weak                 bool // signed with SHA-1
	key                  crypto.Signer
	responder            *x509.Certificate
	embed                []*x509.Certificate
}

// honest is the answer that a good responder gives to the request, by a delegate of the CA.
func honest(t *testing.T, n *network, req *ocsp.Request, key crypto.Signer, delegate *x509.Certificate) *forgery {
	t.Helper()
	f := &forgery{
		states: []byte{0x80}, produced: n.clock(), this: n.clock().Add(-5 * time.Minute), next: n.clock().Add(time.Hour),
		nonce: req.Nonce, key: key, responder: delegate, embed: []*x509.Certificate{delegate},
	}
	f.ids = [][]byte{bytes.Clone(req.CertIDs[0].Raw)}
	return f
}

func (f *forgery) der(t *testing.T) []byte {
	t.Helper()
	var data cryptobyte.Builder
	data.AddASN1(asn1.SEQUENCE, f.data)
	tbs := data.BytesOrPanic()
	hash, oid, digest := crypto.SHA256, []byte("\x2a\x86\x48\xce\x3d\x04\x03\x02"), sha256.New()
	if f.weak {
		hash, oid, digest = crypto.SHA1, []byte("\x2a\x86\x48\xce\x3d\x04\x01"), sha1.New()
	}
	digest.Write(tbs)
	signature, err := f.key.Sign(rand.Reader, digest.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	var out cryptobyte.Builder
	sequence := func(b *cryptobyte.Builder, build func(*cryptobyte.Builder)) { b.AddASN1(asn1.SEQUENCE, build) }
	context0 := asn1.Tag(0).ContextSpecific().Constructed()
	sequence(&out, func(b *cryptobyte.Builder) {
		b.AddASN1Enum(0)
		b.AddASN1(context0, func(b *cryptobyte.Builder) {
			sequence(b, func(b *cryptobyte.Builder) {
				b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte("\x2b\x06\x01\x05\x05\x07\x30\x01\x01")) })
				b.AddASN1(asn1.OCTET_STRING, func(b *cryptobyte.Builder) {
					sequence(b, func(b *cryptobyte.Builder) {
						b.AddBytes(tbs)
						sequence(b, func(b *cryptobyte.Builder) {
							b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes(oid) })
						})
						b.AddASN1BitString(signature)
						b.AddASN1(context0, func(b *cryptobyte.Builder) {
							sequence(b, func(b *cryptobyte.Builder) {
								for _, cert := range f.embed {
									b.AddBytes(cert.Raw)
								}
							})
						})
					})
				})
			})
		})
	})
	return out.BytesOrPanic()
}

// data appends ResponseData.
func (f *forgery) data(b *cryptobyte.Builder) {
	tag := func(n int) asn1.Tag { return asn1.Tag(n).ContextSpecific().Constructed() }
	if f.version2 {
		b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1Int64(1) })
	}
	spki := cryptobyte.String(f.responder.RawSubjectPublicKeyInfo)
	var body, bits cryptobyte.String
	if !spki.ReadASN1(&body, asn1.SEQUENCE) || !body.SkipASN1(asn1.SEQUENCE) || !body.ReadASN1(&bits, asn1.BIT_STRING) {
		panic("a mistake in the test")
	}
	sum := sha1.Sum(bits[1:])
	b.AddASN1(tag(2), func(b *cryptobyte.Builder) { b.AddASN1OctetString(sum[:]) })
	b.AddASN1GeneralizedTime(f.produced)
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for i, id := range f.ids {
			b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddBytes(id)
				b.AddASN1(asn1.Tag(f.states[i]), func(b *cryptobyte.Builder) {
					if f.states[i] == 0xa1 {
						b.AddASN1GeneralizedTime(f.this)
					}
				})
				b.AddASN1GeneralizedTime(f.this)
				if !f.next.IsZero() {
					b.AddASN1(tag(0), func(b *cryptobyte.Builder) { b.AddASN1GeneralizedTime(f.next) })
				}
			})
		}
	})
	if f.nonce == nil && !f.critical {
		return
	}
	b.AddASN1(tag(1), func(b *cryptobyte.Builder) {
		b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			add := func(oid string, critical bool, value []byte) {
				b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(asn1.OBJECT_IDENTIFIER, func(b *cryptobyte.Builder) { b.AddBytes([]byte(oid)) })
					if critical {
						b.AddASN1Boolean(true)
					}
					b.AddASN1OctetString(value)
				})
			}
			if f.nonce != nil {
				add("\x2b\x06\x01\x05\x05\x07\x30\x01\x02", false, f.nonce)
			}
			if f.critical {
				add("\x2a\x03\x04", true, []byte{5, 0})
			}
		})
	})
}

// asked reads the request that came by GET or POST.
func asked(t *testing.T, req *http.Request) *ocsp.Request {
	t.Helper()
	der, err := io.ReadAll(req.Body)
	if req.Method == http.MethodGet {
		path := req.URL.EscapedPath()
		text := must(url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:]))
		der, err = base64.StdEncoding.DecodeString(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := ocsp.ParseRequest(der)
	if err != nil {
		t.Fatal(err)
	}
	return &parsed
}

// A lie changes an honest answer.
type lie func(t *testing.T, n *network, f *forgery, leaf *x509.Certificate)

// by lets another certificate of the CA sign.
func by(edit func(*x509.Certificate)) lie {
	return func(t *testing.T, n *network, f *forgery, _ *x509.Certificate) {
		key := newKey(t, "P-256")
		f.key, f.responder = key, n.ca.issue(t, 77, key.Public(), func(c *x509.Certificate) { asDelegate(c); edit(c) })
		f.embed = []*x509.Certificate{f.responder}
	}
}

// What a responder may say that must not be believed: every way to be wrong, in an answer that is honest otherwise.
func TestCheckerBelievesNoBadResponder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		lie  lie
		want string // "" for unknown
	}{
		"an honest answer": {func(*testing.T, *network, *forgery, *x509.Certificate) {}, "good by ocsp"},
		"an honest answer of the CA itself": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.key, f.responder, f.embed = n.ca.key, n.ca.cert, nil
		}, "good by ocsp"},
		"the issuer among the certificates": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.embed = append(f.embed, n.ca.cert)
		}, "good by ocsp"},
		"wrong signer: a delegate of another CA of the same name": {func(t *testing.T, _ *network, f *forgery, _ *x509.Certificate) {
			twin, key := newAuthority(t, "merchant ca", "P-256"), newKey(t, "P-256")
			f.key, f.responder = key, twin.issue(t, 77, key.Public(), asDelegate)
			f.embed = []*x509.Certificate{f.responder}
		}, ""},
		"wrong signer: another key under the delegate's name": {func(t *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.key = newKey(t, "P-256") }, ""},
		"wrong signer: nobody included":                       {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.embed = nil }, ""},
		"wrong signer: another leaf of the CA":                {by(func(c *x509.Certificate) { c.ExtKeyUsage, c.ExtraExtensions = nil, nil }), ""},
		"wrong signer: a delegate that names no usage":        {by(func(c *x509.Certificate) { c.ExtKeyUsage = nil }), ""},
		"wrong signer: a delegate for any usage":              {by(func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageAny} }), ""},
		"wrong signer: a delegate without nocheck":            {by(func(c *x509.Certificate) { c.ExtraExtensions = nil }), ""},
		"wrong signer: a delegate that agrees only":           {by(func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), ""},
		"wrong signer: a delegate that is a CA":               {by(func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), ""},
		"wrong signer: a delegate that has expired (case 42)": {by(func(c *x509.Certificate) { c.NotAfter = epoch.Add(-time.Second) }), ""},
		"wrong signer: a delegate of the future":              {by(func(c *x509.Certificate) { c.NotBefore = epoch.Add(time.Hour) }), ""},
		"stale": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.this, f.next = n.clock().Add(-2*time.Hour), n.clock().Add(-6*time.Minute)
		}, ""},
		"future": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.this, f.produced = n.clock().Add(6*time.Minute), n.clock().Add(6*time.Minute)
		}, ""},
		"produced in the future": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) { f.produced = n.clock().Add(time.Hour) }, ""},
		"produced before it was right": {func(_ *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.produced = n.clock().Add(-time.Hour)
		}, ""},
		"nextUpdate before thisUpdate": {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.next = f.this.Add(-time.Second) }, ""},
		"missing nextUpdate":           {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.next = time.Time{} }, ""},
		"other serial": {func(t *testing.T, n *network, f *forgery, _ *x509.Certificate) {
			f.ids[0] = certID(t, n.ca.leaf(t, 9), n.ca.cert, crypto.SHA256).Raw
		}, ""},
		"other hash": {func(t *testing.T, n *network, f *forgery, leaf *x509.Certificate) {
			f.ids[0] = certID(t, leaf, n.ca.cert, crypto.SHA1).Raw
		}, ""},
		"other issuer": {func(t *testing.T, _ *network, f *forgery, _ *x509.Certificate) {
			twin := newAuthority(t, "merchant ca", "P-256")
			f.ids[0] = certID(t, twin.leaf(t, 1), twin.cert, crypto.SHA256).Raw
		}, ""},
		"no status": {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.ids = nil }, ""},
		"another nonce": {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) {
			f.nonce = append([]byte{4, 32}, octets(32)...)
		}, ""},
		"no nonce where one is wanted":  {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.nonce = nil }, ""},
		"an unknown critical extension": {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.critical = true }, ""},
		"version 2":                     {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.version2 = true }, ""},
		"signed with SHA-1":             {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.weak = true }, ""},
		"unknown":                       {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) { f.states[0] = 0x82 }, "denied"},
		"good, and revoked too": {func(_ *testing.T, _ *network, f *forgery, _ *x509.Certificate) {
			f.ids, f.states = append(f.ids, f.ids[0]), append(f.states, 0xa1)
		}, "revoked by ocsp"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			leaf, key := n.leaf(t, 1, true, false), newKey(t, "P-256")
			delegate := n.ca.issue(t, 9000, key.Public(), asDelegate)
			n.replace(func(w http.ResponseWriter, req *http.Request) {
				f := honest(t, n, asked(t, req), key, delegate)
				tt.lie(t, n, f, leaf)
				_, _ = w.Write(f.der(t))
			})
			if tt.want == "" {
				tt.want = "unknown"
			}
			for _, mode := range []ocsp.Mode{ocsp.HardFail, ocsp.SoftFail} {
				want := tt.want
				if mode == ocsp.SoftFail && want == "unknown" {
					want = "unknown by none"
				}
				c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.RequireNonce, cfg.Mode = true, mode })
				if got := outcome(c.Check(t.Context(), leaf, n.ca.cert, nil)); got != want {
					t.Errorf("%v: got %s, want %s", mode, got, want)
				}
			}
			// Nor is the same lie believed when it is stapled, except that a staple answers no nonce.
			plain := must(ocsp.ParseRequest(request(t, leaf, n.ca.cert, crypto.SHA256, nil)))
			f := honest(t, n, &plain, key, delegate)
			tt.lie(t, n, f, leaf)
			if _, err := ocsp.VerifyResponse(f.der(t), leaf, n.ca.cert, ocsp.VerifyOptions{Now: epoch, Hash: crypto.SHA256}); err != nil && tt.want == "good by ocsp" {
				t.Errorf("stapled: got %v, want good", err)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // a mistake in the test
	}
	return v
}

// How a responder may misbehave below what it says: none of it is believed, and none of it takes longer than its budget.
func TestCheckerBearsNoBadServer(t *testing.T) {
	t.Parallel()
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect to another host was followed") }))
	t.Cleanup(elsewhere.Close)
	status := func(code byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0x30, 3, 0x0a, 1, code}) }
	}
	drip := func(first []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			_, _ = w.Write(first)
			for req.Context().Err() == nil {
				if _, err := w.Write([]byte{0}); err != nil {
					return
				}
				_ = http.NewResponseController(w).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"slow: no answer":     func(_ http.ResponseWriter, req *http.Request) { <-req.Context().Done() },
		"slow: byte for byte": drip([]byte{0x30}),
		"huge": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 1<<20))
		},
		"huge, by the length it says": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x0a, 1, 0})
		},
		"redirecting to another host": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, http.StatusFound)
		},
		"redirecting to another scheme": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, "ftp://"+req.Host, http.StatusFound)
		},
		"redirecting in circles": func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, req.URL.String(), http.StatusFound)
		},
		"tryLater":                       status(3),
		"internalError":                  status(2),
		"unauthorized":                   status(6),
		"malformedRequest":               status(1),
		"an outcome that does not exist": status(4),
		"successful, and nothing else":   status(0),
		"a page of a captive portal":     func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>")) },
		"nothing":                        func(http.ResponseWriter, *http.Request) {},
		"500":                            func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "", 500) },
		"no HTTP: closes the connection": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"nesting ten thousand deep":      func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(bytes.Repeat([]byte{0x30, 0x80}, 10_000)) },
		"a body shorter than it promises": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "9000")
			_, _ = w.Write([]byte{0x30})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := newNetwork(t)
			leaf := n.leaf(t, 1, true, false)
			n.replace(handler)
			c := n.checker(t, func(cfg *ocsp.CheckerConfig) { cfg.Timeout, cfg.Budget = 400*time.Millisecond, 600*time.Millisecond })
			begun := time.Now()
			n.want(t, c, leaf, nil, "unknown")
			if took := time.Since(begun); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}
