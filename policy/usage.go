package policy

import (
	"crypto/x509"
	"encoding/asn1"
	"slices"
	"strings"
)

// The names that profiles give to key usages and extended key usages.
const (
	digitalSignature = "digitalSignature"
	keyAgreement     = "keyAgreement"
	keyCertSign      = "keyCertSign"
	serverAuth       = "serverAuth"
	clientAuth       = "clientAuth"
	ocspSigning      = "OCSPSigning"
	documentSigning  = "documentSigning" // RFC 9336
)

// The uses that rules look for by name.
const (
	useOperator   = "operator"
	useOCSPSigner = "ocsp-signer"
	useIssuer     = "issuer"
)

// A use is the usages that one word stands for.
type use struct {
	keyUsage    string
	extKeyUsage []string
}

var uses = map[string]use{
	"tls":         {digitalSignature, []string{serverAuth, clientAuth}},
	"client":      {digitalSignature, []string{clientAuth}},
	"sign":        {digitalSignature, []string{documentSigning}},
	"encryption":  {keyAgreement, nil},
	useOperator:   {digitalSignature, []string{clientAuth}},
	useOCSPSigner: {digitalSignature, []string{ocspSigning}},
	useIssuer:     {keyCertSign, nil},
}

// useNames lists the words that a profile can have as its use.
func useNames() string { return "tls, client, sign, encryption, operator, ocsp-signer or issuer" }

// Use says in one word what the certificates are for: the use of the configuration, or the one that
// its usages come to; "" for a mixture without a name.
func (p *Profile) Use() string {
	if p.cfg.Use != "" {
		return p.cfg.Use
	}
	for _, name := range []string{"tls", "client", "sign", "encryption", useOCSPSigner} {
		if u := uses[name]; p.cfg.KeyUsage == u.keyUsage && sameSet(p.cfg.ExtKeyUsage, u.extKeyUsage) {
			return name
		}
	}
	return ""
}

func sameSet(a, b []string) bool {
	in := func(list []string) func(string) bool {
		return func(s string) bool { return !slices.Contains(list, s) }
	}
	return len(a) == len(b) && !slices.ContainsFunc(a, in(b)) && !slices.ContainsFunc(b, in(a))
}

// Server says whether the certificates are for servers and may carry DNS names and addresses.
func (p *Profile) Server() bool { return slices.Contains(p.extKeyUsage, x509.ExtKeyUsageServerAuth) }

// Encryption says whether the certificates are for what others seal, and for nothing else.
func (p *Profile) Encryption() bool { return p.keyUsage == x509.KeyUsageKeyAgreement }

// OCSPSigner says whether the certificates are for OCSP signers.
func (p *Profile) OCSPSigner() bool {
	return slices.Contains(p.extKeyUsage, x509.ExtKeyUsageOCSPSigning)
}

// Issuer says whether the certificates are those of issuing CAs, which only a ceremony makes.
func (p *Profile) Issuer() bool { return p.cfg.Use == useIssuer }

// servers says whether parties of the role may run servers.
func (r Role) servers() bool { return r != Consumer && r != Operator && r != Auditor }

// keyKinds lists the kinds of key that suit a key usage.
func keyKinds(usage string) []string {
	if usage == keyAgreement || usage == keyCertSign {
		return []string{KeyP256, KeyP384}
	}
	return []string{KeyP256, KeyP384, KeyEd25519, KeyRSA}
}

// usages checks use, key_usage and ext_key_usage, which must agree.
func (c *profileChecker) usages() {
	cfg := c.p.cfg
	meant, known := uses[cfg.Use]
	if cfg.Use != "" && !known {
		c.wrong("use", "use %s: want %s", quote(cfg.Use), useNames())
	}
	if known && (cfg.KeyUsage != meant.keyUsage || !sameSet(cfg.ExtKeyUsage, meant.extKeyUsage)) {
		c.wrong("use", "use %s with key_usage %s and ext_key_usage %s: want %s and %s, or neither", cfg.Use,
			quote(cfg.KeyUsage), quote(strings.Join(cfg.ExtKeyUsage, ", ")), meant.keyUsage, list(meant.extKeyUsage))
	}
	switch cfg.KeyUsage {
	case digitalSignature:
		c.p.keyUsage = x509.KeyUsageDigitalSignature
		if len(cfg.ExtKeyUsage) == 0 {
			c.wrong("ext_key_usage", "ext_key_usage: none, which stands for all of them; want one at least with digitalSignature")
		}
	case keyAgreement:
		c.p.keyUsage = x509.KeyUsageKeyAgreement
		if len(cfg.ExtKeyUsage) > 0 {
			c.wrong("ext_key_usage", "ext_key_usage: want none with keyAgreement")
		}
	case keyCertSign:
		c.p.keyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
		if cfg.Use != useIssuer {
			c.wrong("key_usage", "key_usage %q: want digitalSignature or keyAgreement; only use issuer has it", cfg.KeyUsage)
		}
	default:
		c.wrong("key_usage", "key_usage %s: want digitalSignature or keyAgreement", quote(cfg.KeyUsage))
	}
	c.extKeyUsages()
}

// Usages returns the key usage and the extended key usages that its certificates have; documentSigning, which crypto/x509 has no name for, is
// among those that are unknown.
func (p *Profile) Usages() (usage x509.KeyUsage, extended []x509.ExtKeyUsage, unknown []asn1.ObjectIdentifier) {
	return p.keyUsage, slices.Clone(p.extKeyUsage), slices.Clone(p.unknownEKU)
}

// oidDocumentSigning is id-kp-documentSigning, which crypto/x509 has no name for.
var oidDocumentSigning = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 36}

func (c *profileChecker) extKeyUsages() {
	names := c.p.cfg.ExtKeyUsage
	for i, name := range names {
		alone := name == ocspSigning || name == documentSigning
		switch {
		case slices.Contains(names[:i], name):
			c.refuseAt("ext_key_usage", i, name, "it once")
		case alone && len(names) > 1:
			c.refuseAt("ext_key_usage", i, name, "it alone")
		}
		switch name {
		case serverAuth:
			c.p.extKeyUsage = append(c.p.extKeyUsage, x509.ExtKeyUsageServerAuth)
		case clientAuth:
			c.p.extKeyUsage = append(c.p.extKeyUsage, x509.ExtKeyUsageClientAuth)
		case ocspSigning:
			c.p.extKeyUsage = append(c.p.extKeyUsage, x509.ExtKeyUsageOCSPSigning)
		case documentSigning:
			c.p.unknownEKU = append(c.p.unknownEKU, oidDocumentSigning)
		default:
			c.refuseAt("ext_key_usage", i, name, "serverAuth, clientAuth, documentSigning or OCSPSigning")
		}
	}
}
