package policy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// oidTLSFeature is id-pe-tlsfeature (RFC 7633 section 4.1), statusRequest the number of the one feature that is asked for.
var oidTLSFeature = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}

const statusRequest = 5

// mustStaple is the extension with which a certificate demands to be stapled.
func mustStaple() pkix.Extension {
	return pkix.Extension{Id: slices.Clone(oidTLSFeature), Value: []byte{0x30, 3, 2, 1, statusRequest}}
}

// MustStaple says whether a certificate demands that who shows it in TLS also shows an OCSP response (RFC 7633). A TLS feature extension
// that cannot be read demands it too.
func MustStaple(cert *x509.Certificate) bool {
	for _, ext := range cert.Extensions {
		if !ext.Id.Equal(oidTLSFeature) {
			continue
		}
		value := cryptobyte.String(ext.Value)
		var features cryptobyte.String
		if !value.ReadASN1(&features, casn1.SEQUENCE) || !value.Empty() {
			return true
		}
		for !features.Empty() {
			var feature int64
			if !features.ReadASN1Integer(&feature) || feature == statusRequest {
				return true
			}
		}
	}
	return false
}
