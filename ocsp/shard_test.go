package ocsp_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
)

// extensionOf finds an extension of a list as crypto/x509 reads it.
func extensionOf(t *testing.T, der []byte, last int) (critical bool, value []byte) {
	t.Helper()
	l, err := x509.ParseRevocationList(der)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range l.Extensions {
		if e.Id[len(e.Id)-1] == last {
			return e.Critical, e.Value
		}
	}
	t.Fatalf("no extension 2.5.29.%d", last)
	return false, nil
}

func TestShardsAndDeltasSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	const uri, deltaURI = "http://crl.example/merchant/3.crl", "http://crl.example/merchant/delta.crl"
	shard, delta, full := ca.crl(9), ca.crl(9), ca.crl(9)
	shard.Shard, delta.Base, full.Freshest = uri, 4, deltaURI
	invalid := epoch.Add(-48 * time.Hour)
	entry := ocsp.Entry{Serial: []byte{5}, At: epoch, Reason: 1, Invalidity: invalid}
	removed := ocsp.Entry{Serial: []byte{6}, At: epoch, Reason: 8}
	read := func(c ocsp.CRL, entries ...ocsp.Entry) (*ocsp.List, []byte) {
		t.Helper()
		der := ca.signCRL(t, c, entries...)
		l, err := ocsp.ParseCRL(der)
		if err != nil {
			t.Fatal(err)
		}
		return l, der
	}
	l, der := read(shard, entry)
	if !slices.Equal(l.URIs, []string{uri}) || !l.OnlyUser || l.OnlyCA || l.Delta {
		t.Errorf("shard: got %+v", l.ListInfo)
	}
	if critical, value := extensionOf(t, der, 28); !critical || !bytes.Contains(value, []byte(uri)) {
		t.Errorf("issuing distribution point: critical %t, %x", critical, value)
	}
	l, der = read(delta, entry, removed)
	if !l.Delta || l.Base != 4 || l.URIs != nil {
		t.Errorf("delta: got %+v", l.ListInfo)
	}
	if critical, value := extensionOf(t, der, 27); !critical || !bytes.Equal(value, []byte{2, 1, 4}) {
		t.Errorf("delta indicator: critical %t, %x", critical, value)
	}
	if e, ok := l.Lookup([]byte{6}); !ok || e.Reason != 8 {
		t.Errorf("got %+v, %t, want removeFromCRL", e, ok)
	}
	l, der = read(full, entry)
	if !slices.Equal(l.Freshest, []string{deltaURI}) {
		t.Errorf("full: got %+v", l.ListInfo)
	}
	if critical, _ := extensionOf(t, der, 46); critical {
		t.Error("freshestCRL is critical, want it not to be")
	}
	var got []ocsp.Entry
	_, err := ocsp.ScanCRL(bytes.NewReader(der), ca.cert, func(e ocsp.Entry) error {
		e.Serial = bytes.Clone(e.Serial)
		got = append(got, e)
		return nil
	})
	if err != nil || len(got) != 1 || !got[0].Invalidity.Equal(invalid) || got[0].Reason != 1 {
		t.Errorf("got %+v, %v, want the date of invalidity", got, err)
	}
	for name, c := range map[string]ocsp.CRL{
		"a base that is newer":       {Issuer: ca.cert, Number: 3, Base: 4, ThisUpdate: epoch, NextUpdate: epoch.Add(1)},
		"a delta with a shard":       {Issuer: ca.cert, Number: 5, Base: 4, Shard: uri, ThisUpdate: epoch, NextUpdate: epoch.Add(1)},
		"a URI with a line break":    {Issuer: ca.cert, Number: 5, Shard: "http://a\n", ThisUpdate: epoch, NextUpdate: epoch.Add(1)},
		"a URI that is not in ASCII": {Issuer: ca.cert, Number: 5, Shard: "http://ä", ThisUpdate: epoch, NextUpdate: epoch.Add(1)},
	} {
		if err := c.Write(&bytes.Buffer{}, entries(), ca.sign); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}

