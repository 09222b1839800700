package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
)

// extensions refuses wishes that a leaf must not have. All others are
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
		if ext.Critical && !slices.ContainsFunc(known, ext.Id.Equal) {
			d.refuse("extension-critical", "csr: extension "+ext.Id.String(), "critical and unknown", "only extensions that are granted")
		}
	}
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
