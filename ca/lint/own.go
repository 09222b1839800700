package lint

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"

	"github.com/payca/payca/policy"
)

// A subject is a certificate, and what the network knows of who it is for.
type subject struct {
	*x509.Certificate
	cfg       Config
	profiles  []grant           // what may be issued to the role
	responder bool              // an OCSP delegate: it belongs to the CA, not to a party
	identity  policy.Identity   // of its URI, zero if it has none that is right
	uriErr    error             // what is wrong with its URI
	issuer    string            // name of the issuing CA that it names, "" for none of the network
	signedBy  *x509.Certificate // certificate of that
}

func subjectOf(c *x509.Certificate, cfg Config, granted map[policy.Role][]grant) *subject {
	s := &subject{Certificate: c, cfg: cfg, responder: slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)}
	if !s.responder {
		s.identity, s.uriErr = policy.IdentityOf(c, cfg.Network)
	}
	s.profiles = granted[s.identity.Role]
	for _, is := range cfg.Issuers {
		if bytes.Equal(is.Certificate.RawSubject, c.RawIssuer) {
			s.issuer, s.signedBy = is.Name, is.Certificate
		}
	}
	return s
}

// An ownLint returns what it has against a certificate, "" for nothing.
type ownLint struct {
	name, about string
	find        func(s *subject) string
}

// ownLints is what zlint cannot know: how certificates of a payment network look.
func ownLints() []ownLint {
	return []ownLint{
		{"payca_leaf", "a leaf says so, and may sign neither certificates nor CRLs", leaf},
		{"payca_uri_single", "exactly one URI, of a known role of this network; OCSP signers have none", singleURI},
		{"payca_role_issuer", "the issuing CA is the one of the role", roleIssuer},
		{"payca_role_subject", "the subject is O, OU=role, CN=party, as the URI says", roleSubject},
		{"payca_role_eku", "key usage and extended key usages of a profile of the role", roleUsage},
		{"payca_names", "DNS names and addresses only for servers, and none below the network's own domain but the CA's", names},
		{"payca_encoding", "times and names as RFC 5280 section 4.1.2 writes them, one attribute in each relative name", encodings},
		{"payca_serial_length", "65 to 159 bits of serial", serialLength},
		{"payca_aia", "OCSP and issuer URLs of the issuing CA, over plain http", authorityInfo},
		{"payca_cdp", "the CRL URL of the issuing CA, over plain http", distributionPoint},
		{"payca_nocheck", "id-pkix-ocsp-nocheck for OCSP signers, and for nobody else", noCheck},
		{"payca_validity_inclusive", "N days last N x 86,400 seconds, the last one included", inclusiveValidity},
		{"payca_validity_issuer", "within the validity of the issuing CA", issuerValidity},
		{"payca_key_use_single", "signing and encryption never share a key", singleUse},
		{"payca_extensions", "no extension but those that payca writes, critical as RFC 5280 wants them, and those that a profile of the role grants", knownExtensions},
		{"payca_must_staple", "the demand to be stapled where a profile of the role has it, and nowhere else", stapling},
		{"payca_policies", "the certificate policies of a profile of the role", knownPolicies},
	}
}

// Own returns the names of our own lints, and what each wants.
func Own() map[string]string {
	own := map[string]string{}
	for _, l := range ownLints() {
		own[l.name] = l.about
	}
	return own
}

// oidNoCheck is id-pkix-ocsp-nocheck (RFC 6960 section 4.2.2.2.1).
var oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}

func leaf(s *subject) string {
	if s.IsCA || s.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0 {
		return "is a CA, or may sign certificates or CRLs; want a leaf"
	}
	if !s.BasicConstraintsValid {
		return "has no basicConstraints, want CA:FALSE"
	}
	return ""
}

func singleURI(s *subject) string {
	if s.responder && len(s.URIs) > 0 {
		return fmt.Sprintf("OCSP signer with %d URI names, want none", len(s.URIs))
	}
	if s.uriErr != nil {
		return s.uriErr.Error()
	}
	return ""
}

// serialLength wants more than 64 bits: a serial with 128 random bits has fewer once in 2^64 times.
func serialLength(s *subject) string {
	if bits := s.SerialNumber.BitLen(); s.SerialNumber.Sign() <= 0 || bits <= 64 || bits > 159 {
		return fmt.Sprintf("serial of %d bits, want a positive one of 65 to 159", bits)
	}
	return ""
}

// noCheck wants a way to learn of revocation, or the reason why there is none.
func noCheck(s *subject) string {
	has := slices.ContainsFunc(s.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNoCheck) })
	if has != s.responder {
		return "id-pkix-ocsp-nocheck belongs to OCSP signers, and to all of them"
	}
	return ""
}

// inclusiveValidity finds the day that lasts a second too long: both ends of a validity are inside
// (RFC 5280 section 4.1.2.5), so that N days end N x 86,400 - 1 seconds after they began.
func inclusiveValidity(s *subject) string {
	d := s.NotAfter.Sub(s.NotBefore)
	if d < 0 {
		return "notAfter is before notBefore"
	}
	if days := d / (24 * time.Hour); days > 0 && d%(24*time.Hour) == 0 {
		return fmt.Sprintf("valid for %d days and one second, want notAfter one second earlier", days)
	}
	return ""
}

func issuerValidity(s *subject) string {
	if s.signedBy == nil {
		return "" // payca_role_issuer says so
	}
	if s.NotAfter.After(s.signedBy.NotAfter) || s.NotBefore.Before(s.signedBy.NotBefore) {
		return fmt.Sprintf("valid from %s until %s, want within the %s CA's, %s until %s", stamp(s.NotBefore), stamp(s.NotAfter),
			s.issuer, stamp(s.signedBy.NotBefore), stamp(s.signedBy.NotAfter))
	}
	return ""
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// singleUse keeps signing and encryption apart: no key does both.
func singleUse(s *subject) string {
	const signs = x509.KeyUsageDigitalSignature | x509.KeyUsageContentCommitment
	const encrypts = x509.KeyUsageKeyAgreement | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	extended := len(s.ExtKeyUsage) + len(s.UnknownExtKeyUsage)
	switch {
	case s.KeyUsage&signs == 0 && s.KeyUsage&encrypts == 0:
		return "key usage allows neither signing nor encryption"
	case s.KeyUsage&signs != 0 && s.KeyUsage&encrypts != 0:
		return "key usage allows signing and encryption, want one of them"
	case s.KeyUsage&encrypts != 0 && extended > 0:
		return "encryption key with an extended key usage, want none"
	case s.KeyUsage&signs != 0 && extended == 0:
		return "signing key without extended key usage, which stands for all of them"
	}
	return ""
}
