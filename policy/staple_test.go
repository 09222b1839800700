package policy_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"testing"

	"github.com/payca/payca/policy"
)

var oidTLSFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

func TestAProfileDemandsStapling(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, demanding := range []bool{false, true} {
		req := goodRequest(t, p, policy.Merchant, "merchant")
		cfg := req.Profile.Config()
		cfg.MustStaple = demanding
		var err error
		if req.Profile, err = policy.NewProfile(cfg); err != nil {
			t.Fatal(err)
		}
		// What the request says of it changes nothing.
		req.CSR = parsed(t, x509.CertificateRequest{ExtraExtensions: []pkix.Extension{{Id: oidTLSFeature, Value: []byte{0x30, 3, 2, 1, 17}}}})
		d, err := policy.Decide(req)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case !demanding && len(d.Extensions) != 0:
			t.Errorf("got extensions %v without must_staple", d.Extensions)
		case demanding && (len(d.Extensions) != 1 || !d.Extensions[0].Id.Equal(oidTLSFeature) || d.Extensions[0].Critical || string(d.Extensions[0].Value) != "\x30\x03\x02\x01\x05"):
			t.Errorf("got extensions %v, want the TLS feature status_request", d.Extensions)
		}
	}
}

func TestMustStaple(t *testing.T) {
	t.Parallel()
	p := newPKI(t)
	for _, tt := range []struct {
		name  string
		value []byte // nil for no extension
		want  bool
	}{
		{"no extension", nil, false},
		{"status_request", []byte{0x30, 3, 2, 1, 5}, true},
		{"status_request among others", []byte{0x30, 6, 2, 1, 17, 2, 1, 5}, true},
		{"status_request_v2 alone, which is dead", []byte{0x30, 3, 2, 1, 17}, false},
		{"no feature", []byte{0x30, 0}, false},
		{"what cannot be read", []byte{0x04, 1, 5}, true},
		{"what cannot be read further on", []byte{0x30, 3, 4, 1, 5}, true},
		{"something behind it", []byte{0x30, 3, 2, 1, 17, 0}, true},
	} {
		leaf := p.leaf(t, policy.MerchantCA, func(c *x509.Certificate) {
			if tt.value != nil {
				c.ExtraExtensions = []pkix.Extension{{Id: oidTLSFeature, Value: tt.value}}
			}
		})[0]
		if got := policy.MustStaple(leaf); got != tt.want {
			t.Errorf("%s: got %t, want %t", tt.name, got, tt.want)
		}
	}
}
