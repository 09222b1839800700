package mtls_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/payca/payca/enroll/internal/testca"
	"github.com/payca/payca/enroll/mtls"
	"github.com/payca/payca/ocsp"
	"github.com/payca/payca/policy"
)

// parsed returns the certificates anew, as each connection of a server does.
func parsed(cert tls.Certificate) []*x509.Certificate {
	var list []*x509.Certificate
	for _, der := range cert.Certificate {
		list = append(list, must(x509.ParseCertificate(der)))
	}
	return list
}

// clock is a clock that the test sets.
type clock struct{ at atomic.Pointer[time.Time] }

func (c *clock) set(at time.Time) { c.at.Store(&at) }
func (c *clock) now() time.Time   { return *c.at.Load() }

// wantRule fails the test unless err is a violation of the rule; "" means no error.
func wantRule(t *testing.T, what string, err error, rule string) {
	t.Helper()
	v, ok := errors.AsType[*policy.Violation](err)
	if rule == "" && err != nil || rule != "" && (!ok || v.Rule != rule) {
		t.Errorf("%s: got %v, want rule %q", what, err, rule)
	}
}

func TestTheSameCertificatesAreVerifiedOnce(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	cert := ca.Issue(t, shop1)
	identifier := mtls.NewIdentifier(ca.Trust(), nil)
	list := parsed(cert)
	first := must(identifier.Identify(list, policy.ClientUse))
	if want := must(ca.Trust().Identify(list, policy.ClientUse, time.Now())); first.Identity != want.Identity || !slices.Equal(first.Chain[:2], want.Chain[:2]) {
		t.Errorf("got %+v, want %+v", first, want)
	}
	for name, again := range map[string][]*x509.Certificate{
		"the same objects": list, "another slice of them": slices.Clone(list), "the same bytes": parsed(cert),
	} {
		if peer := must(identifier.Identify(again, policy.ClientUse)); peer != first {
			t.Errorf("%s: got a new peer, want the remembered one", name)
		}
	}
	if other := must(mtls.NewIdentifier(ca.Trust(), nil).Identify(list, policy.ClientUse)); other == first {
		t.Error("two identifiers share a memory")
	}
}

func TestARememberedPeerIsRefusedOutsideOfItsValidity(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	long := shop1 // outlives its issuing CA, and is older
	long.NotBefore, long.NotAfter = time.Now().Add(-30*time.Hour), time.Now().Add(60*time.Hour)
	for name, test := range map[string]struct {
		leaf    testca.Leaf
		limiter func(chain []*x509.Certificate) *x509.Certificate
	}{
		"of the leaf":           {shop1, func(chain []*x509.Certificate) *x509.Certificate { return chain[0] }},
		"of its issuing CA":     {long, func(chain []*x509.Certificate) *x509.Certificate { return chain[1] }},
		"by a nanosecond, even": {shop1, func(chain []*x509.Certificate) *x509.Certificate { return chain[0] }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var clock clock
			clock.set(time.Now())
			identifier := mtls.NewIdentifier(ca.Trust(), clock.now)
			list := parsed(ca.Issue(t, test.leaf))
			first := must(identifier.Identify(list, policy.ClientUse))
			limiter := test.limiter(list)
			step := time.Hour
			if name == "by a nanosecond, even" {
				step = 1
			}
			for _, moment := range []struct {
				name string
				at   time.Time
				rule string
			}{
				{"its last moment", limiter.NotAfter, ""},
				{"after it", limiter.NotAfter.Add(step), "validity"},
				{"the clock back in it", time.Now(), ""},
				{"its first moment", limiter.NotBefore, ""},
				{"the clock back before it", limiter.NotBefore.Add(-step), "validity"},
				{"no time at all", time.Time{}, "validity"},
				{"forward again", time.Now(), ""},
			} {
				clock.set(moment.at)
				peer, err := identifier.Identify(list, policy.ClientUse)
				wantRule(t, moment.name, err, moment.rule)
				if moment.rule == "" && peer != first {
					t.Errorf("%s: got a new peer, want the remembered one", moment.name)
				}
			}
		})
	}
}

