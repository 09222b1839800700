package ocsp_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

func serve(h http.Handler, method, path string, body []byte, header ...string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, "http://ca.example", bytes.NewReader(body))
	u, err := url.Parse("http://ca.example" + path)
	if err != nil {
		panic(err) // a mistake in the test
	}
	req.URL = u
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, req)
	return rec
}

func post(h http.Handler, der []byte) *httptest.ResponseRecorder {
	return serve(h, http.MethodPost, "/ocsp/merchant", der)
}

// status reads the outcome of an answer that carries no status, Successful if it does.
func status(t *testing.T, body []byte) ocsp.ResponseStatus {
	t.Helper()
	_, err := ocsp.ParseResponse(body)
	var re *ocsp.ResponseError
	if errors.As(err, &re) {
		return re.Status
	}
	if err != nil {
		t.Fatalf("%v in %x", err, body)
	}
	return ocsp.Successful
}

func singles(t *testing.T, body []byte) []ocsp.SingleResponse {
	t.Helper()
	resp, err := ocsp.ParseResponse(body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.Singles
}

func TestResponderStates(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	good, held, never := ca.leaf(t, 1), ca.leaf(t, 2), ca.leaf(t, 3)
	src.set("merchant", good, ocsp.Status{State: ocsp.Good, Since: epoch.Add(-time.Hour)})
	src.set("merchant", held, ocsp.Status{State: ocsp.Revoked, Reason: 6, RevokedAt: epoch.Add(-time.Minute), Since: epoch.Add(-time.Minute)})
	r := newResponder(t, ca, src, nil)
	tests := []struct {
		name string
		leaf *x509.Certificate
		want ocsp.State
		this time.Time
	}{
		{"good since an hour: thisUpdate 5 minutes ago", good, ocsp.Good, epoch.Add(-5 * time.Minute)},
		{"held a minute ago: thisUpdate not before", held, ocsp.Revoked, epoch.Add(-time.Minute)},
		{"never issued is never good", never, ocsp.Unknown, epoch.Add(-5 * time.Minute)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, h := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
				rec := post(r, request(t, tt.leaf, ca.cert, h, nil))
				v, err := ocsp.VerifyResponse(rec.Body.Bytes(), tt.leaf, ca.cert, ocsp.VerifyOptions{Now: epoch, Hash: h})
				if err != nil {
					t.Fatal(err)
				}
				if v.State != tt.want || !v.ThisUpdate.Equal(tt.this) || !v.ProducedAt.Equal(epoch) || !v.NextUpdate.Equal(tt.this.Add(time.Hour)) {
					t.Errorf("%v: got %+v, want %v from %v", h, v, tt.want, tt.this)
				}
				if rec.Header().Get("Content-Type") != "application/ocsp-response" {
					t.Errorf("got type %q", rec.Header().Get("Content-Type"))
				}
				kept := rec.Header().Get("Etag") != ""
				if kept != (tt.want != ocsp.Unknown) {
					t.Errorf("got ETag %v for %v", kept, tt.want)
				}
			}
		})
	}
}

func TestResponderErrors(t *testing.T) {
	t.Parallel()
	ca, foreign := newAuthority(t, "merchant ca", "P-256"), newAuthority(t, "foreign ca", "P-256")
	twin := newAuthority(t, "merchant ca", "P-256") // same name, another key
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	r := newResponder(t, ca, src, nil)
	mine, other := certID(t, leaf, ca.cert, crypto.SHA1), certID(t, foreign.leaf(t, 1), foreign.cert, crypto.SHA1)
	twins := certID(t, twin.leaf(t, 1), twin.cert, crypto.SHA256)
	tests := []struct {
		name   string
		body   []byte
		code   int
		status ocsp.ResponseStatus
		states []ocsp.State
	}{
		{"wholly foreign", rawRequest{ids: []ocsp.CertID{other}}.der(t), 200, ocsp.Unauthorized, nil},
		{"two, one of a foreign issuer", rawRequest{ids: []ocsp.CertID{other, mine}}.der(t), 200, ocsp.Successful, []ocsp.State{ocsp.Unknown, ocsp.Good}},
		{"known name, another key", rawRequest{ids: []ocsp.CertID{twins}}.der(t), 200, ocsp.Successful, []ocsp.State{ocsp.Unknown}},
		{"two nonces", rawRequest{ids: []ocsp.CertID{mine}, exts: []rawExt{{id: nonceID, value: wrapped(9)}, {id: nonceID, value: wrapped(9)}}}.der(t), 200, ocsp.Malformed, nil},
		{"a sequence of nothing", []byte{0x30, 0}, 200, ocsp.Malformed, nil},
		{"HTML", []byte("<html>"), 400, 0, nil},
		{"nothing", nil, 400, 0, nil},
		{"over 8 KiB", append([]byte{0x30}, make([]byte, 9000)...), 413, 0, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			rec := post(r, tt.body)
			if rec.Code != tt.code {
				t.Fatalf("got HTTP %d, want %d", rec.Code, tt.code)
			}
			if cc := rec.Header().Get("Cache-Control"); tt.states == nil && cc != "no-store" {
				t.Errorf("got Cache-Control %q, want no-store", cc)
			}
			if tt.code != 200 {
				return
			}
			if got := status(t, rec.Body.Bytes()); got != tt.status {
				t.Fatalf("got %v, want %v", got, tt.status)
			}
			if tt.states == nil {
				return
			}
			got := singles(t, rec.Body.Bytes())
			if len(got) != len(tt.states) {
				t.Fatalf("got %d statuses, want %d", len(got), len(tt.states))
			}
			for i, want := range tt.states {
				if got[i].State != want {
					t.Errorf("status %d: got %v, want %v", i, got[i].State, want)
				}
			}
		})
	}
}

