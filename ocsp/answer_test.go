package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	xocsp "golang.org/x/crypto/ocsp"

	"github.com/payca/payca/ocsp"
)

// ask returns the one status in the answer to a request by hash.
func ask(t *testing.T, r http.Handler, leaf, issuer *x509.Certificate, h crypto.Hash) ocsp.SingleResponse {
	t.Helper()
	body := post(r, request(t, leaf, issuer, h, nil)).Body.Bytes()
	if _, err := xocsp.ParseResponseForCert(body, leaf, issuer); err != nil && h == crypto.SHA1 {
		t.Errorf("x/crypto: %v", err)
	}
	list := singles(t, body)
	if len(list) != 1 {
		t.Fatalf("%d statuses, want 1", len(list))
	}
	return list[0]
}

func TestASignatureIsKeptLongerThanAnAnswer(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	now := atomic.Pointer[time.Time]{}
	set := func(at time.Time) { now.Store(&at) }
	set(epoch)
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) {
		cfg.Cached, cfg.Signatures, cfg.Retention, cfg.Now = 1, 3, time.Hour, func() time.Time { return *now.Load() }
	})
	leaves := []*x509.Certificate{ca.leaf(t, 1), ca.leaf(t, 2)}
	bodies := map[int][]byte{}
	for round := range 2 {
		for i, leaf := range leaves {
			src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
			rec := post(r, request(t, leaf, ca.cert, crypto.SHA1, nil))
			if _, err := xocsp.ParseResponseForCert(rec.Body.Bytes(), leaf, ca.cert); err != nil {
				t.Fatal(err)
			}
			if round > 0 && !bytes.Equal(bodies[i], rec.Body.Bytes()) {
				t.Errorf("certificate %d: another answer than before", i)
			}
			bodies[i] = rec.Body.Bytes()
		}
	}
	if st := r.Stats(); st.Good != 2 || st.Rebuilt != 2 {
		t.Errorf("signed %d, rebuilt %d, want 2 and 2", st.Good, st.Rebuilt)
	}
	set(epoch.Add(10 * time.Minute))
	rec := post(r, request(t, leaves[0], ca.cert, crypto.SHA1, nil))
	if got := rec.Header().Get("Cache-Control"); got != "max-age=300, public, no-transform, must-revalidate" || !bytes.Equal(rec.Body.Bytes(), bodies[0]) {
		t.Errorf("ten minutes later: got %q, want the same answer for 300 s", got)
	}
	src.set("merchant", leaves[1], ocsp.Status{State: ocsp.Revoked, RevokedAt: epoch, Since: epoch})
	r.Drop("merchant", leaves[1].SerialNumber.Bytes())
	if got := ask(t, r, leaves[1], ca.cert, crypto.SHA1); got.State != ocsp.Revoked {
		t.Errorf("after Drop: got %v, want revoked", got.State)
	}
	set(epoch.Add(31 * time.Minute))
	before := r.Stats().Good
	ask(t, r, leaves[0], ca.cert, crypto.SHA1)
	if r.Stats().Good != before+1 {
		t.Error("half of its time is over: want a new signature")
	}
}

