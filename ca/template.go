package ca

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	stdasn1 "encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/payca/payca/policy"
)

// lintCopy builds the certificate of a decision, signed with the throw-away key of the issuer.
// Its TBS is what the issuer's key will sign, to the byte.
func (a *Authority) lintCopy(d *policy.Decision, is *issuer, intent Intent) (*x509.Certificate, error) {
	t, err := template(d, a.cfg.StatusURL, intent.Shard)
	if err != nil {
		return nil, err
	}
	t.SerialNumber = intent.Serial.Int()
	if t.SignatureAlgorithm, _, err = signatureAlgorithm(is.cert.PublicKey); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, t, is.standIn, d.PublicKey, is.throwAway)
	if err != nil {
		return nil, fmt.Errorf("building the certificate: %w", err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate back: %w", err)
	}
	if !bytes.Equal(c.RawSubjectPublicKeyInfo, d.RawSPKI) {
		return nil, errors.New("the public key does not survive encoding, want the encoding of RFC 5480, 8410 or 3279")
	}
	return c, nil
}

// template writes a decision as crypto/x509 wants it. Nothing in it comes from anywhere else.
func template(d *policy.Decision, statusURL string, shard int) (*x509.Certificate, error) {
	subject, err := stdasn1.Marshal(d.Subject)
	if err != nil {
		return nil, fmt.Errorf("encoding the subject: %w", err)
	}
	keyID, err := keyIdentifier(d.RawSPKI)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		RawSubject:            subject,
		NotBefore:             d.NotBefore,
		NotAfter:              d.NotAfter,
		KeyUsage:              d.KeyUsage,
		ExtKeyUsage:           d.ExtKeyUsage,
		UnknownExtKeyUsage:    d.UnknownExtKeyUsage,
		Policies:              d.Policies,
		ExtraExtensions:       slices.Clone(d.Extensions),
		BasicConstraintsValid: true,
		SubjectKeyId:          keyID,
		URIs:                  d.URIs,
		DNSNames:              d.DNSNames,
	}
	for _, addr := range d.Addresses {
		t.IPAddresses = append(t.IPAddresses, net.IP(addr.AsSlice()))
	}
	if d.StatusURLs {
		t.OCSPServer = []string{statusURL + "/ocsp/" + d.IssuerName}
		t.IssuingCertificateURL = []string{statusURL + "/ca/" + d.IssuerName + ".crt"}
		t.CRLDistributionPoints = []string{crlURL(statusURL, d.IssuerName, shard)}
	}
	if d.OCSPNoCheck { // RFC 6960 section 4.2.2.2.1
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{
			Id: stdasn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}, Value: stdasn1.NullBytes,
		})
	}
	return t, nil
}

// keyIdentifier is method 1 of RFC 7093 section 2: the leftmost 160 bits of the SHA-256 of the
// subjectPublicKey bits.
func keyIdentifier(spki []byte) ([]byte, error) {
	var inner cryptobyte.String
	var bits []byte
	in := cryptobyte.String(spki)
	if !in.ReadASN1(&inner, asn1.SEQUENCE) || !in.Empty() || !inner.SkipASN1(asn1.SEQUENCE) || !inner.ReadASN1BitStringAsBytes(&bits) {
		return nil, errors.New("the public key is no SubjectPublicKeyInfo")
	}
	sum := sha256.Sum256(bits)
	return sum[:20], nil
}
