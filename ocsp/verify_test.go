package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
	xocsp "golang.org/x/crypto/ocsp"
)

// forge signs an answer with any key and certificate, as the oracle allows, which
// dates it by the real clock.
func forge(t *testing.T, ca *authority, signer *x509.Certificate, key crypto.Signer, leaf *x509.Certificate, embed bool) []byte {
	t.Helper()
	template := xocsp.Response{
		Status: xocsp.Good, SerialNumber: leaf.SerialNumber, IssuerHash: crypto.SHA256,
		ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(time.Hour),
	}
	if embed {
		template.Certificate = signer
	}
	der, err := xocsp.CreateResponse(ca.cert, signer, template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestVerifyResponseRefuses(t *testing.T) {
	t.Parallel()
	ca, twin := newAuthority(t, "ca", "P-256"), newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 1)
	s := ca.signer(t, "P-256")
	good := fresh(t, leaf, ca.cert)
	edited := func(f func(*ocsp.SingleResponse)) []byte {
		single := good
		f(&single)
		return mustSign(t, s, epoch, nil, single)
	}
	lapsed := ca.signer(t, "P-256", func(c *x509.Certificate) { c.NotAfter = epoch.Add(-time.Second) })
	valid := mustSign(t, s, epoch, nil, good)
	flipped := bytes.Clone(valid)
	flipped[bytes.Index(flipped, []byte("2026"))+5] ^= 1
	tests := []struct {
		name string
		der  []byte
	}{
		{"nothing", nil},
		{"HTML", []byte("<html>no such page</html>")},
		{"over 64 KiB", make([]byte, 64<<10+1)},
		{"tryLater", xocsp.TryLaterErrorResponse},
		{"trailing byte", append(bytes.Clone(valid), 0)},
		{"a changed time", flipped},
		{"signed by a delegate of a CA of the same name", mustSign(t, twin.signer(t, "P-256"), epoch, nil, good)},
		{"signed by an expired delegate", mustSign(t, lapsed, epoch, nil, good)},
		{"another serial", mustSign(t, s, epoch, nil, fresh(t, ca.leaf(t, 9), ca.cert))},
		{"another issuer", edited(func(s *ocsp.SingleResponse) { s.CertID = certID(t, twin.leaf(t, 1), twin.cert, crypto.SHA256) })},
		{"another hash", edited(func(s *ocsp.SingleResponse) { s.CertID = certID(t, leaf, ca.cert, crypto.SHA1) })},
		{"no status at all", mustSign(t, s, epoch, nil)},
		{"stale", edited(func(s *ocsp.SingleResponse) {
			s.ThisUpdate, s.NextUpdate = epoch.Add(-time.Hour), epoch.Add(-6*time.Minute)
		})},
		{"from the future", edited(func(s *ocsp.SingleResponse) { s.ThisUpdate = epoch.Add(6 * time.Minute) })},
		{"produced in the future", mustSign(t, s, epoch.Add(6*time.Minute), nil, good)},
		{"produced before it was right", mustSign(t, s, epoch.Add(-time.Hour), nil, good)},
		{"another nonce", mustSign(t, s, epoch, wrapped(8), good)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			opts := ocsp.VerifyOptions{Now: epoch, Hash: crypto.SHA256, Nonce: octets(16)}
			if v, err := ocsp.VerifyResponse(tt.der, leaf, ca.cert, opts); err == nil {
				t.Errorf("got %+v, want an error", v)
			}
		})
	}
}

