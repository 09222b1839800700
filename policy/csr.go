package policy

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"net/netip"
	"net/url"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	casn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// MaxCSR is the size in octets of the largest request that is looked at.
const MaxCSR = 64 << 10

// A CSR is a PKCS #10 request (RFC 2986) that [ParseCSR] accepted: strict DER,
// with a sound key and a signature that this key made. It is only a wish; [Decide] judges it.
type CSR struct {
	Raw        []byte // the whole request, DER
	RawSubject []byte // the subject as it was sent
	RawSPKI    []byte // the SubjectPublicKeyInfo

	PublicKey          crypto.PublicKey
	SignatureAlgorithm x509.SignatureAlgorithm
	Subject            pkix.Name // a label: nothing is decided by it

	DNSNames  []string
	Addresses []netip.Addr
	URIs      []*url.URL
	Emails    []string

	IsCA        bool                    // basicConstraints asks for CA:TRUE
	KeyUsage    x509.KeyUsage           // asked for, 0 for nothing
	ExtKeyUsage []asn1.ObjectIdentifier // asked for
	Extensions  []pkix.Extension        // all that were requested, those above among them

	verified bool // only ParseCSR sets it
}

var (
	oidExtensionRequest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 14}
	oidRSA              = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEC               = asn1.ObjectIdentifier{1, 2, 840, 10045, 2, 1}
	oidEd25519          = asn1.ObjectIdentifier{1, 3, 101, 112}
	oidP256             = asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}
	oidP384             = asn1.ObjectIdentifier{1, 3, 132, 0, 34}
)

// anyKey is what some profile may accept; the profile of a request is applied by Decide.
var anyKey = KeyRule{Kinds: []string{KeyP256, KeyP384, KeyEd25519, KeyRSA}, RSABits: minRSABits}

// ParseCSR reads one DER request of at most [MaxCSR] octets and verifies its
// signature, once. The error is [Violations]. Attributes other than
// extensionRequest are ignored.
func ParseCSR(der []byte) (*CSR, error) {
	if len(der) > MaxCSR {
		return nil, Violations{csrViolation("csr-size", "request", fmt.Sprintf("%d octets long", len(der)), fmt.Sprintf("at most %d", MaxCSR))}
	}
	if err := checkDER(der, 0); err != nil {
		return nil, malformed(err.Error())
	}
	c := &CSR{Raw: bytes.Clone(der)}
	if vs := c.readInfo(); len(vs) > 0 {
		return nil, vs
	}
	req, err := x509.ParseCertificateRequest(c.Raw)
	if err != nil {
		return nil, malformed(quote(err.Error()))
	}
	if vs := c.readRequest(req); len(vs) > 0 {
		return nil, vs
	}
	if err := req.CheckSignature(); err != nil {
		return nil, Violations{csrViolation("csr-signature", "signature", "not made by the key in the request", "a request signed with its own private key")}
	}
	c.verified = true
	return c, nil
}

// RepeatRequest is the request that a certificate stands for when it is to be renewed as it is. Whoever makes one has seen proof of
// possession of its key, such as mutual TLS. It asks for the names of the certificate where the profile takes names from requests, and for
// none elsewhere: the registry knows. The error is [Violations], as that of [ParseCSR].
func RepeatRequest(old *x509.Certificate, p *Profile) (*CSR, error) {
	c := &CSR{RawSPKI: old.RawSubjectPublicKeyInfo, PublicKey: old.PublicKey, verified: true}
	if vs := ViolationsOf(anyKey.Check(old.PublicKey)); len(vs) > 0 {
		return nil, vs
	}
	if p.cfg.DNS.From == FromRequest {
		c.DNSNames = slices.Clone(old.DNSNames)
	}
	if p.cfg.Addresses.From == FromRequest {
		for _, ip := range old.IPAddresses {
			if addr, ok := netip.AddrFromSlice(ip); ok {
				c.Addresses = append(c.Addresses, addr.Unmap())
			}
		}
	}
	return c, nil
}

// csrViolation says in the field that it is the request that was looked at.
func csrViolation(rule, field, got, want string) *Violation {
	return &Violation{Rule: rule, Field: "csr: " + field, Got: got, Want: want}
}

func malformed(got string) Violations {
	return Violations{csrViolation("csr-form", "request", got, "one PKCS #10 request (RFC 2986) in DER")}
}

