package storetest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"net/url"
	"strings"
	"testing"

	"github.com/payca/payca/ca"
)

// certificate makes a certificate with the serial and the names: DNS names, addresses and URIs.
func certificate(t testing.TB, serial ca.Serial, names ...string) []byte {
	t.Helper()
	return certificateFor(t, serial, x509.ExtKeyUsageClientAuth, names...)
}

func certificateFor(t testing.TB, serial ca.Serial, use x509.ExtKeyUsage, names ...string) []byte {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(serial[:]), Subject: pkix.Name{CommonName: "store.test"},
		NotBefore: epoch, NotAfter: epoch.AddDate(1, 0, 0), ExtKeyUsage: []x509.ExtKeyUsage{use},
	}
	for _, name := range names {
		addr := net.ParseIP(name)
		switch {
		case addr != nil:
			template.IPAddresses = append(template.IPAddresses, addr)
		case strings.Contains(name, ":"):
			uri, err := url.Parse(name)
			if err != nil {
				t.Fatal(err)
			}
			template.URIs = append(template.URIs, uri)
		default:
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	der, err := x509.CreateCertificate(nil, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