func TestVerifyResponseOptions(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 1)
	valid := mustSign(t, ca.signer(t, "P-256"), epoch, nil, fresh(t, leaf, ca.cert))
	for name, opts := range map[string]ocsp.VerifyOptions{
		"as it is":                    {Now: epoch, Hash: crypto.SHA256},
		"any hash":                    {Now: epoch},
		"a nonce that is left out":    {Now: epoch, Nonce: octets(16)},
		"within skew after its time":  {Now: epoch.Add(59 * time.Minute)},
		"within skew before its time": {Now: epoch.Add(-4 * time.Minute)},
	} {
		if v, err := ocsp.VerifyResponse(valid, leaf, ca.cert, opts); err != nil || v.State != ocsp.Good || v.Source != "ocsp" {
			t.Errorf("%s: got %+v, %v, want good", name, v, err)
		}
	}
	if v, err := ocsp.VerifyResponse(valid, leaf, ca.cert, ocsp.VerifyOptions{Now: epoch, Nonce: octets(16), RequireNonce: true}); err == nil {
		t.Errorf("no nonce: got %+v, want an error", v)
	}
	if v, err := ocsp.VerifyResponse(valid, leaf, newAuthority(t, "x", "P-256").cert, ocsp.VerifyOptions{Now: epoch}); err == nil {
		t.Errorf("the wrong issuer: got %+v, want an error", v)
	}
}

func TestVerifyResponseRefusesOtherSigners(t *testing.T) {
	t.Parallel()
	ca, twin := newAuthority(t, "ca", "P-256"), newAuthority(t, "ca", "P-256")
	leafKey, other := newKey(t, "P-256"), newKey(t, "P-256")
	leaf := ca.issue(t, 1, leafKey.Public(), asDelegate)
	delegate := func(from *authority, edit func(*x509.Certificate)) *x509.Certificate {
		return from.issue(t, 2, other.Public(), func(c *x509.Certificate) {
			asDelegate(c)
			c.Subject.CommonName = "delegate"
			edit(c)
		})
	}
	same := func(*x509.Certificate) {}
	tests := []struct {
		name  string
		cert  *x509.Certificate
		key   crypto.Signer
		embed bool
		ok    bool
	}{
		{"the CA", ca.cert, ca.key, false, true},
		{"a delegate", delegate(ca, same), other, true, true},
		{"a CA of the same name", twin.cert, twin.key, false, false},
		{"a delegate of a CA of the same name", delegate(twin, same), other, true, false},
		{"a delegate whose certificate is not there", delegate(ca, same), other, false, false},
		{"a delegate's certificate, another key", delegate(ca, same), leafKey, true, false},
		{"an ordinary leaf of the CA", delegate(ca, func(c *x509.Certificate) { c.ExtKeyUsage = nil }), other, true, false},
		{"a delegate without nocheck", delegate(ca, func(c *x509.Certificate) { c.ExtraExtensions = nil }), other, true, false},
		{"a delegate that may not sign", delegate(ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), other, true, false},
		{"an expired delegate", delegate(ca, func(c *x509.Certificate) { c.NotAfter = epoch.AddDate(-1, 0, 0) }), other, true, false},
		{"the certificate itself", leaf, leafKey, true, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			der := forge(t, ca, tt.cert, tt.key, leaf, tt.embed)
			v, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: time.Now()})
			if (err == nil) != tt.ok {
				t.Errorf("got %+v, %v, want ok %v", v, err, tt.ok)
			}
		})
	}
}

// An answer without nextUpdate cannot be signed by a Signer; the oracle writes such answers.
func TestVerifyResponseWantsNextUpdate(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 1)
	now := time.Now()
	for _, next := range []time.Time{{}, now.Add(time.Hour)} {
		der, err := xocsp.CreateResponse(ca.cert, ca.cert, xocsp.Response{
			SerialNumber: leaf.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: next,
		}, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: now})
		if (err == nil) == next.IsZero() {
			t.Errorf("nextUpdate %v: got %v", next, err)
		}
	}
}

func TestVerifyResponsePrefersRevoked(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 1)
	good := fresh(t, leaf, ca.cert)
	bad := good
	bad.CertID, bad.State, bad.RevokedAt = certID(t, leaf, ca.cert, crypto.SHA1), ocsp.Revoked, epoch
	der := mustSign(t, ca.signer(t, "P-256"), epoch, nil, good, bad)
	if v, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: epoch}); err != nil || v.State != ocsp.Revoked {
		t.Errorf("got %v, %v, want revoked", v.State, err)
	}
}
