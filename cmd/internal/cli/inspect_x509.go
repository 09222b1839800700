package cli

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/payca/payca/policy"
)

func inspectCertificate(der []byte) (*object, error) {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	o := newObject("certificate")
	o.add("subject", c.Subject.String())
	o.add("issuer", c.Issuer.String())
	o.add("serial", hexInt(c.SerialNumber))
	o.add("not_before", stamp(c.NotBefore))
	o.add("not_after", stamp(c.NotAfter))
	addIdentity(o, c.URIs)
	o.add("dns", c.DNSNames)
	o.add("addresses", texts(c.IPAddresses))
	o.add("emails", c.EmailAddresses)
	if c.BasicConstraintsValid {
		o.add("ca", c.IsCA)
	}
	if c.IsCA && (c.MaxPathLen > 0 || c.MaxPathLenZero) {
		o.add("path_length", c.MaxPathLen)
	}
	o.add("key_usage", keyUsages(c.KeyUsage))
	o.add("ext_key_usage", extKeyUsages(c))
	o.add("permitted", constraints(c.PermittedURIDomains, c.PermittedDNSDomains, c.PermittedIPRanges, c.PermittedEmailAddresses))
	o.add("excluded", constraints(c.ExcludedURIDomains, c.ExcludedDNSDomains, c.ExcludedIPRanges, c.ExcludedEmailAddresses))
	o.add("ocsp", c.OCSPServer)
	o.add("crl", c.CRLDistributionPoints)
	o.add("issuer_url", c.IssuingCertificateURL)
	o.add("key", policy.DescribeKey(c.PublicKey))
	o.add("signature", c.SignatureAlgorithm.String())
	o.add("subject_key_id", hex.EncodeToString(c.SubjectKeyId))
	o.add("authority_key_id", hex.EncodeToString(c.AuthorityKeyId))
	o.add("extensions", extensions(c.Extensions))
	o.add("sha256", digest(der))
	o.add("spki_sha256", digest(c.RawSubjectPublicKeyInfo))
	return o, nil
}

// addIdentity adds the URIs, and what the one URI of a party says, as a claim.
func addIdentity(o *object, uris []*url.URL) {
	if len(uris) == 1 {
		role, network, _ := strings.Cut(uris[0].Host, ".")
		if id, err := policy.ParseIdentity(uris[0], network); err == nil {
			o.add("role", role)
			o.add("party", id.Party)
			o.add("network", network)
		}
	}
	o.add("uris", texts(uris))
}

func inspectRequest(der []byte) (*object, error) {
	c, err := x509.ParseCertificateRequest(der)
	if err != nil {
		return nil, err
	}
	o := newObject("certificate request")
	o.add("subject", c.Subject.String())
	addIdentity(o, c.URIs)
	o.add("dns", c.DNSNames)
	o.add("addresses", texts(c.IPAddresses))
	o.add("emails", c.EmailAddresses)
	o.add("key", policy.DescribeKey(c.PublicKey))
	o.add("signature", c.SignatureAlgorithm.String())
	o.add("extensions", extensions(c.Extensions))
	o.add("spki_sha256", digest(c.RawSubjectPublicKeyInfo))
	// ParseCSR bounds what it verifies, so it alone looks at the signature.
	if _, err := policy.ParseCSR(der); err != nil {
		o.add("refused", strings.Split(err.Error(), "; "))
	}
	return o, nil
}

func inspectPrivateKey(der []byte) (*object, error) {
	var key any
	var err error
	if key, err = x509.ParsePKCS8PrivateKey(der); err != nil {
		if key, err = x509.ParseECPrivateKey(der); err != nil {
			if key, err = x509.ParsePKCS1PrivateKey(der); err != nil {
				return nil, errors.New("not a private key in PKCS #8, SEC 1 or PKCS #1")
			}
		}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("a key of type %T, want one that signs", key)
	}
	o := newObject("private key")
	o.add("encrypted", false)
	return o, addPublicKey(o, signer.Public())
}