func TestAnswersAreRenewedAhead(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	now := atomic.Pointer[time.Time]{}
	set := func(at time.Time) { now.Store(&at) }
	set(epoch)
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Now = func() time.Time { return *now.Load() } })
	wanted, idle := ca.leaf(t, 1), ca.leaf(t, 2)
	for _, leaf := range []*x509.Certificate{wanted, idle} {
		src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
		ask(t, r, leaf, ca.cert, crypto.SHA256)
	}
	first := ask(t, r, wanted, ca.cert, crypto.SHA256) // a hit
	r.Refresh(t.Context())
	if got := r.Stats(); got.Refreshed != 0 {
		t.Errorf("at once: renewed %d, want none", got.Refreshed)
	}
	set(epoch.Add(27*time.Minute + 29*time.Second)) // half of the 55 minutes that were left, less a second
	r.Refresh(t.Context())
	if got := r.Stats(); got.Refreshed != 1 {
		t.Errorf("before half of the time: renewed %d, want the one that was asked for", got.Refreshed)
	}
	set(epoch.Add(40 * time.Minute))
	hits := r.Stats().Hits
	if got := ask(t, r, wanted, ca.cert, crypto.SHA256); !got.ThisUpdate.After(first.ThisUpdate) || r.Stats().Hits != hits+1 {
		t.Errorf("got thisUpdate %v with %d hits, want a later one from the cache", got.ThisUpdate, r.Stats().Hits-hits)
	}
	// What cannot be renewed serves until its time is over.
	src.err = errors.New("disk")
	set(epoch.Add(54*time.Minute + 58*time.Second))
	r.Refresh(t.Context())
	if got := ask(t, r, wanted, ca.cert, crypto.SHA256); got.State != ocsp.Good {
		t.Errorf("with a broken source: got %v, want good while it serves", got.State)
	}
}

func TestSignersNameThemselves(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA-2048"} {
		ca := newAuthority(t, "merchant ca", kind)
		key := newKey(t, kind)
		delegate := ca.issue(t, 9000, key.Public(), asDelegate)
		for name, s := range map[string]ocsp.SignerConfig{
			"delegate by key":  {Issuer: ca.cert, Certificate: delegate, Key: key},
			"delegate by name": {Issuer: ca.cert, Certificate: delegate, Key: key, ByName: true},
			"issuer by key":    {Issuer: ca.cert, Certificate: ca.cert, Key: ca.key},
			"issuer by name":   {Issuer: ca.cert, Certificate: ca.cert, Key: ca.key, ByName: true},
		} {
			signer, err := ocsp.NewSigner(s)
			if err != nil {
				t.Fatal(kind, name, err)
			}
			src := &book{}
			r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Issuers[0].Signer = func() *ocsp.Signer { return signer } })
			leaf := ca.leaf(t, 1)
			src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
			for _, nonce := range [][]byte{nil, octets(16)} {
				body := post(r, request(t, leaf, ca.cert, crypto.SHA256, nonce)).Body.Bytes()
				v, err := ocsp.VerifyResponse(body, leaf, ca.cert, ocsp.VerifyOptions{Now: epoch, Nonce: nonce, RequireNonce: nonce != nil})
				if err != nil || v.State != ocsp.Good {
					t.Errorf("%s, %s: got %v, %v", kind, name, v.State, err)
				}
				resp, err := ocsp.ParseResponse(body)
				if err != nil || (resp.ResponderName != nil) != s.ByName || (len(resp.Certificates) == 0) != s.Certificate.Equal(ca.cert) {
					t.Errorf("%s, %s: responder %x, %d certificates, %v", kind, name, resp.ResponderName, len(resp.Certificates), err)
				}
			}
		}
	}
}

