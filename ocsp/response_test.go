package ocsp_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"testing"
	"time"

	"github.com/payca/payca/ocsp"
	xocsp "golang.org/x/crypto/ocsp"
)

func TestSignedResponsesAreReadByXCrypto(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"P-256", "P-384", "Ed25519", "RSA-2048"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			ca := newAuthority(t, "ca", kind)
			leaf := ca.leaf(t, 1)
			s := ca.signer(t, kind)
			single := fresh(t, leaf, ca.cert)
			single.State, single.Reason, single.RevokedAt = ocsp.Revoked, 1, epoch.Add(-time.Hour)
			der := mustSign(t, s, epoch, nil, single)
			v, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: epoch})
			if err != nil || v.State != ocsp.Revoked || v.Reason != 1 || !v.RevokedAt.Equal(single.RevokedAt) {
				t.Fatalf("got %+v, %v, want revoked for reason 1", v, err)
			}
			if kind == "Ed25519" {
				return // the oracle does not know it
			}
			got, err := xocsp.ParseResponseForCert(der, leaf, ca.cert)
			if err != nil {
				t.Fatal(err)
			}
			if got.Status != xocsp.Revoked || got.RevocationReason != 1 || !got.RevokedAt.Equal(single.RevokedAt) ||
				!got.ThisUpdate.Equal(single.ThisUpdate) || !got.NextUpdate.Equal(single.NextUpdate) || !got.ProducedAt.Equal(epoch) {
				t.Errorf("got %+v, want %+v", got, single)
			}
		})
	}
}

func TestResponsesOfXCryptoAreRead(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	leaf := ca.leaf(t, 1)
	for _, tt := range []struct {
		status int
		want   ocsp.State
	}{{xocsp.Good, ocsp.Good}, {xocsp.Revoked, ocsp.Revoked}, {xocsp.Unknown, ocsp.Unknown}} {
		der, err := xocsp.CreateResponse(ca.cert, ca.cert, xocsp.Response{
			Status: tt.status, SerialNumber: leaf.SerialNumber, IssuerHash: crypto.SHA256,
			ThisUpdate: epoch, NextUpdate: epoch.Add(time.Hour), RevokedAt: epoch, RevocationReason: 4,
		}, ca.key)
		if err != nil {
			t.Fatal(err)
		}
		v, err := ocsp.VerifyResponse(der, leaf, ca.cert, ocsp.VerifyOptions{Now: time.Now().Add(-time.Minute), Skew: 100 * 365 * 24 * time.Hour})
		if err != nil || v.State != tt.want {
			t.Errorf("got %v, %v, want %v", v.State, err, tt.want)
		}
		if tt.want == ocsp.Revoked && v.Reason != 4 {
			t.Errorf("got reason %d, want 4", v.Reason)
		}
	}
}

func TestSignRefusesWhatNoAnswerMaySay(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "ca", "P-256")
	s := ca.signer(t, "P-256")
	good := fresh(t, ca.leaf(t, 1), ca.cert)
	revoked := good
	revoked.State, revoked.RevokedAt = ocsp.Revoked, epoch
	tests := []struct {
		name string
		from ocsp.SingleResponse
		edit func(*ocsp.SingleResponse)
	}{
		{"reason 7", revoked, func(s *ocsp.SingleResponse) { s.Reason = 7 }},
		{"reason 8, removeFromCRL", revoked, func(s *ocsp.SingleResponse) { s.Reason = 8 }},
		{"reason 11", revoked, func(s *ocsp.SingleResponse) { s.Reason = 11 }},
		{"revoked without a time", revoked, func(s *ocsp.SingleResponse) { s.RevokedAt = time.Time{} }},
		{"no nextUpdate", good, func(s *ocsp.SingleResponse) { s.NextUpdate = time.Time{} }},
		{"a state that does not exist", good, func(s *ocsp.SingleResponse) { s.State = 9 }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			single := tt.from
			tt.edit(&single)
			if der, err := s.Sign(epoch, nil, single); err == nil {
				t.Errorf("got %x, want an error", der)
			}
		})
	}
	if der := mustSign(t, s, epoch, nil, revoked); bytes.Contains(der, []byte{0xa0, 3, 0x0a, 1, 0}) {
		t.Errorf("reason 0 is written: %x", der)
	}
}

