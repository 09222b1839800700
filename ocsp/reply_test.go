package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/payca/payca/ocsp"
)

// awkwardRequest returns a request whose base64 holds plus, slash and padding.
func awkwardRequest(t *testing.T, ca *authority) (leaf *x509.Certificate, text string) {
	t.Helper()
	for serial := int64(0); !strings.Contains(text, "/") || !strings.Contains(text, "+") || !strings.Contains(text, "="); serial++ {
		leaf = ca.issue(t, serial, ca.key.Public(), nil)
		text = base64.StdEncoding.EncodeToString(request(t, leaf, ca.cert, crypto.SHA256, octets(int(serial)%5+40)))
	}
	return leaf, text
}

func TestResponderRoutes(t *testing.T) {
	t.Parallel()
	ca, bank := newAuthority(t, "merchant ca", "P-256"), newAuthority(t, "bank ca", "P-256")
	src := &book{}
	bankSigner := bank.signer(t, "P-256")
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) {
		cfg.Issuers = append(cfg.Issuers, ocsp.ResponderIssuer{Name: "bank", Certificate: bank.cert, Signer: func() *ocsp.Signer { return bankSigner }})
	})
	leaf, text := awkwardRequest(t, ca)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	long := base64.StdEncoding.EncodeToString(request(t, leaf, ca.cert, crypto.SHA512, octets(128)))
	tests := []struct {
		name, method, path string
		code               int
	}{
		{"raw base64", "GET", "/ocsp/merchant/" + text, 200},
		{"escaped base64", "GET", "/ocsp/merchant/" + url.QueryEscape(text), 200},
		{"plus escaped only", "GET", "/ocsp/merchant/" + strings.ReplaceAll(text, "+", "%2B"), 200},
		{"slash escaped only, lower case", "GET", "/ocsp/merchant/" + strings.ReplaceAll(text, "/", "%2f"), 200},
		{"without padding", "GET", "/ocsp/merchant/" + strings.TrimRight(text, "="), 200},
		{"leading double slash", "GET", "/ocsp/merchant//" + text, 200},
		{"double slash before everything", "GET", "//ocsp/merchant/" + text, 200},
		{"over 255 bytes", "GET", "/ocsp/merchant/" + long, 200},
		{"no issuer", "GET", "/ocsp/" + text, 200},
		{"HEAD", "HEAD", "/ocsp/merchant/" + text, 200},
		{"no base64", "GET", "/ocsp/merchant/M!", 400},
		{"nothing asked", "GET", "/ocsp/merchant", 400},
		{"nothing asked, no issuer", "GET", "/ocsp", 400},
		{"huge", "GET", "/ocsp/merchant/M" + strings.Repeat("A", 40000), 413},
		{"unknown issuer", "GET", "/ocsp/gateway/" + text, 404},
		{"elsewhere", "GET", "/crl/merchant", 404},
		{"almost", "GET", "/ocspx/merchant", 404},
		{"PUT", "PUT", "/ocsp/merchant", 405},
		{"POST below the issuer", "POST", "/ocsp/merchant/" + text, 404},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := serve(r, tt.method, tt.path, nil)
			if rec.Code != tt.code {
				t.Fatalf("got HTTP %d, want %d: %s", rec.Code, tt.code, rec.Body)
			}
			if rec.Code == 200 && tt.method == "GET" {
				if _, err := ocsp.VerifyResponse(rec.Body.Bytes(), leaf, ca.cert, ocsp.VerifyOptions{Now: epoch}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	rec := serve(r, "POST", "/ocsp/bank", request(t, leaf, ca.cert, crypto.SHA1, nil))
	if got := singles(t, rec.Body.Bytes()); len(got) != 1 || got[0].State != ocsp.Unknown {
		t.Errorf("under another issuer: got %+v, want one unknown", got)
	}
	rec = serve(r, "POST", "/ocsp", request(t, leaf, ca.cert, crypto.SHA1, nil))
	if v, err := ocsp.VerifyResponse(rec.Body.Bytes(), leaf, ca.cert, ocsp.VerifyOptions{Now: epoch}); err != nil || v.State != ocsp.Good {
		t.Errorf("without issuer: got %v, %v, want good", v.State, err)
	}
}

func TestResponderEchoesCertIDAndNonce(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(t, ca, src, nil)
	with := certID(t, leaf, ca.cert, crypto.SHA256)
	// The same CertID without the NULL parameters.
	raw := bytes.Replace(with.Raw, []byte("\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00"), []byte("\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01"), 1)
	raw[1] -= 2
	bare := ocsp.CertID{Raw: raw}
	for range 2 { // signed, then cached
		for _, id := range []ocsp.CertID{with, bare} {
			got := singles(t, post(r, rawRequest{ids: []ocsp.CertID{id}}.der(t)).Body.Bytes())
			if len(got) != 1 || !bytes.Equal(got[0].CertID.Raw, id.Raw) || got[0].State != ocsp.Good {
				t.Errorf("got %x, want %x, good", got[0].CertID.Raw, id.Raw)
			}
		}
	}
	if hits := r.Stats().Hits; hits != 2 {
		t.Errorf("got %d answers from the cache, want 2", hits)
	}
	for _, value := range [][]byte{wrapped(1), wrapped(16), wrapped(23), wrapped(128), octets(16)} {
		rec := post(r, rawRequest{ids: []ocsp.CertID{with}, exts: []rawExt{{id: nonceID, value: value}}}.der(t))
		resp, err := ocsp.ParseResponse(rec.Body.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(resp.Nonce, value) {
			t.Errorf("got nonce %x, want %x", resp.Nonce, value)
		}
		if cc := rec.Header().Get("Cache-Control"); !strings.HasPrefix(cc, "max-age=0") {
			t.Errorf("got Cache-Control %q, want max-age=0", cc)
		}
	}
}

func TestResponderHTTPCaching(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(t, ca, src, nil)
	path := "/ocsp/merchant/" + base64.StdEncoding.EncodeToString(request(t, leaf, ca.cert, crypto.SHA256, nil))
	rec := serve(r, "GET", path, nil)
	sum := sha256.Sum256(rec.Body.Bytes())
	want := map[string]string{
		"Content-Type":  "application/ocsp-response",
		"Cache-Control": "max-age=300, public, no-transform, must-revalidate",
		"Etag":          `"` + hex.EncodeToString(sum[:]) + `"`,
		"Last-Modified": "Sun, 01 Mar 2026 11:55:00 GMT",
		"Expires":       "Sun, 01 Mar 2026 12:55:00 GMT",
	}
	for name, value := range want {
		if got := rec.Header().Get(name); got != value {
			t.Errorf("%s: got %q, want %q", name, got, value)
		}
	}
	again := serve(r, "GET", path, nil, "If-None-Match", rec.Header().Get("Etag"))
	if again.Code != http.StatusNotModified || again.Body.Len() != 0 || again.Header().Get("Expires") == "" {
		t.Errorf("got HTTP %d with %d bytes, want 304 without", again.Code, again.Body.Len())
	}
	if other := serve(r, "GET", path, nil, "If-None-Match", `"x"`); other.Code != 200 {
		t.Errorf("another ETag: got HTTP %d, want 200", other.Code)
	}
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Revoked, RevokedAt: epoch, Since: epoch})
	r.Drop("merchant", leaf.SerialNumber.Bytes())
	if after := serve(r, "GET", path, nil, "If-None-Match", rec.Header().Get("Etag")); after.Code != 200 {
		t.Errorf("after a revocation: got HTTP %d, want 200", after.Code)
	}
}

// RFC 9919 section 5: every answer has Content-Length, also a long one, one for HEAD, and one that is signed for its request.
func TestAnswersSayHowLongTheyAre(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	server := httptest.NewServer(newResponder(t, ca, src, nil))
	t.Cleanup(server.Close)
	short := request(t, leaf, ca.cert, crypto.SHA1, nil)
	many := rawRequest{ids: slices.Repeat([]ocsp.CertID{certID(t, leaf, ca.cert, crypto.SHA256)}, 32)}.der(t)
	text := "/" + url.PathEscape(base64.StdEncoding.EncodeToString(short))
	for _, tt := range []struct {
		name, method, path string
		body               []byte
	}{
		{"POST", "POST", "", short},
		{"with nonce", "POST", "", request(t, leaf, ca.cert, crypto.SHA1, octets(16))},
		{"32 statuses", "POST", "", many},
		{"refused", "POST", "", []byte{0x30, 3, 2, 1, 0}},
		{"GET", "GET", text, nil},
		{"HEAD", "HEAD", text, nil},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tt.method, server.URL+"/ocsp/merchant"+tt.path, bytes.NewReader(tt.body))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusOK || resp.ContentLength <= 0 || tt.method != "HEAD" && resp.ContentLength != int64(len(body)) {
			t.Errorf("%s: HTTP %d with Content-Length %d and %d octets, want 200 and how many they are", tt.name, resp.StatusCode, resp.ContentLength, len(body))
		}
		if tt.name == "32 statuses" && len(body) < 3000 {
			t.Errorf("%d octets, want a body that is long", len(body))
		}
	}
}