func TestCoversComparesTheDistributionPoint(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	const uri = "http://crl.example/merchant/3.crl"
	leaf := ca.issue(t, 1, ca.key.Public(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{uri} })
	for name, tt := range map[string]struct {
		info ocsp.ListInfo
		cert *x509.Certificate
		want string // in the error, "" for none
	}{
		"a full list":                {ocsp.ListInfo{}, leaf, ""},
		"its shard":                  {ocsp.ListInfo{URIs: []string{uri}, OnlyUser: true}, leaf, ""},
		"one of several names":       {ocsp.ListInfo{URIs: []string{"ldap://x", uri}}, leaf, ""},
		"the shard of others":        {ocsp.ListInfo{URIs: []string{"http://crl.example/merchant/4.crl"}}, leaf, "want one of those of the certificate"},
		"another spelling":           {ocsp.ListInfo{URIs: []string{"http://CRL.example/merchant/3.crl"}}, leaf, "want one of those of the certificate"},
		"another port":               {ocsp.ListInfo{URIs: []string{"http://crl.example:80/merchant/3.crl"}}, leaf, "want one of those of the certificate"},
		"a certificate without one":  {ocsp.ListInfo{URIs: []string{uri}}, ca.leaf(t, 2), "want one of those of the certificate"},
		"only CAs":                   {ocsp.ListInfo{OnlyCA: true}, leaf, "want one that covers end entities"},
		"a CA on a list of users":    {ocsp.ListInfo{OnlyUser: true}, ca.cert, "want one that covers CAs"},
		"a delta":                    {ocsp.ListInfo{Delta: true, Base: 3}, leaf, "a delta list to number 3, want a whole one"},
		"a delta that names a shard": {ocsp.ListInfo{Delta: true, URIs: []string{uri}}, leaf, "want a whole one"},
	} {
		err := tt.info.Covers(tt.cert)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
	}
}

func TestApplyTakesADeltaOfTheSameList(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	parse := func(a *authority, c ocsp.CRL, list ...ocsp.Entry) *ocsp.List {
		t.Helper()
		l, err := ocsp.ParseCRL(a.signCRL(t, c, list...))
		if err != nil {
			t.Fatal(err)
		}
		return l
	}
	entry := func(serial byte, reason int) ocsp.Entry {
		return ocsp.Entry{Serial: []byte{serial}, At: epoch, Reason: reason}
	}
	base := parse(ca, ca.crl(5), entry(1, 6), entry(3, 6), entry(5, 4))
	delta := func(number, to uint64) ocsp.CRL { c := ca.crl(number); c.Base = to; return c }
	got, err := base.Apply(parse(ca, delta(7, 4), entry(1, 8), entry(2, 1), entry(3, 1), entry(9, 8), entry(10, 0)))
	if err != nil {
		t.Fatal(err)
	}
	if got.Number != 7 || got.Len() != 4 {
		t.Errorf("got number %d with %d entries, want 7 with 4", got.Number, got.Len())
	}
	for serial, reason := range map[byte]int{1: -1, 2: 1, 3: 1, 5: 4, 9: -1, 10: 0} {
		if e, ok := got.Lookup([]byte{serial}); ok != (reason >= 0) || ok && e.Reason != reason {
			t.Errorf("serial %d: got %+v, %t, want %d", serial, e, ok, reason)
		}
	}
	other := newAuthority(t, "other", "P-256")
	otherDelta := other.crl(7)
	otherDelta.Base = 4
	shard := ca.crl(5)
	shard.Shard = "http://crl.example/1.crl"
	for name, pair := range map[string][2]*ocsp.List{
		"a base that is newer than the list": {base, parse(ca, delta(9, 6))},
		"an older delta":                     {base, parse(ca, delta(4, 4))},
		"a full list":                        {base, parse(ca, ca.crl(7))},
		"a delta to a delta":                 {parse(ca, delta(7, 4)), parse(ca, delta(7, 4))},
		"another issuer":                     {base, parse(other, otherDelta)},
		"another scope":                      {parse(ca, shard), parse(ca, delta(7, 4))},
	} {
		if _, err := pair[0].Apply(pair[1]); err == nil {
			t.Errorf("%s: got nil, want an error", name)
		}
	}
}

// A listServer serves lists that a test sets.
type listServer struct {
	*httptest.Server
	lists map[string]*atomic.Pointer[[]byte]
	asked map[string]*atomic.Int64
}