func TestNewSignerRefuses(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ca", "P-256"), newAuthority(t, "ca", "P-256") // same name
	key := newKey(t, "P-256")
	delegate := func(from *authority, edit func(*x509.Certificate)) *x509.Certificate {
		return from.issue(t, 5, key.Public(), func(c *x509.Certificate) {
			asDelegate(c)
			if edit != nil {
				edit(c)
			}
		})
	}
	tests := []struct {
		name string
		cfg  ocsp.SignerConfig
	}{
		{"nothing", ocsp.SignerConfig{}},
		{"a key of another certificate", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, nil), Key: newKey(t, "P-256")}},
		{"a delegate of another CA of the same name", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(other, nil), Key: key}},
		{"an ordinary leaf", ocsp.SignerConfig{Issuer: ca.cert, Certificate: ca.issue(t, 6, key.Public(), nil), Key: key}},
		{"no nocheck", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, func(c *x509.Certificate) { c.ExtraExtensions = nil }), Key: key}},
		{"no digitalSignature", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyAgreement }), Key: key}},
		{"a CA", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, func(c *x509.Certificate) { c.IsCA, c.BasicConstraintsValid = true, true }), Key: key}},
		{"the issuer itself with another key", ocsp.SignerConfig{Issuer: ca.cert, Certificate: ca.cert, Key: key}},
		{"an unknown critical extension", ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: []int{1, 2, 3}, Critical: true, Value: []byte{5, 0}})
		}), Key: key}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := ocsp.NewSigner(tt.cfg); err == nil {
				t.Error("got nil, want an error")
			}
		})
	}
	if _, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: ca.cert, Certificate: delegate(ca, nil), Key: key}); err != nil {
		t.Errorf("a good delegate: %v", err)
	}
	p521 := newKey(t, "P-521")
	odd := ca.issue(t, 8, p521.Public(), asDelegate)
	if _, err := ocsp.NewSigner(ocsp.SignerConfig{Issuer: ca.cert, Certificate: odd, Key: p521}); err == nil {
		t.Error("P-521: got nil, want an error")
	}
}

func TestErrorResponsesAreTyped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		der  []byte
		want ocsp.ResponseStatus
	}{
		{xocsp.MalformedRequestErrorResponse, ocsp.Malformed},
		{xocsp.InternalErrorErrorResponse, ocsp.Internal},
		{xocsp.TryLaterErrorResponse, ocsp.TryLater},
		{xocsp.SigRequredErrorResponse, ocsp.SigRequired},
		{xocsp.UnauthorizedErrorResponse, ocsp.Unauthorized},
	} {
		_, err := ocsp.ParseResponse(tt.der)
		var re *ocsp.ResponseError
		if !errors.As(err, &re) || re.Status != tt.want {
			t.Errorf("got %v, want %v", err, tt.want)
		}
	}
}

func FuzzParseResponse(f *testing.F) {
	ca := newAuthority(f, "ca", "P-256")
	for _, status := range []int{xocsp.Good, xocsp.Revoked, xocsp.Unknown} {
		der, err := xocsp.CreateResponse(ca.cert, ca.cert, xocsp.Response{
			Status: status, SerialNumber: big.NewInt(1), ThisUpdate: epoch, NextUpdate: epoch.Add(time.Hour), RevokedAt: epoch, RevocationReason: 1,
		}, ca.key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Add(mustSign(f, ca.signer(f, "P-256"), epoch, wrapped(16), fresh(f, ca.leaf(f, 1), ca.cert)))
	f.Add(xocsp.TryLaterErrorResponse)
	f.Fuzz(func(t *testing.T, der []byte) {
		resp, err := ocsp.ParseResponse(der)
		if (resp == nil) != (err != nil) {
			t.Fatalf("got %v and %v, want one of them", resp, err)
		}
		if err != nil {
			return
		}
		if (resp.ResponderName == nil) == (resp.ResponderKeyHash == nil) {
			t.Errorf("got name %x and key %x, want one of them", resp.ResponderName, resp.ResponderKeyHash)
		}
		if !bytes.Contains(der, resp.TBS) || len(resp.Certificates) > 8 {
			t.Errorf("got %d certificates and bytes %x that are not in %x", len(resp.Certificates), resp.TBS, der)
		}
	})
}