func TestOnlyTheWholeListForTheSameUseIsRemembered(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	leaf := shop1
	leaf.Usages = clientOnly
	list := parsed(ca.Issue(t, leaf))
	foreign, other := testca.New(t).Issuer(policy.MerchantCA), ca.Issuer(policy.GatewayCA)
	identifier := mtls.NewIdentifier(ca.Trust(), nil)
	first := must(identifier.Identify(list, policy.ClientUse))
	junk := make([]*x509.Certificate, 100)
	for i := range junk {
		junk[i] = other
	}
	for name, test := range map[string]struct {
		presented []*x509.Certificate
		use       policy.Use
		rule      string
	}{
		"the leaf alone":                       {list[:1], policy.ClientUse, "chain"},
		"another network's CA":                 {[]*x509.Certificate{list[0], foreign}, policy.ClientUse, "chain"},
		"another role's CA":                    {[]*x509.Certificate{list[0], other}, policy.ClientUse, "chain"},
		"the CA first":                         {[]*x509.Certificate{list[1], list[0]}, policy.ClientUse, "leaf-ca"},
		"no certificate":                       {nil, policy.ClientUse, "chain"},
		"a nil leaf":                           {[]*x509.Certificate{nil, list[1]}, policy.ClientUse, "chain"},
		"a nil CA":                             {[]*x509.Certificate{list[0], nil}, policy.ClientUse, "chain"},
		"certificates without their bytes":     {[]*x509.Certificate{{}, {}}, policy.ClientUse, "chain"},
		"a hundred others":                     {append(slices.Clone(list), junk...), policy.ClientUse, "chain"},
		"servers, which it is not for":         {list, policy.ServerUse, "eku"},
		"encryption, which it is not for":      {list, policy.EncryptionUse, "eku"},
		"the root as well":                     {append(slices.Clone(list), ca.Root), policy.ClientUse, ""},
		"a CA too many":                        {append(slices.Clone(list), other), policy.ClientUse, ""},
		"no use in particular, but not either": {list, policy.AnyUse, ""},
	} {
		for range 2 {
			peer, err := identifier.Identify(test.presented, test.use)
			wantRule(t, name, err, test.rule)
			if peer == first {
				t.Errorf("%s: got what is remembered of another list or use", name)
			}
		}
	}
	if again := must(identifier.Identify(list, policy.ClientUse)); again != first {
		t.Error("refusals made the identifier forget a success")
	}
}

func TestALargeListIsNotRemembered(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	huge := shop1
	for range 1000 {
		huge.DNS = append(huge.DNS, "a-rather-long-name.of.shop1.example")
	}
	identifier := mtls.NewIdentifier(ca.Trust(), nil)
	list := parsed(ca.Issue(t, huge))
	first, second := must(identifier.Identify(list, policy.ClientUse)), must(identifier.Identify(list, policy.ClientUse))
	if first == second {
		t.Errorf("got %d bytes remembered, want them verified again", len(list[0].Raw))
	}
}

func TestAnIdentifierWithoutRootsKnowsNobody(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	list := parsed(ca.Issue(t, shop1))
	_, err := mtls.NewIdentifier(policy.Trust{Network: testca.Network}, nil).Identify(list, policy.ClientUse)
	wantRule(t, "no roots", err, "chain")
	trust := ca.Trust()
	identifier := mtls.NewIdentifier(trust, nil)
	trust.Roots[0] = testca.New(t).Root
	_, err = identifier.Identify(list, policy.ClientUse)
	wantRule(t, "the caller's roots changed since", err, "")
}

func TestStatusAuthorizerAndInventoryAreAskedAtEveryRequest(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	var clock clock
	var deny, unknown atomic.Bool
	var asked atomic.Int32
	for name, test := range map[string]struct {
		change func(leaf *x509.Certificate, status *testca.Status)
		code   int
	}{
		"nothing":                  {func(*x509.Certificate, *testca.Status) {}, 200},
		"the leaf is revoked":      {func(leaf *x509.Certificate, status *testca.Status) { status.Revoke(leaf) }, 403},
		"its CA is revoked":        {func(_ *x509.Certificate, status *testca.Status) { status.Revoke(ca.Issuer(policy.MerchantCA)) }, 403},
		"it is authorized no more": {func(*x509.Certificate, *testca.Status) { deny.Store(true) }, 403},
		"it left the inventory":    {func(*x509.Certificate, *testca.Status) { unknown.Store(true) }, 500},
		"it expires":               {func(leaf *x509.Certificate, _ *testca.Status) { clock.set(leaf.NotAfter.Add(time.Second)) }, 403},
		"the clock is set back":    {func(leaf *x509.Certificate, _ *testca.Status) { clock.set(leaf.NotBefore.Add(-time.Second)) }, 403},
	} {
		deny.Store(false)
		unknown.Store(false)
		clock.set(time.Now())
		status := &testca.Status{}
		list := parsed(ca.Issue(t, shop1))
		handler := mtls.Handler(mtls.HandlerConfig{
			Trust: ca.Trust(), Status: status, Now: clock.now,
			Authorize: func(*policy.Peer) error {
				asked.Add(1)
				if deny.Load() {
					return errors.New("closed on Sundays")
				}
				return nil
			},
			Inventory: func(_ context.Context, thumbprint [32]byte) error {
				if unknown.Load() || thumbprint != sha256.Sum256(list[0].Raw) {
					return errors.New("the CA does not know it")
				}
				return nil
			},
		}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		request := func() int {
			r := httptest.NewRequest("GET", "/", nil)
			r.TLS = &tls.ConnectionState{PeerCertificates: list}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, r)
			return w.Code
		}
		asked.Store(0)
		if first, second := request(), request(); first != 200 || second != 200 || asked.Load() != 2 || status.Checked(list[0]) != 2 || status.Checked(ca.Issuer(policy.MerchantCA)) != 2 {
			t.Errorf("%s: got %d, %d with %d questions, want 200 twice and everybody asked twice", name, first, second, asked.Load())
		}
		test.change(list[0], status)
		if code := request(); code != test.code {
			t.Errorf("%s: got %d, want %d", name, code, test.code)
		}
	}
}