func TestResponderNeverSaysGoodInDoubt(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "merchant ca", "P-256"), newAuthority(t, "other ca", "P-256")
	leaf := ca.leaf(t, 1)
	lapsed := ca.signer(t, "P-256", func(c *x509.Certificate) { c.NotAfter = epoch.Add(-time.Second) })
	stranger := other.signer(t, "P-256")
	use := func(s *ocsp.Signer) func(*ocsp.ResponderConfig) {
		return func(cfg *ocsp.ResponderConfig) { cfg.Issuers[0].Signer = func() *ocsp.Signer { return s } }
	}
	tests := []struct {
		name    string
		src     *book
		st      ocsp.Status
		edit    func(*ocsp.ResponderConfig)
		healthy bool
		want    ocsp.ResponseStatus
	}{
		{"the store is broken", &book{err: errors.New("disk")}, ocsp.Status{State: ocsp.Good}, nil, true, ocsp.TryLater},
		{"no delegate", &book{}, ocsp.Status{State: ocsp.Good}, use(nil), false, ocsp.TryLater},
		{"delegate expired", &book{}, ocsp.Status{State: ocsp.Good}, use(lapsed), false, ocsp.TryLater},
		{"delegate of another CA", &book{}, ocsp.Status{State: ocsp.Good}, use(stranger), false, ocsp.TryLater},
		{"the clock went back an hour", &book{}, ocsp.Status{State: ocsp.Good, Since: epoch.Add(time.Hour)}, nil, true, ocsp.TryLater},
		{"reason 7", &book{}, ocsp.Status{State: ocsp.Revoked, Reason: 7, RevokedAt: epoch}, nil, true, ocsp.Internal},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.src.set("merchant", leaf, tt.st)
			r := newResponder(t, ca, tt.src, tt.edit)
			if err := r.Health(); (err == nil) != tt.healthy {
				t.Errorf("health: got %v, want healthy %v", err, tt.healthy)
			}
			rec := post(r, request(t, leaf, ca.cert, crypto.SHA256, nil))
			if got := status(t, rec.Body.Bytes()); got != tt.want || rec.Code != 200 {
				t.Errorf("got %v, HTTP %d, want %v, 200", got, rec.Code, tt.want)
			}
			if rec.Header().Get("Cache-Control") != "no-store" {
				t.Errorf("got Cache-Control %q, want no-store", rec.Header().Get("Cache-Control"))
			}
		})
	}
}

func TestResponderRenewsAnswers(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	leaf := ca.leaf(t, 1)
	src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
	var now atomic.Pointer[time.Time]
	set := func(at time.Time) { now.Store(&at) }
	set(epoch)
	short := ca.signer(t, "P-256", func(c *x509.Certificate) { c.NotAfter = epoch.Add(40 * time.Minute) })
	long := ca.signer(t, "P-256")
	var signer atomic.Pointer[ocsp.Signer]
	signer.Store(short)
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) {
		cfg.Now = func() time.Time { return *now.Load() }
		cfg.Issuers[0].Signer = signer.Load
	})
	ask := func() ocsp.SingleResponse {
		return singles(t, post(r, request(t, leaf, ca.cert, crypto.SHA1, nil)).Body.Bytes())[0]
	}
	if got := ask().NextUpdate; !got.Equal(epoch.Add(40 * time.Minute)) {
		t.Errorf("got nextUpdate %v, want the delegate's expiry", got)
	}
	if err := r.Health(); err == nil {
		t.Error("a delegate about to expire: got healthy")
	}
	steps := []struct {
		name   string
		change func()
		asked  int
	}{
		{"at once", func() {}, 1},
		{"before half of its time", func() { set(epoch.Add(19 * time.Minute)) }, 1},
		{"after half of its time", func() { set(epoch.Add(21 * time.Minute)) }, 2},
		{"with a new delegate", func() { signer.Store(long) }, 3},
	}
	for _, step := range steps {
		step.change()
		if got := ask(); got.ThisUpdate.After(*now.Load()) {
			t.Errorf("%s: thisUpdate %v is in the future", step.name, got.ThisUpdate)
		}
		if got := src.count(); got != step.asked {
			t.Errorf("%s: asked the source %d times, want %d", step.name, got, step.asked)
		}
	}
	set(epoch.Add(-time.Hour))
	if got := status(t, post(r, request(t, leaf, ca.cert, crypto.SHA1, nil)).Body.Bytes()); got != ocsp.TryLater || r.Health() == nil {
		t.Errorf("with the clock an hour back: got %v and health %v, want tryLater and an error", got, r.Health())
	}
}