func inspectPublicKey(der []byte) (*object, error) {
	key, err := x509.ParsePKIXPublicKey(der)
	if err != nil {
		return nil, err
	}
	o := newObject("public key")
	return o, addPublicKey(o, key)
}

func addPublicKey(o *object, key crypto.PublicKey) error {
	spki, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return err
	}
	o.add("key", policy.DescribeKey(key))
	o.add("spki_sha256", digest(spki))
	return nil
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func texts[T fmt.Stringer](list []T) []string {
	var out []string
	for _, v := range list {
		out = append(out, v.String())
	}
	return out
}

func keyUsages(usage x509.KeyUsage) []string {
	names := []string{
		"digitalSignature", "contentCommitment", "keyEncipherment", "dataEncipherment",
		"keyAgreement", "keyCertSign", "cRLSign", "encipherOnly", "decipherOnly",
	}
	var out []string
	for i, name := range names {
		if usage&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

func extKeyUsages(c *x509.Certificate) []string {
	names := map[x509.ExtKeyUsage]string{
		x509.ExtKeyUsageAny: "anyExtendedKeyUsage", x509.ExtKeyUsageServerAuth: "serverAuth",
		x509.ExtKeyUsageClientAuth: "clientAuth", x509.ExtKeyUsageCodeSigning: "codeSigning",
		x509.ExtKeyUsageEmailProtection: "emailProtection", x509.ExtKeyUsageTimeStamping: "timeStamping",
		x509.ExtKeyUsageOCSPSigning: "OCSPSigning",
	}
	var out []string
	for _, usage := range c.ExtKeyUsage {
		if name, ok := names[usage]; ok {
			out = append(out, name)
		} else {
			out = append(out, "usage "+strconv.Itoa(int(usage)))
		}
	}
	return append(out, texts(c.UnknownExtKeyUsage)...)
}

// constraints lists the subtrees of a name constraint, each with its kind.
func constraints(uris, dns []string, ips []*net.IPNet, emails []string) []string {
	var out []string
	for kind, list := range [][]string{uris, dns, texts(ips), emails} {
		for _, s := range list {
			out = append(out, [...]string{"URI ", "DNS ", "IP ", "email "}[kind]+s)
		}
	}
	return out
}

// extensions lists the extensions by name where they have a usual one, else by OID.
func extensions(list []pkix.Extension) []string {
	var out []string
	for _, e := range list {
		text := extensionName(e.Id)
		if e.Critical {
			text += " (critical)"
		}
		out = append(out, text)
	}
	return out
}

func extensionName(oid asn1.ObjectIdentifier) string {
	names := map[string]string{
		"2.5.29.9": "subjectDirectoryAttributes", "2.5.29.14": "subjectKeyIdentifier", "2.5.29.15": "keyUsage",
		"2.5.29.17": "subjectAltName", "2.5.29.18": "issuerAltName", "2.5.29.19": "basicConstraints",
		"2.5.29.20": "cRLNumber", "2.5.29.27": "deltaCRLIndicator", "2.5.29.28": "issuingDistributionPoint",
		"2.5.29.30": "nameConstraints", "2.5.29.31": "cRLDistributionPoints", "2.5.29.32": "certificatePolicies",
		"2.5.29.35": "authorityKeyIdentifier", "2.5.29.36": "policyConstraints", "2.5.29.37": "extKeyUsage",
		"2.5.29.46": "freshestCRL", "2.5.29.56": "noRevAvail", "2.5.29.60": "expiredCertsOnCRL",
		"1.3.6.1.5.5.7.1.1": "authorityInfoAccess", "1.3.6.1.5.5.7.1.24": "tlsFeature", "1.3.6.1.5.5.7.48.1.5": "ocspNoCheck",
	}
	if name, ok := names[oid.String()]; ok {
		return name
	}
	return oid.String()
}
