package ca_test

import (
	"crypto/ed25519"
	"crypto/x509"
	"math/big"
	"net"
	"net/url"
	"slices"
	"testing"

	"github.com/payca/payca/ca"
)

func TestAlternativeNamesAreThoseOfTheCertificate(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{"Shop.example"}, EmailAddresses: []string{"a@shop.example"},
		IPAddresses: []net.IP{net.ParseIP("192.0.2.1"), net.ParseIP("2001:db8:0::1")},
		URIs:        []*url.URL{{Scheme: "spiffe", Host: "pay.example", Path: "/Shop1"}},
	}
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"shop.example", "192.0.2.1", "2001:db8::1", "spiffe://pay.example/Shop1"}
	if got := ca.AlternativeNames(der); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for n := range der {
		_ = ca.AlternativeNames(der[:n]) // cut short: no panic
	}
	template.DNSNames, template.EmailAddresses, template.IPAddresses, template.URIs = nil, nil, nil, nil
	if der, err = x509.CreateCertificate(nil, template, template, key.Public(), key); err != nil {
		t.Fatal(err)
	}
	if got := ca.AlternativeNames(der); len(got) != 0 {
		t.Errorf("got %q, want none", got)
	}
}

func TestANameIsLookedUpInOneForm(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Shop.Example.": "shop.example", "::ffff:192.0.2.1": "192.0.2.1", "2001:DB8::0:1": "2001:db8::1",
		"spiffe://pay.example/Shop1": "spiffe://pay.example/Shop1",
	} {
		if got := ca.CanonicalName(name); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
}

func FuzzAlternativeNames(f *testing.F) {
	f.Add([]byte{0x30, 0})
	f.Fuzz(func(_ *testing.T, der []byte) {
		_ = ca.AlternativeNames(der)
		_ = ca.CertificateKind(der)
	})
}