func TestOneIdentifierServesManyAtOnce(t *testing.T) {
	t.Parallel()
	ca := testca.New(t)
	good, bad := ca.Issue(t, shop1), testca.SelfSigned(t, ca.Issue(t, shop1).Leaf)
	lists := [][]*x509.Certificate{parsed(good), parsed(ca.Issue(t, gw1)), parsed(good)[:1], parsed(bad)}
	var clock clock
	clock.set(time.Now())
	identifier := mtls.NewIdentifier(ca.Trust(), clock.now)
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range 50 {
				which := (worker + n) % len(lists)
				list := lists[which]
				if n%10 == 0 {
					list = slices.Clone(list)
				}
				if _, err := identifier.Identify(list, policy.ClientUse); (err == nil) != (which < 2) {
					t.Errorf("list %d: got %v", which, err)
				}
				clock.set(time.Now())
			}
		})
	}
	group.Wait()
}

// mapStatus answers from a map, as a checker that remembers does.
type mapStatus map[string]ocsp.Verdict

func (s mapStatus) Check(_ context.Context, leaf, _ *x509.Certificate, _ []byte) (ocsp.Verdict, error) {
	verdict, ok := s[string(leaf.RawIssuer)+string(leaf.SerialNumber.Bytes())]
	if !ok {
		return verdict, &ocsp.UnknownError{Serial: leaf.SerialNumber.String()}
	}
	return verdict, nil
}

func BenchmarkIdentify(b *testing.B) {
	ca := testca.New(b)
	trust, list := ca.Trust(), parsed(ca.Issue(b, shop1))
	for b.Loop() {
		must(trust.Identify(list, policy.ClientUse, time.Now()))
	}
}

func BenchmarkIdentifyCached(b *testing.B) {
	ca := testca.New(b)
	cert := ca.Issue(b, shop1)
	identifier := mtls.NewIdentifier(ca.Trust(), nil)
	must(identifier.Identify(parsed(cert), policy.ClientUse))
	for name, list := range map[string][]*x509.Certificate{
		"sameConnection":    must(identifier.Identify(parsed(cert), policy.ClientUse)).Chain[:2],
		"anotherConnection": parsed(cert),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				must(identifier.Identify(list, policy.ClientUse))
			}
		})
		b.Run(name+"Parallel", func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					must(identifier.Identify(list, policy.ClientUse))
				}
			})
		})
	}
}

// discard is an http.ResponseWriter that costs nothing.
type discard http.Header

func (d discard) Header() http.Header       { return http.Header(d) }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func BenchmarkHandler(b *testing.B) {
	ca := testca.New(b)
	list := parsed(ca.Issue(b, shop1))
	status := mapStatus{}
	for _, cert := range list {
		status[string(cert.RawIssuer)+string(cert.SerialNumber.Bytes())] = ocsp.Verdict{State: ocsp.Good}
	}
	served := 0
	handler := mtls.Handler(mtls.HandlerConfig{
		Trust: ca.Trust(), Authorize: mtls.AuthorizeRole(policy.Merchant), Status: status,
		Inventory: func(context.Context, [32]byte) error { return nil },
	}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{PeerCertificates: list}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		handler.ServeHTTP(discard{}, r)
		n++
	}
	if served != n {
		b.Fatalf("got %d of %d requests served", served, n)
	}
}