// gate is a Source that waits until it is opened.
type gate struct {
	entered chan struct{}
	open    chan struct{}
	status  atomic.Int64 // ocsp.State
}

func (g *gate) Status(context.Context, string, []byte) (ocsp.Status, error) {
	st := ocsp.Status{State: ocsp.State(g.status.Load()), RevokedAt: epoch}
	g.entered <- struct{}{}
	<-g.open
	return st, nil
}

func TestResponderSignsOnceAndTellsTheRestToTryLater(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	g := &gate{entered: make(chan struct{}, 8), open: make(chan struct{})}
	g.status.Store(int64(ocsp.Good))
	r := newResponder(t, ca, g, func(cfg *ocsp.ResponderConfig) { cfg.Inflight = 1 })
	der := request(t, ca.leaf(t, 1), ca.cert, crypto.SHA256, nil)
	results := make(chan ocsp.ResponseStatus, 10)
	for range 10 {
		go func() { results <- status(t, post(r, der).Body.Bytes()) }()
	}
	<-g.entered
	for _, busy := range [][]byte{
		request(t, ca.leaf(t, 2), ca.cert, crypto.SHA256, nil),
		request(t, ca.leaf(t, 1), ca.cert, crypto.SHA256, octets(16)),
	} {
		rec := post(r, busy)
		if got := status(t, rec.Body.Bytes()); got != ocsp.TryLater || rec.Header().Get("Retry-After") == "" {
			t.Errorf("got %v, want tryLater with Retry-After", got)
		}
	}
	close(g.open)
	for range 10 {
		if got := <-results; got != ocsp.Successful {
			t.Errorf("got %v, want successful", got)
		}
	}
	if got := r.Stats().Good; got != 1 {
		t.Errorf("signed %d times, want once", got)
	}
}

func TestResponderCacheIsBounded(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	r := newResponder(t, ca, src, func(cfg *ocsp.ResponderConfig) { cfg.Cached = 2 })
	for round := range 2 {
		for serial := range int64(3) {
			leaf := ca.issue(t, serial, ca.key.Public(), nil)
			src.set("merchant", leaf, ocsp.Status{State: ocsp.Good})
			post(r, request(t, leaf, ca.cert, crypto.SHA256, nil))
		}
		if hits := r.Stats().Hits; round == 1 && hits > 2 {
			t.Errorf("got %d hits, want at most 2", hits)
		}
	}
}

func TestNewResponderRefuses(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	s := ca.signer(t, "P-256")
	is := ocsp.ResponderIssuer{Name: "merchant", Certificate: ca.cert, Signer: func() *ocsp.Signer { return s }}
	for name, cfg := range map[string]ocsp.ResponderConfig{
		"nothing":          {},
		"no source":        {Issuers: []ocsp.ResponderIssuer{is}},
		"a name twice":     {Issuers: []ocsp.ResponderIssuer{is, is}, Source: &book{}},
		"a name with M":    {Issuers: []ocsp.ResponderIssuer{{Name: "M", Certificate: is.Certificate, Signer: is.Signer}}, Source: &book{}},
		"no signer":        {Issuers: []ocsp.ResponderIssuer{{Name: "m", Certificate: is.Certificate}}, Source: &book{}},
		"validity too low": {Issuers: []ocsp.ResponderIssuer{is}, Source: &book{}, Validity: 5 * time.Minute},
	} {
		if _, err := ocsp.NewResponder(cfg); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}

func TestResponderDoesNotAskAboutImpossibleSerials(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "merchant ca", "P-256")
	src := &book{}
	r := newResponder(t, ca, src, nil)
	id := certID(t, ca.leaf(t, 1), ca.cert, crypto.SHA1) // ends with a serial of 14 octets
	long := append([]byte{0x7f}, octets(20)...)
	for name, serial := range map[string][]byte{"zero": {0}, "21 octets": long} {
		raw := bytes.Clone(id.Raw[:len(id.Raw)-len(id.Serial)-2])
		if raw[len(raw)-1] == 2 { // the serial had a leading zero
			raw = raw[:len(raw)-1]
		}
		raw = append(append(raw, 2, byte(len(serial))), serial...)
		raw[1] = byte(len(raw) - 2)
		got := singles(t, post(r, rawRequest{ids: []ocsp.CertID{{Raw: raw}}}.der(t)).Body.Bytes())
		if len(got) != 1 || got[0].State != ocsp.Unknown || src.count() != 0 {
			t.Errorf("%s: got %+v after %d questions, want unknown after none", name, got, src.count())
		}
	}
}