// readInfo reads what crypto/x509 reads too leniently: the key's parameters,
// the attributes and the requested extensions.
func (c *CSR) readInfo() Violations {
	var outer, info, subject, spki, attributes cryptobyte.String
	var version int
	input := cryptobyte.String(c.Raw) // what follows the request, crypto/x509 refuses
	if !input.ReadASN1(&outer, casn1.SEQUENCE) || !outer.ReadASN1(&info, casn1.SEQUENCE) {
		return malformed("something else")
	}
	if !info.ReadASN1Integer(&version) || version != 0 ||
		!info.ReadASN1Element(&subject, casn1.SEQUENCE) || !info.ReadASN1Element(&spki, casn1.SEQUENCE) ||
		!info.ReadASN1(&attributes, casn1.Tag(0).ContextSpecific().Constructed()) || !info.Empty() {
		return malformed("without version 0, subject, key and attributes")
	}
	c.RawSubject, c.RawSPKI = subject, spki
	var vs Violations
	if v := checkSPKI(spki); v != nil {
		vs = append(vs, v)
	}
	return append(vs, c.readAttributes(attributes)...)
}

// checkSPKI accepts the algorithms and named curves that some profile may
// accept, before a parser sees the key.
func checkSPKI(spki cryptobyte.String) *Violation {
	var body, algorithm cryptobyte.String
	var oid, curve asn1.ObjectIdentifier
	got := ""
	switch {
	case !spki.ReadASN1(&body, casn1.SEQUENCE) || !body.ReadASN1(&algorithm, casn1.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid):
		got = "malformed"
	case oid.Equal(oidRSA), oid.Equal(oidEd25519):
		return nil
	case !oid.Equal(oidEC):
		got = "of algorithm " + oid.String()
	case !algorithm.ReadASN1ObjectIdentifier(&curve):
		got = "EC with explicit curve parameters"
	case curve.Equal(oidP256), curve.Equal(oidP384):
		return nil
	default:
		got = "EC on curve " + curve.String()
	}
	return csrViolation("key-kind", "public key", got, anyKey.want())
}

// readAttributes reads the one extensionRequest (RFC 2985 section 5.4.2).
func (c *CSR) readAttributes(attributes cryptobyte.String) Violations {
	var requests []cryptobyte.String
	for !attributes.Empty() {
		var attribute, values cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !attributes.ReadASN1(&attribute, casn1.SEQUENCE) || !attribute.ReadASN1ObjectIdentifier(&oid) ||
			!attribute.ReadASN1(&values, casn1.SET) || !attribute.Empty() {
			return malformed("with a malformed attribute")
		}
		if oid.Equal(oidExtensionRequest) {
			requests = append(requests, values)
		}
	}
	switch len(requests) {
	case 0:
		return nil
	case 1:
	default:
		return Violations{csrViolation("csr-duplicate", "extensionRequest", fmt.Sprintf("given %d times", len(requests)), "given once at most")}
	}
	values, extensions := requests[0], cryptobyte.String(nil)
	if !values.ReadASN1(&extensions, casn1.SEQUENCE) || !values.Empty() {
		return Violations{csrViolation("csr-form", "extensionRequest", "not one value", "exactly one sequence of extensions")}
	}
	return c.readExtensions(extensions)
}

func (c *CSR) readExtensions(extensions cryptobyte.String) Violations {
	seen := make(map[string]bool)
	var vs Violations
	for !extensions.Empty() {
		var ext, value cryptobyte.String
		var oid asn1.ObjectIdentifier
		var critical bool
		if !extensions.ReadASN1(&ext, casn1.SEQUENCE) || !ext.ReadASN1ObjectIdentifier(&oid) ||
			!readCritical(&ext, &critical) || !ext.ReadASN1(&value, casn1.OCTET_STRING) || !ext.Empty() {
			return append(vs, malformed("with a malformed extension")...)
		}
		if len(seen) == maxItems {
			return append(vs, csrViolation("csr-form", "extensionRequest", "more than "+fmt.Sprint(maxItems)+" extensions", "fewer"))
		}
		name := oid.String()
		if seen[name] {
			return append(vs, csrViolation("csr-duplicate", "extension", quote(name)+" for the second time", "each extension once"))
		}
		seen[name] = true
		c.Extensions = append(c.Extensions, pkix.Extension{Id: oid, Critical: critical, Value: value})
		vs = append(vs, c.readExtension(oid, value)...)
	}
	return vs
}