func newListServer(t *testing.T, paths ...string) *listServer {
	t.Helper()
	s := &listServer{lists: map[string]*atomic.Pointer[[]byte]{}, asked: map[string]*atomic.Int64{}}
	for _, p := range paths {
		s.lists[p], s.asked[p] = new(atomic.Pointer[[]byte]), new(atomic.Int64)
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l := s.lists[r.URL.Path]; l != nil && l.Load() != nil {
			s.asked[r.URL.Path].Add(1)
			_, _ = w.Write(*l.Load())
			return
		}
		http.NotFound(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *listServer) set(path string, der []byte) { s.lists[path].Store(&der) }

func TestTheCheckerBelievesAShardAndADeltaWhereTheyCount(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	s := newListServer(t, "/1.crl", "/2.crl", "/full.crl", "/delta.crl")
	at := func(path string, serial int64) *x509.Certificate {
		return ca.issue(t, serial, ca.key.Public(), func(c *x509.Certificate) { c.CRLDistributionPoints = []string{s.URL + path} })
	}
	var now atomic.Int64
	now.Store(epoch.Unix())
	checker, err := ocsp.NewChecker(ocsp.CheckerConfig{AllowPrivate: true, MaxAge: -1, Now: func() time.Time { return time.Unix(now.Load(), 0) }})
	if err != nil {
		t.Fatal(err)
	}
	check := func(leaf *x509.Certificate) error {
		_, err := checker.Check(t.Context(), leaf, ca.cert, nil)
		return err
	}
	entry := func(leaf *x509.Certificate, reason int) ocsp.Entry {
		return ocsp.Entry{Serial: leaf.SerialNumber.Bytes(), At: epoch, Reason: reason}
	}
	shard := ca.crl(3)
	shard.Shard = s.URL + "/1.crl"
	good, revoked, astray := at("/1.crl", 1), at("/1.crl", 2), at("/2.crl", 3)
	s.set("/1.crl", ca.signCRL(t, shard, entry(revoked, 1)))
	s.set("/2.crl", ca.signCRL(t, shard, entry(revoked, 1)))
	if err := check(good); err != nil {
		t.Errorf("good by its shard: got %v", err)
	}
	if err := check(revoked); !errors.As(err, new(*ocsp.RevokedError)) {
		t.Errorf("revoked by its shard: got %v", err)
	}
	if err := check(astray); !errors.As(err, new(*ocsp.UnknownError)) || !strings.Contains(err.Error(), "want one of those of the certificate") {
		t.Errorf("the shard of others: got %v", err)
	}

	full, delta := ca.crl(3), ca.crl(5)
	full.Freshest, delta.Base = s.URL+"/delta.crl", 3
	held, later := at("/full.crl", 11), at("/full.crl", 12)
	s.set("/full.crl", ca.signCRL(t, full, entry(held, 6)))
	if err := check(held); !errors.As(err, new(*ocsp.RevokedError)) {
		t.Errorf("on hold by the full list, without a delta: got %v", err)
	}
	if err := check(later); err != nil {
		t.Errorf("good by the full list: got %v", err)
	}
	s.set("/delta.crl", ca.signCRL(t, delta, entry(held, 8), entry(later, 4)))
	now.Add(600)
	if err := check(held); err != nil {
		t.Errorf("released by the delta: got %v", err)
	}
	if err := check(later); !errors.As(err, new(*ocsp.RevokedError)) {
		t.Errorf("revoked by the delta: got %v", err)
	}
	if got := s.asked["/full.crl"].Load(); got != 1 {
		t.Errorf("the full list was fetched %d times, want once: the delta is enough", got)
	}
	// A delta to a newer list than the one that is kept has that fetched.
	full.Number, delta.Number, delta.Base = 8, 9, 7
	s.set("/full.crl", ca.signCRL(t, full, entry(later, 4)))
	s.set("/delta.crl", ca.signCRL(t, delta, entry(held, 1)))
	now.Add(600)
	if err := check(held); !errors.As(err, new(*ocsp.RevokedError)) || s.asked["/full.crl"].Load() != 2 {
		t.Errorf("got %v after %d fetches of the full list, want revoked after 2", err, s.asked["/full.crl"].Load())
	}
	// A delta in the place of a list says nothing.
	alone := at("/2.crl", 13)
	s.set("/2.crl", ca.signCRL(t, delta))
	now.Add(600)
	if err := check(alone); !errors.As(err, new(*ocsp.UnknownError)) {
		t.Errorf("a delta alone: got %v", err)
	}
}
