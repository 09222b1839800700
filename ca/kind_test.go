package ca_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"math/big"
	"slices"
	"testing"

	"github.com/payca/payca/ca"
)

func TestTheKindOfACertificateIsWhatItsKeyIsFor(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	for _, tt := range []struct {
		usage    x509.KeyUsage
		extended []x509.ExtKeyUsage
		want     string
	}{
		{x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, ca.KindServer},
		{x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, ca.KindClient},
		{x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, ca.KindOCSPSigner},
		{x509.KeyUsageKeyAgreement, nil, ca.KindEncryption},
		{x509.KeyUsageKeyAgreement, []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}, ca.KindOther},
		{x509.KeyUsageDigitalSignature, nil, ca.KindOther},
		{0, nil, ca.KindOther},
	} {
		template := &x509.Certificate{SerialNumber: big.NewInt(1), KeyUsage: tt.usage, ExtKeyUsage: tt.extended}
		der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		if got := ca.CertificateKind(der); got != tt.want || !slices.Contains(ca.Kinds(), got) {
			t.Errorf("usage %b, extended %v: got %s, want %s", tt.usage, tt.extended, got, tt.want)
		}
		for n := range der {
			_ = ca.CertificateKind(der[:n]) // cut short: no panic
		}
	}
}