// readCritical reads an optional BOOLEAN. FALSE, which DER leaves out, is let
// pass: several encoders write it.
func readCritical(ext *cryptobyte.String, critical *bool) bool {
	return !ext.PeekASN1Tag(casn1.BOOLEAN) || ext.ReadASN1Boolean(critical)
}

func (c *CSR) readExtension(oid asn1.ObjectIdentifier, value cryptobyte.String) Violations {
	ok := true
	switch {
	case oid.Equal(oidSubjectAltName):
		return c.readNames(value)
	case oid.Equal(oidBasicConstraints):
		ok = c.readBasicConstraints(value)
	case oid.Equal(oidKeyUsage):
		ok = c.readKeyUsage(value)
	case oid.Equal(oidExtKeyUsage):
		ok = c.readExtKeyUsage(value)
	}
	if !ok {
		return Violations{csrViolation("csr-form", "extension", quote(oid.String())+", malformed", "a value as in RFC 5280 section 4.2.1")}
	}
	return nil
}

func (c *CSR) readBasicConstraints(value cryptobyte.String) bool {
	var body cryptobyte.String
	if !value.ReadASN1(&body, casn1.SEQUENCE) || !value.Empty() || !readCritical(&body, &c.IsCA) {
		return false
	}
	return body.SkipOptionalASN1(casn1.INTEGER) && body.Empty()
}

func (c *CSR) readKeyUsage(value cryptobyte.String) bool {
	var bits asn1.BitString
	if !value.ReadASN1BitString(&bits) || !value.Empty() {
		return false
	}
	for i := range 9 {
		if bits.At(i) != 0 {
			c.KeyUsage |= 1 << i
		}
	}
	return true
}

func (c *CSR) readExtKeyUsage(value cryptobyte.String) bool {
	var body cryptobyte.String
	if !value.ReadASN1(&body, casn1.SEQUENCE) || !value.Empty() || body.Empty() {
		return false
	}
	for !body.Empty() {
		var oid asn1.ObjectIdentifier
		if !body.ReadASN1ObjectIdentifier(&oid) || len(c.ExtKeyUsage) == maxItems {
			return false
		}
		c.ExtKeyUsage = append(c.ExtKeyUsage, oid)
	}
	return true
}

// The signature algorithms of a request: no MD5, no SHA-1, no DSA.
var signatureAlgorithms = []x509.SignatureAlgorithm{
	x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
	x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
	x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512, x509.PureEd25519,
}

// readRequest takes what crypto/x509 parsed and checks it so far that
// verifying the signature is safe and cheap.
func (c *CSR) readRequest(req *x509.CertificateRequest) Violations {
	c.PublicKey, c.SignatureAlgorithm, c.Subject = req.PublicKey, req.SignatureAlgorithm, req.Subject
	var vs Violations
	if spki, err := x509.MarshalPKIXPublicKey(req.PublicKey); err != nil || !bytes.Equal(spki, c.RawSPKI) {
		vs = append(vs, csrViolation("csr-form", "public key", "not in its one encoding", "a SubjectPublicKeyInfo as in RFC 5280 section 4.1.2.7"))
	} else if err := anyKey.Check(req.PublicKey); err != nil {
		vs = append(vs, ViolationsOf(err)...)
	}
	if !slices.Contains(signatureAlgorithms, req.SignatureAlgorithm) {
		vs = append(vs, csrViolation("csr-signature-algorithm", "signature algorithm", algorithmName(req.SignatureAlgorithm), "RSA or ECDSA with SHA-256, SHA-384 or SHA-512, or Ed25519"))
	}
	for _, attribute := range req.Subject.Names {
		text, ok := attribute.Value.(string)
		if !ok || !printable(text) {
			vs = append(vs, csrViolation("subject-text", "subject "+attribute.Type.String(), quote(fmt.Sprint(attribute.Value)), "printable text"))
			break // a subject may have thousands of them
		}
	}
	return vs
}

func algorithmName(a x509.SignatureAlgorithm) string {
	if a == x509.UnknownSignatureAlgorithm {
		return "one that is not known"
	}
	return a.String()
}