func TestWhatAnAnswerCanSay(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	good, compromised, never := ca.leaf(t, 1), ca.leaf(t, 2), ca.leaf(t, 3)
	src.set("merchant", good, ocsp.Status{State: ocsp.Good})
	src.set("merchant", compromised, ocsp.Status{
		State: ocsp.Revoked, Reason: 1, RevokedAt: epoch.Add(-time.Minute), Since: epoch.Add(-time.Minute), Invalidity: epoch.Add(-time.Hour),
	})
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.ExtendedRevoke, cfg.Retention = true, 24*time.Hour })
	if got := ask(t, r, good, ca.cert, crypto.SHA1); got.State != ocsp.Good || !got.ArchiveCutoff.Equal(epoch.Add(-24*time.Hour)) {
		t.Errorf("good: got %v, archive cutoff %v", got.State, got.ArchiveCutoff)
	}
	if got := ask(t, r, compromised, ca.cert, crypto.SHA1); got.State != ocsp.Revoked || !got.Invalidity.Equal(epoch.Add(-time.Hour)) || got.NeverIssued {
		t.Errorf("revoked: got %+v", got)
	}
	got := ask(t, r, never, ca.cert, crypto.SHA1)
	if got.State != ocsp.Revoked || got.Reason != 6 || !got.RevokedAt.Equal(time.Unix(0, 0)) || !got.NeverIssued || !got.ArchiveCutoff.IsZero() || !got.Invalidity.IsZero() {
		t.Errorf("never issued: got %+v, want revoked, on hold since 1970, and nothing else", got)
	}
	rec := post(r, request(t, never, ca.cert, crypto.SHA256, nil))
	if resp, err := ocsp.ParseResponse(rec.Body.Bytes()); err != nil || !resp.ExtendedRevoke || rec.Header().Get("Etag") != "" {
		t.Errorf("never issued: %v, ETag %q, want the extension and nothing that may be kept", err, rec.Header().Get("Etag"))
	}
	src.set("merchant", never, ocsp.Status{State: ocsp.Good}) // it is now
	if got := ask(t, r, never, ca.cert, crypto.SHA256); got.State != ocsp.Good {
		t.Errorf("issued since: got %v, want good", got.State)
	}
}

func TestSHA1CanBeRefused(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.RefuseSHA1 = true })
	if got := status(t, post(r, request(t, leaf, ca.cert, crypto.SHA1, nil)).Body.Bytes()); got != ocsp.Unauthorized {
		t.Errorf("SHA-1: got %v, want unauthorized", got)
	}
	if got := ask(t, r, leaf, ca.cert, crypto.SHA256); got.State != ocsp.Good {
		t.Errorf("SHA-256: got %v, want good", got.State)
	}
}

func TestWaitersAreBounded(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{})}
	g.status.Store(int64(ocsp.Good))
	r := newResponder(t, ca, g, func(cfg *ocsp.ResponderConfig) { cfg.Waiters = 2 })
	der := request(t, ca.leaf(t, 1), ca.cert, crypto.SHA256, nil)
	var wg sync.WaitGroup
	var served, put atomic.Int64
	for range 10 {
		wg.Go(func() {
			switch status(t, post(r, der).Body.Bytes()) {
			case ocsp.Successful:
				served.Add(1)
			case ocsp.TryLater:
				put.Add(1)
			}
		})
	}
	<-g.entered
	for deadline := time.Now().Add(20 * time.Second); put.Load() < 7 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	close(g.open)
	wg.Wait()
	if served.Load() != 3 || put.Load() != 7 {
		t.Errorf("served %d and put off %d, want the one that signs, two that wait, and 7", served.Load(), put.Load())
	}
}

func TestParseKeepsTheRoomOfARequest(t *testing.T) {
	ca := newAuthority(t, "ca", "P-256")
	id, other := certID(t, ca.leaf(t, 1), ca.cert, crypto.SHA256), certID(t, ca.leaf(t, 2), ca.cert, crypto.SHA1)
	two := rawRequest{ids: []ocsp.CertID{id, other}, exts: []rawExt{{id: nonceID, value: wrapped(16)}}}.der(t)
	one := rawRequest{ids: []ocsp.CertID{other}}.der(t)
	var r ocsp.Request
	for range 2 {
		if err := r.Parse(two); err != nil || len(r.CertIDs) != 2 || r.Nonce == nil {
			t.Fatal(r, err)
		}
		if err := r.Parse(one); err != nil || len(r.CertIDs) != 1 || r.Nonce != nil || r.CertIDs[0].Hash != crypto.SHA1 {
			t.Fatal(r, err)
		}
		if err := r.Parse(one[:20]); err == nil || len(r.CertIDs) != 0 {
			t.Fatal(r, err)
		}
	}
	if n := testing.AllocsPerRun(100, func() { _ = r.Parse(two) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}
