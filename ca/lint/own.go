package lint

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"
)

// An ownLint returns what it has against a certificate, "" for nothing.
type ownLint struct {
	name string
	find func(c *x509.Certificate) string
}

// ownLints is what zlint cannot know: how certificates of a payment network look.
func ownLints() []ownLint {
	return []ownLint{
		{"payca_leaf", leaf},
		{"payca_uri_single", singleURI},
		{"payca_serial_length", serialLength},
		{"payca_status", status},
		{"payca_validity_inclusive", inclusiveValidity},
		{"payca_key_use_single", singleUse},
		{"payca_eku", extendedKeyUsage},
		{"payca_names", noOtherNames},
	}
}

// oidNoCheck is id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1).
var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

// isResponder says whether c is an OCSP delegate: it belongs to the CA, not to a party.
func isResponder(c *x509.Certificate) bool {
	return slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)
}

func leaf(c *x509.Certificate) string {
	if c.IsCA || c.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return "is a CA, or may sign certificates or CRLs; want a leaf"
	}
	if !c.BasicConstraintsValid {
		return "has no basicConstraints, want CA:FALSE"
	}
	return ""
}

func singleURI(c *x509.Certificate) string {
	if isResponder(c) {
		if len(c.URIs) > 0 {
			return fmt.Sprintf("OCSP signer with %d URI names, want none", len(c.URIs))
		}
		return ""
	}
	if len(c.URIs) != 1 {
		return fmt.Sprintf("%d URI names, want exactly one", len(c.URIs))
	}
	if u := c.URIs[0]; u.Scheme != "spiffe" || !isHostName(u.Host) || u.Path == "" || u.Path == "/" {
		return fmt.Sprintf("URI name %q, want spiffe://ROLE.NETWORK/PARTY", u)
	}
	return ""
}

// isHostName reports whether a name has two labels or more, of letters, digits and inner hyphens (RFC 1123 section 2.1).
func isHostName(name string) bool {
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, c := range []byte(label) {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return len(labels) > 1 && len(name) <= 253
}

// serialLength wants 64 bits at least: a random serial of 159 bits has fewer once in 2^95 times.
func serialLength(c *x509.Certificate) string {
	if bits := c.SerialNumber.BitLen(); c.SerialNumber.Sign() <= 0 || bits <= 64 || bits > 159 {
		return fmt.Sprintf("serial of %d bits, want a positive one of 65 to 159", bits)
	}
	return ""
}

// status wants a way to learn of revocation, or the reason why there is none.
func status(c *x509.Certificate) string {
	noCheck := slices.ContainsFunc(c.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNoCheck) })
	urls := len(c.OCSPServer) + len(c.CRLDistributionPoints) + len(c.IssuingCertificateURL)
	switch {
	case noCheck != isResponder(c):
		return "id-pkix-ocsp-nocheck belongs to OCSP signers, and to all of them"
	case noCheck && urls > 0:
		return "id-pkix-ocsp-nocheck beside AIA or CDP, want one or the other"
	case noCheck:
		return ""
	case len(c.OCSPServer) != 1 || len(c.CRLDistributionPoints) != 1 || len(c.IssuingCertificateURL) != 1:
		return fmt.Sprintf("%d OCSP, %d CRL and %d issuer URLs, want one of each",
			len(c.OCSPServer), len(c.CRLDistributionPoints), len(c.IssuingCertificateURL))
	}
	for _, u := range slices.Concat(c.OCSPServer, c.CRLDistributionPoints, c.IssuingCertificateURL) {
		if !strings.HasPrefix(u, "http://") {
			return fmt.Sprintf("status URL %q, want plain http", u)
		}
	}
	return ""
}

// inclusiveValidity finds the day that lasts a second too long: both ends of a validity are inside
// (RFC 5280 section 4.1.2.5), so that N days end N x 86,400 - 1 seconds after they began.
func inclusiveValidity(c *x509.Certificate) string {
	d := c.NotAfter.Sub(c.NotBefore)
	if d < 0 {
		return "notAfter is before notBefore"
	}
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("valid for %d days and one second, want notAfter one second earlier", days)
	}
	return ""
}

// singleUse keeps signing and encryption apart: no key does both.
func singleUse(c *x509.Certificate) string {
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	const encrypts = x509.KeyUsageKeyAgreement | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	switch {
	case c.KeyUsage&signs == 0 && c.KeyUsage&encrypts == 0:
		return "key usage allows neither signing nor encryption"
	case c.KeyUsage&signs != 0 && c.KeyUsage&encrypts != 0:
		return "key usage allows signing and encryption, want one of them"
	case c.KeyUsage&encrypts != 0 && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 0:
		return "encryption key with an extended key usage, want none"
	case c.KeyUsage&signs != 0 && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) == 0:
		return "signing key without extended key usage, which stands for all of them"
	}
	return ""
}

func extendedKeyUsage(c *x509.Certificate) string {
	if slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageAny) {
		return "anyExtendedKeyUsage"
	}
	if isResponder(c) && len(c.ExtKeyUsage)+len(c.UnknownExtKeyUsage) > 1 {
		return "OCSPSigning beside other extended key usages"
	}
	return ""
}

func noOtherNames(c *x509.Certificate) string {
	if len(c.EmailAddresses) > 0 {
		return fmt.Sprintf("e-mail name %q, want none", c.EmailAddresses[0])
	}
	return ""
}
