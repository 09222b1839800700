package policy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// extensions grants the extensions that the profile allows, and refuses wishes that a leaf must not have. All others are
// ignored: usages are the profile's, whatever the request says.
func (d *decider) extensions() {
	csr := d.req.CSR
	if csr.IsCA {
		d.refuse("leaf-ca", "csr: basicConstraints", "CA:TRUE", "none or CA:FALSE, no profile is for a CA")
	}
	if csr.KeyUsage&x509.KeyUsageCertSign != 0 {
		d.refuse("leaf-ca", "csr: keyUsage", "keyCertSign", d.req.Profile.cfg.KeyUsage)
	}
	if csr.KeyUsage&x509.KeyUsageCRLSign != 0 {
		d.refuse("leaf-ca", "csr: keyUsage", "cRLSign", d.req.Profile.cfg.KeyUsage)
	}
	want := list(d.req.Profile.cfg.ExtKeyUsage)
	for _, oid := range csr.ExtKeyUsage {
		switch {
		case oid.Equal(oidAnyExtKeyUsage):
			d.refuse("eku", "csr: extKeyUsage", "anyExtendedKeyUsage", want)
		case oid.Equal(oidOCSPSigning) && !d.req.Profile.OCSPSigner():
			d.refuse("eku", "csr: extKeyUsage", ocspSigning, want)
		}
	}
	known := []asn1.ObjectIdentifier{oidSubjectAltName, oidSubjectKeyID, oidKeyUsage, oidBasicConstraints, oidExtKeyUsage}
	for _, ext := range csr.Extensions {
		granted := slices.ContainsFunc(d.req.Profile.extensions, ext.Id.Equal)
		switch {
		case ext.Critical && granted:
			d.refuse("extension-critical", "csr: extension "+ext.Id.String(), "critical", "the same, not critical")
		case ext.Critical && !slices.ContainsFunc(known, ext.Id.Equal):
			d.refuse("extension-critical", "csr: extension "+ext.Id.String(), "critical and unknown", "only extensions that are granted")
		case granted && (len(ext.Value) > maxExtension || !oneElement(ext.Value)):
			d.refuse("extension-form", "csr: extension "+ext.Id.String(), fmt.Sprintf("%d octets that are not one value in DER, or too many", len(ext.Value)),
				fmt.Sprintf("one value in DER of at most %d octets", maxExtension))
		case granted:
			d.out.Extensions = append(d.out.Extensions, pkix.Extension{Id: ext.Id, Value: ext.Value})
		}
	}
}

// maxExtension is the size in octets of the largest value that is copied from a request.
const maxExtension = 1024

// oneElement says whether value is exactly one element in DER.
func oneElement(value []byte) bool {
	s := cryptobyte.String(value)
	return s.ReadAnyASN1(new(cryptobyte.String), new(casn1.Tag)) && s.Empty() && checkDER(value, 0) == nil
}

// list renders names for a message, "none" for no names.
func list[T any](items []T) string {
	if len(items) == 0 {
		return "none"
	}
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = fmt.Sprint(item)
	}
	return strings.Join(texts, ", ")
}
